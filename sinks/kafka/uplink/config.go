package uplink

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"andon/event"
	"andon/ingest/dial"
	"andon/sinks/kafka"
)

// Config says what goes up, and where to.
type Config struct {
	// Brokers of the central cluster, host:port; none: nothing goes up.
	Brokers []string `yaml:"brokers"`
	// Site names this appliance among all that send to the cluster. Two with one name shut each other out.
	Site     string    `yaml:"site"`
	ClientID string    `yaml:"client_id"`
	TLS      dial.TLS  `yaml:"tls"`
	SASL     dial.SASL `yaml:"sasl"`
	// Topics are forwarded, each in its order.
	Topics []Topic `yaml:"topics"`
	// Prefix and a topic's own name are its name in the cluster, where it has no To.
	Prefix string `yaml:"prefix"`
	// CreateTopics allows topics that the cluster lacks to be made there.
	CreateTopics bool `yaml:"create_topics"`
	// Evidence is what alerts point at.
	Evidence Evidence `yaml:"evidence"`
	// Compression of what is sent: none, gzip, snappy, lz4 or zstd.
	Compression string `yaml:"compression"`
	// Bandwidth is the most bytes a second that go up, as they are on the wire; 0 for no limit.
	Bandwidth event.Bytes `yaml:"bandwidth"`
	// Batch and Interval end a transaction: whichever comes first.
	Batch    event.Bytes   `yaml:"batch"`
	Interval time.Duration `yaml:"interval"`
	// MaxRecord bounds one record. A larger one is sent without the end of its value, and says so.
	MaxRecord event.Bytes `yaml:"max_record"`
	// TransactionTimeout is when the cluster aborts a transaction that was left open. Readers of committed records wait for it that long.
	TransactionTimeout time.Duration `yaml:"transaction_timeout"`
	// Check is how often both sides are looked at; MaxBackoff is the longest wait before the next try to reach the cluster.
	Check      time.Duration `yaml:"check"`
	MaxBackoff time.Duration `yaml:"max_backoff"`
	// TellAfter is how long the cluster may be away until people are told.
	TellAfter time.Duration `yaml:"tell_after"`
}

// Topic is one topic on its way up.
type Topic struct {
	From string `yaml:"from"`
	// To is its name in the cluster; empty: the prefix and From.
	To string `yaml:"to"`
	// Keep is what the embedded broker may hold of it, all partitions together: that much of an outage is outlasted. 0: what the topic has anyhow.
	Keep event.Bytes `yaml:"keep"`
}

// Evidence says how the frames that alerts point at go up: in the alert's own transaction, as records of at most Chunk bytes.
type Evidence struct {
	// Topic is its name in the cluster; empty: none goes up.
	Topic string      `yaml:"topic"`
	Chunk event.Bytes `yaml:"chunk"`
	// Max bounds one piece; a larger one does not go up, and the alert says so.
	Max event.Bytes `yaml:"max"`
}

// Default returns the settings of a site behind a slow line.
func Default() Config {
	return Config{
		ClientID: "andon",
		// Names of their own keep what came up apart from what an appliance on the central cluster writes itself.
		Prefix:   "edge.",
		Evidence: Evidence{Topic: "edge.andon.evidence", Chunk: 512 << 10, Max: 16 << 20},
		// Of JSON it takes a third less than lz4, for CPU time that a line of some MB/s does not notice.
		Compression: "zstd",
		// At catch-up a transaction a MiB: its two round trips vanish beside it, and little is sent twice when the line is cut.
		Batch: 1 << 20,
		// A score is up within a second; half as long would double the markers in the central log.
		Interval: 500 * time.Millisecond,
		// As kafka.Default: brokers refuse more unless they were told otherwise.
		MaxRecord: kafka.Default().MaxRecord,
		// Longer than a broker's restart. What is older on a bad line is sent anew.
		TransactionTimeout: time.Minute,
		Check:              5 * time.Second,
		// One attempt to connect each half a minute costs nothing, and after hours of outage half a minute is no matter.
		MaxBackoff: 30 * time.Second,
		TellAfter:  5 * time.Minute,
	}
}

// On tells whether there is an uplink at all.
func (c *Config) On() bool { return len(c.Brokers) > 0 }

// Central returns a topic's name in the cluster.
func (c *Config) Central(t Topic) string {
	if t.To != "" {
		return t.To
	}
	return c.Prefix + t.From
}

var (
	legalSite  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)
	legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)
)

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			fault("brokers", "%q is not host:port", b)
		}
	}
	if !c.On() && c.Site != "" {
		fault("brokers", "is empty: name a broker of the central cluster, or leave site out")
	}
	if c.On() && !legalSite.MatchString(c.Site) {
		fault("site", "%q does not name this site: up to 100 of letters, digits, dot, underscore and hyphen, and no other site of the cluster may have it", c.Site)
	}
	seen := map[string]bool{}
	for i, t := range c.Topics {
		key := fmt.Sprintf("topics[%d]", i)
		if !legalTopic.MatchString(t.From) {
			fault(key+".from", "%q is not a topic's name", t.From)
		} else if seen[t.From] {
			fault(key+".from", "%q is named twice", t.From)
		}
		seen[t.From] = true
		if !legalTopic.MatchString(c.Central(t)) {
			fault(key+".to", "%q is not a topic's name", c.Central(t))
		}
		if t.Keep != 0 && t.Keep < 2<<20 {
			fault(key+".keep", "%s is less than 2MiB", t.Keep)
		}
	}
	if t := c.Evidence.Topic; t != "" && !legalTopic.MatchString(t) {
		fault("evidence.topic", "%q is not a topic's name", t)
	}
	if c.Evidence.Chunk < 4<<10 || c.Evidence.Chunk > c.MaxRecord-4<<10 {
		fault("evidence.chunk", "%s is not between 4KiB and max_record (%s) less 4KiB for its headers", c.Evidence.Chunk, c.MaxRecord)
	}
	if c.Evidence.Max < c.Evidence.Chunk || c.Evidence.Max > 64<<20 {
		fault("evidence.max", "%s is not between chunk (%s) and 64MiB", c.Evidence.Max, c.Evidence.Chunk)
	}
	if c.Bandwidth != 0 && c.Bandwidth < 1<<10 {
		fault("bandwidth", "%s a second is less than 1KiB: write 0 for no limit", c.Bandwidth)
	}
	if c.Batch < 16<<10 || c.Batch > 64<<20 {
		fault("batch", "%s is not between 16KiB and 64MiB", c.Batch)
	}
	if c.Interval < 10*time.Millisecond || c.Interval > time.Minute {
		fault("interval", "%v is not between 10ms and 1m", c.Interval)
	}
	if c.Check < 100*time.Millisecond || c.Check > time.Minute {
		fault("check", "%v is not between 100ms and 1m", c.Check)
	}
	if c.MaxBackoff < time.Second || c.MaxBackoff > time.Hour {
		fault("max_backoff", "%v is not between 1s and 1h", c.MaxBackoff)
	}
	if c.TellAfter < 0 {
		fault("tell_after", "%v is negative", c.TellAfter)
	}
	producer := c.producer()
	producer.Seeds = []string{"named elsewhere"}
	return errors.Join(append(errs, producer.Validate())...)
}

// producer is how the cluster is written to.
func (c *Config) producer() kafka.Config {
	k := kafka.Default()
	k.Seeds, k.ClientID, k.Security = c.Brokers, c.ClientID, c.security()
	k.MaxRecord, k.Compression, k.TransactionTimeout = c.MaxRecord, c.Compression, c.TransactionTimeout
	k.MaxInFlight = max(k.MaxInFlight, 2*c.MaxRecord)
	k.Linger = 0 // a transaction's records come at once
	return k
}

func (c *Config) security() dial.Security { return dial.Security{TLS: c.TLS, SASL: c.SASL} }

// place is what a local partition's records are written as, and where its position is committed. The position is a commit of a group of its own: brokers take a commit
// only for partitions that they have, and a cluster's topic may have fewer than ours, or be that of several of ours; its partition 0 is always there.
func (c *Config) place(from, to string, partition int32) kafka.Place {
	id := fmt.Sprintf("%s%s/%d", c.groups(), from, partition)
	return kafka.Place{ID: id, Group: id, Topic: to}
}

// groups is what all transactional ids and groups of the site begin with.
func (c *Config) groups() string { return "andon.uplink." + c.Site + "/" }
