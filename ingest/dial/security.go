package dial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security is how we prove who we are, and how the broker does. The zero value is plain text without a user.
type Security struct {
	TLS  TLS  `yaml:"tls"`
	SASL SASL `yaml:"sasl"`
}

// TLS is how to speak to brokers that want it. All of it may be empty but Enabled: then the system's roots are trusted.
type TLS struct {
	Enabled    bool   `yaml:"enabled"`
	CA         string `yaml:"ca"`   // file of PEM certificates to trust instead of the system's
	Cert       string `yaml:"cert"` // files of the client's own certificate and key, PEM
	Key        string `yaml:"key"`
	ServerName string `yaml:"server_name"` // the name that the broker's certificate must hold, if not the host dialled
}

// SASL is how to log in.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // plain, scram-sha-256 or scram-sha-512; empty for none
	User      string `yaml:"user"`
	// Password is ${NAME} of an environment variable, or the password itself; PasswordFile holds it in its first line.
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

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

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// Validate reports every fault, each with its key. It opens no files.
func (s Security) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !s.TLS.Enabled && s.TLS != (TLS{}) {
		fault("tls: has settings but enabled is false")
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		fault("tls: cert and key go together")
	}
	switch s.SASL.Mechanism {
	case "":
		if s.SASL != (SASL{}) {
			fault("sasl: has settings but no mechanism: set plain, scram-sha-256 or scram-sha-512")
		}
	case "plain", "scram-sha-256", "scram-sha-512":
		if s.SASL.User == "" {
			fault("sasl.user: is empty")
		}
		if (s.SASL.Password == "") == (s.SASL.PasswordFile == "") {
			fault("sasl: set one of password and password_file")
		}
	default:
		fault("sasl.mechanism: %q is not one of plain, scram-sha-256, scram-sha-512", s.SASL.Mechanism)
	}
	return errors.Join(errs...)
}

// secret returns the password.
func (s SASL) secret() (string, error) {
	if s.PasswordFile != "" {
		text, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("sasl.password_file: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if first = strings.TrimRight(first, "\r"); first == "" {
			return "", fmt.Errorf("sasl.password_file: the first line of %s is empty", s.PasswordFile)
		}
		return first, nil
	}
	if m := variable.FindStringSubmatch(string(s.Password)); m != nil {
		value, ok := os.LookupEnv(m[1])
		if !ok || value == "" {
			return "", fmt.Errorf("sasl.password: the environment variable %s is not set", m[1])
		}
		return value, nil
	}
	return string(s.Password), nil
}

func (s SASL) mechanism(password string) sasl.Mechanism {
	switch s.Mechanism {
	case "scram-sha-256":
		return scram.Auth{User: s.User, Pass: password}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: s.User, Pass: password}.AsSha512Mechanism()
	default:
		return plain.Auth{User: s.User, Pass: password}.AsMechanism()
	}
}

func (t TLS) config() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no PEM certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
