package ingest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"andon/event"
)

// Config is the connection to Kafka and the bounds of reading from it.
type Config struct {
	// Brokers are host:port; any one of them tells the others. Empty means the embedded broker.
	Brokers  []string `yaml:"brokers"`
	ClientID string   `yaml:"client_id"`
	TLS      TLS      `yaml:"tls"`
	SASL     SASL     `yaml:"sasl"`
	// ConnectTimeout is how long the start waits for the brokers and the topic's leaders.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// CreateTopics allows topics that a pipeline names and the cluster lacks to be created.
	CreateTopics bool `yaml:"create_topics"`

	// MaxInFlight bounds the bytes that all pipelines together have fetched and not yet handled.
	MaxInFlight event.Bytes `yaml:"max_in_flight"`
	// Fetch is about how much one answer of one broker takes in memory, FetchPartition the share of one partition in it.
	Fetch          event.Bytes   `yaml:"fetch"`
	FetchPartition event.Bytes   `yaml:"fetch_partition"`
	FetchWait      time.Duration `yaml:"fetch_wait"`
	// BatchRecords is the most records that a Handler gets at once.
	BatchRecords int `yaml:"batch_records"`

	// Balancer is cooperative-sticky, or next-gen where the brokers balance the group themselves (KIP-848, Kafka 4).
	Balancer string `yaml:"balancer"`
	// InstanceID makes the member static: a restart within SessionTimeout takes its partitions back at once, without a rebalance. It must differ between
	// processes of one group.
	InstanceID string `yaml:"instance_id"`
	// SessionTimeout is when the group gives up a member that is silent; Heartbeat is how often it speaks. With next-gen the brokers decide both.
	SessionTimeout   time.Duration `yaml:"session_timeout"`
	Heartbeat        time.Duration `yaml:"heartbeat"`
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout"`
	// DrainTimeout is how long the end of the program waits for the batch in hand and the last flush.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// LagInterval is how often the ends of the log are asked for.
	LagInterval time.Duration `yaml:"lag_interval"`
}

// The balancers.
const (
	BalancerCooperative = "cooperative-sticky"
	BalancerNextGen     = "next-gen"
)

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

// Default returns the settings of the embedded broker, which are good for a cluster too.
func Default() Config {
	return Config{
		ClientID:       "andon",
		ConnectTimeout: 30 * time.Second,
		// A gibibyte machine can hold this several times over with the database beside it; at 200 B a row it is seconds of work.
		MaxInFlight: 256 << 20,
		// A fetch of 8 MiB costs a broker little more than one of 1 MiB and keeps two cores busy for about 30 ms of 200-byte rows.
		Fetch:          8 << 20,
		FetchPartition: 2 << 20,
		// An idle fetch is parked at the broker this long; a partition that was paused joins the next one.
		FetchWait: 500 * time.Millisecond,
		// Large enough that the cost of a batch vanishes, small enough that a revocation waits some milliseconds for the batch in hand.
		BatchRecords: 8192,
		Balancer:     BalancerCooperative,
		// The least that brokers accept by default is 6 s; below 10 s a busy machine loses its partitions to a pause.
		SessionTimeout: 10 * time.Second,
		// A rebalance is seen one heartbeat late.
		Heartbeat: time.Second,
		// The time a member has to flush what it gives up, with the store slow.
		RebalanceTimeout: 60 * time.Second,
		// The whole program must end within 10 s of SIGTERM.
		DrainTimeout: 8 * time.Second,
		LagInterval:  5 * time.Second,
	}
}

// Validate reports every fault, each with its key. It opens no files.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			fault("brokers: %q is not host:port", b)
		}
	}
	if c.ClientID == "" {
		fault("client_id: is empty")
	}
	if c.ConnectTimeout <= 0 {
		fault("connect_timeout: %s is not a wait", c.ConnectTimeout)
	}
	if c.FetchPartition < 64<<10 || c.Fetch < c.FetchPartition || c.Fetch > 1<<30 {
		fault("fetch, fetch_partition: %s and %s: need 64KiB <= fetch_partition <= fetch <= 1GiB", c.Fetch, c.FetchPartition)
	}
	if c.MaxInFlight < 1<<20 {
		fault("max_in_flight: %s is less than 1MiB", c.MaxInFlight)
	}
	if c.FetchWait < 10*time.Millisecond || c.FetchWait > 30*time.Second {
		fault("fetch_wait: %s is not between 10ms and 30s", c.FetchWait)
	}
	if c.BatchRecords < 1 {
		fault("batch_records: %d is less than 1", c.BatchRecords)
	}
	if c.Balancer != BalancerCooperative && c.Balancer != BalancerNextGen {
		fault("balancer: %q is not one of %s, %s", c.Balancer, BalancerCooperative, BalancerNextGen)
	}
	if c.Heartbeat < 50*time.Millisecond || c.SessionTimeout < 3*c.Heartbeat {
		fault("session_timeout, heartbeat: %s and %s: a session must last three heartbeats", c.SessionTimeout, c.Heartbeat)
	}
	if c.RebalanceTimeout < 4*c.Heartbeat {
		fault("rebalance_timeout: %s is less than four heartbeats", c.RebalanceTimeout)
	}
	if c.DrainTimeout <= 0 {
		fault("drain_timeout: %s is not a wait", c.DrainTimeout)
	}
	if c.LagInterval < 100*time.Millisecond {
		fault("lag_interval: %s is less than 100ms", c.LagInterval)
	}
	if !c.TLS.Enabled && (c.TLS != TLS{}) {
		fault("tls: has settings but enabled is false")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		fault("tls: cert and key go together")
	}
	switch c.SASL.Mechanism {
	case "":
		if c.SASL != (SASL{}) {
			fault("sasl: has settings but no mechanism: set plain, scram-sha-256 or scram-sha-512")
		}
	case "plain", "scram-sha-256", "scram-sha-512":
		if c.SASL.User == "" {
			fault("sasl.user: is empty")
		}
		if (c.SASL.Password == "") == (c.SASL.PasswordFile == "") {
			fault("sasl: set one of password and password_file")
		}
	default:
		fault("sasl.mechanism: %q is not one of plain, scram-sha-256, scram-sha-512", c.SASL.Mechanism)
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
