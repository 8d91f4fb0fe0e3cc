// Package dial says how a Kafka cluster is reached: seeds, TLS and SASL, as options of the client library.
package dial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Security is how we prove who we are, and how the broker does. The zero value is plain text without a user.
type Security struct {
	// TLSCA is a PEM file of the authorities that may have signed the brokers' certificates. Empty with TLS: the system's.
	TLSCA string `yaml:"tls_ca"`
	// TLSCert and TLSKey are PEM files of our own certificate; both or none.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// TLSServerName is the name that the broker's certificate must hold, if not the host that is dialled.
	TLSServerName string `yaml:"tls_server_name"`
	// TLS turns TLS on without any of the above.
	TLS bool `yaml:"tls"`
	// SASLMechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; empty means no SASL.
	SASLMechanism string `yaml:"sasl_mechanism"`
	User          string `yaml:"user"`
	// Password may be ${NAME} of an environment variable; PasswordFile holds it in its first line. One of them.
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Validate reports every fault with its key.
func (s Security) Validate() error {
	var errs []error
	if (s.TLSCert == "") != (s.TLSKey == "") {
		errs = append(errs, errors.New("tls_cert: give tls_key too, or neither"))
	}
	switch strings.ToUpper(s.SASLMechanism) {
	case "":
		if s.User != "" || s.Password != "" || s.PasswordFile != "" {
			errs = append(errs, errors.New("sasl_mechanism: a user needs one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"))
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if s.User == "" || (s.Password == "") == (s.PasswordFile == "") {
			errs = append(errs, fmt.Errorf("user: sasl_mechanism %s needs user, and one of password and password_file", s.SASLMechanism))
		}
	default:
		errs = append(errs, fmt.Errorf("sasl_mechanism: %q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", s.SASLMechanism))
	}
	return errors.Join(errs...)
}

// String never tells the password.
func (s Security) String() string {
	return fmt.Sprintf("tls %v, sasl %s, user %s", s.usesTLS(), s.SASLMechanism, s.User)
}

func (s Security) usesTLS() bool { return s.TLS || s.TLSCA != "" || s.TLSCert != "" }

// Options returns what every client of ours needs to reach the cluster. The files of s are read here.
func Options(seeds []string, clientID string, s Security) ([]kgo.Opt, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(clientID),
		// A broker that comes back is found again within this; the library's 5 s are for clusters of thousands of clients.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(backoff),
		kgo.DisableClientMetrics(),
	}
	if s.usesTLS() {
		t, err := s.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if s.SASLMechanism != "" {
		password, err := s.secret()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(s.mechanism(password)))
	}
	return opts, nil
}

// backoff is the wait before the next try: from 50 ms to 1 s, doubling, give or take a quarter.
func backoff(tries int) time.Duration {
	d := min(time.Second, 25*time.Millisecond<<min(max(tries, 1), 6))
	return d - d/4 + rand.N(d/2)
}

func (s Security) mechanism(password string) sasl.Mechanism {
	switch strings.ToUpper(s.SASLMechanism) {
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: password}.AsSha512Mechanism()
	}
	return plain.Auth{User: s.User, Pass: password}.AsMechanism()
}

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

func (s Security) secret() (string, error) {
	if s.PasswordFile != "" {
		text, err := os.ReadFile(s.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("password_file: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if first = strings.TrimRight(first, "\r"); first == "" {
			return "", fmt.Errorf("password_file: the first line of %s is empty", s.PasswordFile)
		}
		return first, nil
	}
	if m := variable.FindStringSubmatch(s.Password); m != nil {
		value := os.Getenv(m[1])
		if value == "" {
			return "", fmt.Errorf("password: the environment variable %s is not set", m[1])
		}
		return value, nil
	}
	return s.Password, nil
}

func (s Security) tlsConfig() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.TLSServerName}
	if s.TLSCA != "" {
		pem, err := os.ReadFile(s.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form", s.TLSCA)
		}
	}
	if s.TLSCert != "" {
		c, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
		}
		t.Certificates = []tls.Certificate{c}
	}
	return t, nil
}

// Trouble remembers why connecting failed last, for an error that a person can act on: the client library itself retries without a word.
type Trouble struct {
	mu  sync.Mutex
	err error
}

// OnBrokerConnect is called by the client library after each attempt.
func (t *Trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// Err returns why the last attempt to connect failed, nil when it did not.
func (t *Trouble) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
