package alerts

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Secret is a string that no log and no print shows. Its value is ${NAME} of an environment variable, file:PATH of a file that holds it in its first line, or the
// secret itself.
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

// MarshalText hides the secret, unless it only names where it is.
func (s Secret) MarshalText() ([]byte, error) {
	if variable.MatchString(string(s)) || strings.HasPrefix(string(s), filePrefix) {
		return []byte(s), nil
	}
	return []byte(s.String()), nil
}

const filePrefix = "file:"

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// value returns the secret itself. A file is read each time, so that one that is turned over counts at once. key names it in errors.
func (s Secret) value(key string) (string, error) {
	if name, ok := strings.CutPrefix(string(s), filePrefix); ok {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if first = strings.TrimRight(first, "\r"); first == "" {
			return "", fmt.Errorf("%s: the first line of %s is empty", key, name)
		}
		return first, nil
	}
	if m := variable.FindStringSubmatch(string(s)); m != nil {
		value := os.Getenv(m[1])
		if value == "" {
			return "", fmt.Errorf("%s: the environment variable %s is not set", key, m[1])
		}
		return value, nil
	}
	return string(s), nil
}

// trust returns how a server proves who it is: by the certificates of a file, or the system's where it is empty.
func trust(ca string) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca == "" {
		return out, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	out.RootCAs = x509.NewCertPool()
	if !out.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s holds no PEM certificate", ca)
	}
	return out, nil
}
