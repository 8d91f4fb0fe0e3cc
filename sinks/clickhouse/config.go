package clickhouse

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"andon/event"
	"andon/sinks/clickhouse/engine"
)

// Config is the store's section of the configuration file.
type Config struct {
	// DSN of a server, as clickhouse://user:password@host:9000/andon?secure=true; empty takes the embedded one.
	DSN Secret `yaml:"dsn"`
	// ReaderDSN is the user that questions are put as; empty takes the user of DSN, held to readonly=2.
	ReaderDSN Secret `yaml:"reader_dsn"`
	// Writers bounds how many inserts run at once, over all partitions; each holds its rows in memory twice.
	Writers int `yaml:"writers"`
	// InsertTimeout ends one attempt of an insert. The insert is tried again until its caller gives up.
	InsertTimeout time.Duration `yaml:"insert_timeout"`
	// QueryTimeout ends a question of a person.
	QueryTimeout time.Duration `yaml:"query_timeout"`
	// QueryMemory bounds the answer to such a question, as the server counts it.
	QueryMemory event.Bytes `yaml:"query_memory"`
	// Fsync has the server bring an insert to the disk before it is acknowledged, so that a loss of power loses none. Without it, only what the
	// operating system had not yet written is lost then; a crash of any process loses nothing either way.
	Fsync     bool      `yaml:"fsync"`
	Retention Retention `yaml:"retention"`
	// Engine is the embedded server.
	Engine engine.Config `yaml:"engine"`
}

// Retention says how long rows are kept after they were stored, whatever their event time; 0 keeps them for ever. Labels, trainings, evaluations, models and
// what happened to replays are always kept: they are few, and nothing else tells where a model came from.
type Retention struct {
	Readings     time.Duration `yaml:"readings"`
	Features     time.Duration `yaml:"features"`
	Scores       time.Duration `yaml:"scores"`
	Frames       time.Duration `yaml:"frames"`
	ReplayScores time.Duration `yaml:"replay_scores"`
	DeadLetters  time.Duration `yaml:"dead_letters"`
	Metrics      time.Duration `yaml:"metrics"`
}

// Default returns the configuration of a small machine.
func Default() Config {
	const day = 24 * time.Hour
	return Config{
		Writers:       4,                // an insert keeps one core of the server busy; more only waits inside it
		InsertTimeout: time.Minute,      // 100,000 rows take 0.2 s; a server in trouble must not be sent the same rows again and again
		QueryTimeout:  30 * time.Second, // a person waits no longer
		QueryMemory:   64 << 20,         // a table of 100,000 rows and ten columns is 10 MiB
		Fsync:         false,            // it adds 40 ms to every insert, and half as much CPU again
		Retention: Retention{
			Readings:     90 * day,  // about 5 GiB for 1,000 assets of 14 signals once a minute
			Features:     400 * day, // fewer than the readings they are of, and often what is kept for good
			Scores:       400 * day, // a year to compare with the last
			Frames:       90 * day,  // nine cameras at 5 frames/s are 4 million rows a day of about 100 bytes
			ReplayScores: 90 * day,  // a replay answers a question; asked again, it can be run again while the log holds its range
			DeadLetters:  30 * day,  // long enough to be repaired and sent again
			Metrics:      30 * day,
		},
		Engine: engine.Default(),
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	bad := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(key+": "+format, args...))
		}
	}
	for key, dsn := range map[string]Secret{"dsn": c.DSN, "reader_dsn": c.ReaderDSN} {
		if dsn != "" {
			_, err := options(dsn)
			bad(err == nil, key, "%v", err)
		}
	}
	bad(c.ReaderDSN == "" || c.DSN != "", "reader_dsn", "is for a server of one's own: set dsn too")
	bad(c.Writers >= 1 && c.Writers <= 64, "writers", "%d is not between 1 and 64", c.Writers)
	bad(c.InsertTimeout >= time.Second, "insert_timeout", "%v is less than a second", c.InsertTimeout)
	bad(c.QueryTimeout >= time.Second && c.QueryTimeout <= 10*time.Minute, "query_timeout", "%v is not between 1s and 10m", c.QueryTimeout)
	bad(c.QueryMemory >= 1<<20 && c.QueryMemory <= 1<<30, "query_memory", "%v is not between 1MiB and 1GiB", c.QueryMemory)
	for key, d := range c.Retention.keys() {
		bad(d == 0 || d >= time.Hour, "retention."+key, "%v is less than an hour: 0 keeps rows for ever", d)
	}
	if err := c.Engine.Validate(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			errs = append(errs, errors.New("engine."+line))
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (r Retention) keys() map[string]time.Duration {
	return map[string]time.Duration{"readings": r.Readings, "features": r.Features, "scores": r.Scores, "frames": r.Frames, "replay_scores": r.ReplayScores, "dead_letters": r.DeadLetters, "metrics": r.Metrics}
}

// Secret is text that may hold a password. However it is printed, the password is left out.
type Secret string

// UnmarshalText takes the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// MarshalText writes the text without its password.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// String returns the text without its password; all is left out of what cannot be parsed.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(string(s))
	if err != nil || u.Host == "" {
		return "xxxxx"
	}
	if _, set := u.User.Password(); set {
		u.User = url.UserPassword(u.User.Username(), "xxxxx")
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// options reads a DSN; no error shows a password.
func options(dsn Secret) (*ch.Options, error) {
	o, err := ch.ParseDSN(string(dsn))
	scheme, _, _ := strings.Cut(string(dsn), "://")
	switch {
	case err == nil && scheme != "clickhouse" && scheme != "tcp" && scheme != "http" && scheme != "https":
		return nil, fmt.Errorf("%s is not a DSN of ClickHouse: write clickhouse://user:password@host:9000/andon", dsn)
	case err != nil:
		return nil, fmt.Errorf("%s is not a DSN (%w): write clickhouse://user:password@host:9000/andon", dsn, err)
	case o.Protocol != ch.Native:
		return nil, fmt.Errorf("%s speaks HTTP: give the native port, as clickhouse://user:password@host:9000/andon, with ?secure=true for TLS", dsn)
	}
	if o.Auth.Database == "" {
		o.Auth.Database = engine.Database
	}
	return o, nil
}
