package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"andon/event"
)

// Config says where the embedded broker listens and how much it may hold.
type Config struct {
	// Listen is host:port. Port 0 picks a free one below 32768: clients that poll a port of the ephemeral range before the broker listens on it can
	// connect to themselves and so take it.
	Listen string `yaml:"listen"`
	// Advertise is the host:port that clients are told to come back to; needed when Listen names all interfaces. Empty: Listen.
	Advertise string `yaml:"advertise"`
	// Dir holds the log. Empty: the folder broker in the appliance's data folder.
	Dir string `yaml:"dir"`
	// MaxBytes bounds the whole log. At a start the log is read into memory once, so this bounds start-up memory too.
	MaxBytes event.Bytes `yaml:"max_bytes"`
	// TopicBytes is what a topic that asks for nothing else may hold, all of its partitions together.
	TopicBytes event.Bytes `yaml:"topic_bytes"`
	// Retention is how long such a topic keeps its records, counted from their arrival. Zero or less: until TopicBytes are full.
	Retention time.Duration `yaml:"retention"`
	// Partitions is for topics that are created without a number of them.
	Partitions int `yaml:"partitions"`
	// MaxMessage bounds one batch of records.
	MaxMessage event.Bytes `yaml:"max_message"`
	// MinFree is the free disk space below which records are refused, until there is more again.
	MinFree event.Bytes `yaml:"min_free"`
	// SyncWrites makes each batch survive a power cut and not only a killed process.
	SyncWrites bool `yaml:"sync_writes"`
}

// Default returns the settings of an appliance on one machine.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:9092",
		// Starting after a kill holds the log in memory for a moment: with 624 MiB it was 657 MB, and 17 MB once open.
		MaxBytes: 2 << 30,
		// Seven such topics fit. At 300 bytes a row it is 900,000 rows: a quarter of an hour of outage at 1,000 rows/s.
		TopicBytes: 256 << 20,
		// A week, as Kafka has it: a long weekend's outage can still be read.
		Retention: 7 * 24 * time.Hour,
		// Twice the cores of a small machine, so that partitions can spread over two processes later without keys moving.
		Partitions: 4,
		// Camera frames of several MiB must fit.
		MaxMessage: 8 << 20,
		// Room for the group's commits, for ClickHouse to finish its merges, and for a person to log in and clean up.
		MinFree: 256 << 20,
		// As Kafka: with one copy, the page cache survives the process. Synced writes cost 70 ms at the 99th percentile.
		SyncWrites: false,
	}
}

// minPartition is the least that one partition may be given: a segment being written and one that can be let go.
const minPartition = 2 << 20

// Validate reports every fault with its key.
func (c Config) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	host, port, err := splitAddress(c.Listen)
	if err != nil {
		fault("listen", "%v", err)
	}
	if c.Advertise != "" {
		if h, p, err := splitAddress(c.Advertise); err != nil {
			fault("advertise", "%v", err)
		} else if p == 0 || isUnspecified(h) {
			fault("advertise", "%q names no address that a client can reach: write host:port", c.Advertise)
		}
	} else if err == nil && isUnspecified(host) {
		fault("advertise", "listen %q means all interfaces, so say which host:port clients shall use", c.Listen)
	}
	if port > 0 && port < 1024 {
		fault("listen", "port %d needs root: use one from 1024 to 32767", port)
	}
	if c.Dir == "" {
		fault("dir", "is empty: name the folder of the log")
	}
	if c.MaxBytes < 64<<20 {
		fault("max_bytes", "%s is too small: at least 64MiB", c.MaxBytes)
	}
	if c.TopicBytes < minPartition {
		fault("topic_bytes", "%s is too small: at least 2MiB for each partition", c.TopicBytes)
	} else if c.TopicBytes > c.budget() {
		fault("topic_bytes", "%s does not fit into max_bytes %s, of which %s can be given to topics", c.TopicBytes, c.MaxBytes, c.budget())
	}
	if c.Partitions < 1 || c.Partitions > 1000 {
		fault("partitions", "%d is not between 1 and 1000", c.Partitions)
	} else if c.TopicBytes >= minPartition && int64(c.TopicBytes)/int64(c.Partitions) < minPartition {
		fault("topic_bytes", "%s over %d partitions is less than 2MiB for each", c.TopicBytes, c.Partitions)
	}
	if c.MaxMessage < 64<<10 || c.MaxMessage > 64<<20 {
		fault("max_message", "%s is not between 64KiB and 64MiB", c.MaxMessage)
	}
	if c.MinFree < 1<<20 {
		fault("min_free", "%s is too small: a full disk would tear the log's files; at least 1MiB", c.MinFree)
	}
	return errors.Join(errs...)
}

// slack is the part of MaxBytes that no topic gets: what arrives before the janitor comes by, batches that pass a segment's end, the groups' commits.
func (c Config) slack() int64 { return int64(c.MaxBytes) / 16 }

// budget is what topics may be given together.
func (c Config) budget() event.Bytes { return c.MaxBytes - event.Bytes(c.slack()) }

func splitAddress(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port, as 127.0.0.1:9092", s)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port between 0 and 65535", s)
	}
	return host, port, nil
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
