package kafka

import (
	"errors"
	"fmt"
	"time"

	"andon/event"
	"andon/ingest/dial"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says where results are published.
type Config struct {
	// Seeds are brokers, host:port; any one of them tells the others.
	Seeds    []string      `yaml:"seeds"`
	ClientID string        `yaml:"client_id"`
	Security dial.Security `yaml:"security"`
	// DeadLetters is the topic of records that could not be used.
	DeadLetters string `yaml:"deadletters"`
	// MaxRecord bounds one record. A larger dead letter is published without the end of its value, and says so.
	MaxRecord event.Bytes `yaml:"max_record"`
	// MaxInFlight bounds what all partitions together have handed over and the brokers have not acknowledged; a Publish that would pass it waits.
	MaxInFlight event.Bytes `yaml:"max_in_flight"`
	// Linger is how long a record waits for others to share a batch with.
	Linger time.Duration `yaml:"linger"`
	// Compression of what is sent: none, gzip, snappy, lz4 or zstd.
	Compression string `yaml:"compression"`
	// TransactionTimeout is when the brokers abort a transaction that its producer does not end. Readers of committed records wait for it that long.
	TransactionTimeout time.Duration `yaml:"transaction_timeout"`
}

// The bounds of TransactionTimeout: below, a slow disk ends transactions; more than the upper one brokers refuse unless they were told otherwise.
const (
	MinTransactionTimeout = 5 * time.Second
	MaxTransactionTimeout = 15 * time.Minute
)

// Default returns the settings of the embedded broker, which are good for a cluster too.
func Default() Config {
	return Config{
		ClientID:    "andon",
		DeadLetters: "andon.deadletter",
		// Kafka's own default for a batch, less room for its header: brokers refuse more unless they were told otherwise.
		MaxRecord: 1000 << 10,
		// Some blocks of some partitions; what is refused waits in the log.
		MaxInFlight: 32 << 20,
		// A block's records come at once, so that waiting for more gains little and delays the block's commit.
		Linger: 2 * time.Millisecond,
		// A core packs 500 MB/s of it, to a fifth of what JSON takes.
		Compression: "lz4",
		// A transaction takes some tens of milliseconds: what takes longer, the insert into ClickHouse, is done before it begins. So this is for brokers that elect new
		// leaders meanwhile, for some 10 s. A producer that died is not waited for: the next owner of its partition ends what it began.
		TransactionTimeout: time.Minute,
	}
}

// Validate reports every fault with its key.
func (c Config) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if len(c.Seeds) == 0 {
		fault("seeds", "is empty: name a broker")
	}
	if c.DeadLetters == "" {
		fault("deadletters", "is empty: name a topic, records that cannot be used must go somewhere")
	}
	if c.MaxRecord < 16<<10 || c.MaxRecord > 64<<20 {
		fault("max_record", "%s is not between 16KiB and 64MiB", c.MaxRecord)
	}
	if c.MaxInFlight < 2*c.MaxRecord {
		fault("max_in_flight", "%s is less than twice max_record, %s", c.MaxInFlight, c.MaxRecord)
	}
	if c.Linger < 0 || c.Linger > time.Second {
		fault("linger", "%v is not between 0 and 1s", c.Linger)
	}
	if _, ok := codecs[c.Compression]; !ok {
		fault("compression", "%q is not one of none, gzip, snappy, lz4, zstd", c.Compression)
	}
	if c.TransactionTimeout < MinTransactionTimeout || c.TransactionTimeout > MaxTransactionTimeout {
		fault("transaction_timeout", "%v is not between %v and %v", c.TransactionTimeout, MinTransactionTimeout, MaxTransactionTimeout)
	}
	if err := c.Security.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("security: %w", err))
	}
	return errors.Join(errs...)
}

var codecs = map[string]func() kgo.CompressionCodec{
	"none": kgo.NoCompression, "gzip": kgo.GzipCompression, "snappy": kgo.SnappyCompression, "lz4": kgo.Lz4Compression, "zstd": kgo.ZstdCompression,
}

// compression is what batches are packed with, or not at all where a broker does not know it.
func (c Config) compression() kgo.Opt {
	if c.Compression == "none" {
		return kgo.ProducerBatchCompression(kgo.NoCompression())
	}
	return kgo.ProducerBatchCompression(codecs[c.Compression](), kgo.NoCompression())
}
