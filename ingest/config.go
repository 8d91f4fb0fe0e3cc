package ingest

import (
	"errors"
	"fmt"
	"net"
	"time"

	"andon/event"
	"andon/ingest/dial"
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

// TLS, SASL and Secret are how every client of ours reaches a cluster.
type (
	TLS    = dial.TLS
	SASL   = dial.SASL
	Secret = dial.Secret
)

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
	errs = append(errs, dial.Security{TLS: c.TLS, SASL: c.SASL}.Validate())
	return errors.Join(errs...)
}
