// Package s3 keeps models in a bucket of Amazon S3 or of what speaks its protocol (MinIO, Ceph, Garage and others), for replicas on several machines.
package s3

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Config says which bucket.
type Config struct {
	// Endpoint is host:port, without https://; empty keeps models in the folder alone.
	Endpoint string `yaml:"endpoint"`
	Bucket   string `yaml:"bucket"`
	// Prefix is put before all names, so that a bucket can be shared.
	Prefix string `yaml:"prefix"`
	Region string `yaml:"region"`
	// AccessKey and SecretKey may each be ${NAME} of an environment variable. Without them the usual places are asked: AWS_ and MINIO_ variables, ~/.aws/credentials, the
	// machine's own role.
	AccessKey string `yaml:"access_key"`
	SecretKey Secret `yaml:"secret_key"`
	TLS       TLS    `yaml:"tls"`
}

// TLS is how to speak to the endpoint.
type TLS struct {
	Enabled bool   `yaml:"enabled"`
	CA      string `yaml:"ca"` // file of PEM certificates to trust instead of the system's
}

// Default returns the settings of a store that is not used; TLS is on, since buckets are seldom on the same machine.
func Default() Config { return Config{TLS: TLS{Enabled: true}} }

// Secret is a string that no log and no print shows.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// GoString hides the secret.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the secret, unless it only names an environment variable.
func (s Secret) MarshalText() ([]byte, error) {
	if variable.MatchString(string(s)) {
		return []byte(s), nil
	}
	return []byte(s.String()), nil
}

var (
	variable   = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

// Validate reports every fault with its key. It reaches out to nobody.
func (c *Config) Validate() error {
	if c.Endpoint == "" {
		if *c != Default() && *c != (Config{}) {
			return errors.New("endpoint: is empty, but other settings are given: name host:port")
		}
		return nil
	}
	var errs []error
	if strings.Contains(c.Endpoint, "/") {
		errs = append(errs, fmt.Errorf("endpoint: %q is an address of a page: write host:port, and tls.enabled for https", c.Endpoint))
	}
	if !bucketName.MatchString(c.Bucket) {
		errs = append(errs, fmt.Errorf("bucket: %q is not a bucket's name", c.Bucket))
	}
	if strings.HasPrefix(c.Prefix, "/") {
		errs = append(errs, fmt.Errorf("prefix: %q begins with a slash: leave it away", c.Prefix))
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		errs = append(errs, errors.New("access_key: and secret_key go together"))
	}
	if c.TLS.CA != "" && !c.TLS.Enabled {
		errs = append(errs, errors.New("tls.ca: is set but tls.enabled is false"))
	}
	return errors.Join(errs...)
}

// resolve returns what a setting says, from the environment if it names a variable.
func resolve(key, value string) (string, error) {
	m := variable.FindStringSubmatch(value)
	if m == nil {
		return value, nil
	}
	found := os.Getenv(m[1])
	if found == "" {
		return "", fmt.Errorf("%s: the environment variable %s is not set", key, m[1])
	}
	return found, nil
}
