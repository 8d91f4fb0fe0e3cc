// Package replay sends recorded data to Kafka as a producer of its own: in event time, at a speed, from where it stopped.
package replay

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"andon/event"
)

// Replay says what recording is played, how its columns become records, and how fast. The zero value of every optional field is its default.
//
// A record is flat JSON, {"asset":"compressor-017","time":"2020-01-01T05:00:00Z","s_2":641.82}, with the asset as its key. Numbers are sent as they are written
// in the recording; cells that hold none are left out.
type Replay struct {
	// Name tells replays apart in logs and names the cursor's file: letters, digits, dot, hyphen.
	Name string `yaml:"name"`
	// File is a CSV file with a header line, or one compressed with gzip.
	File string `yaml:"file"`
	// Separator is the character between cells; empty: a comma.
	Separator string `yaml:"separator,omitempty"`
	// Columns names the columns of a file that has no header line.
	Columns []string `yaml:"columns,omitempty"`

	Topic string `yaml:"topic"`
	// Asset names the asset of a row: text with columns in braces, "compressor-{unit:03d}", or only text if all rows are of one asset.
	Asset string `yaml:"asset"`
	Time  Time   `yaml:"time"`
	// Signals are the columns to send: "s_2", or "temperature=value" to send column value as temperature. Empty: all columns that are numbers in the
	// first row and are not used for asset or time.
	Signals []string `yaml:"signals,omitempty"`

	// From and To bound the rows by event time: From <= time < To. Zero: no bound.
	From time.Time `yaml:"from,omitempty"`
	To   time.Time `yaml:"to,omitempty"`
	// SkipRows leaves out the file's first rows, MaxRows all after so many; 0: none.
	SkipRows int `yaml:"skip_rows,omitempty"`
	MaxRows  int `yaml:"max_rows,omitempty"`

	// Speed is how many seconds of event time pass in one second: 3600 is an hour a second. 0: as fast as the broker takes them.
	Speed float64 `yaml:"speed"`
	// FastRows are sent as fast as the broker takes them before Speed begins: the past that a model is trained on.
	FastRows int64 `yaml:"fast_rows,omitempty"`
	// MaxRate bounds the rows in a second, whatever Speed asks for; 0: no bound.
	MaxRate float64 `yaml:"max_rate,omitempty"`

	// Loop lets each asset start again, Gap of event time after its last row, for ever.
	Loop bool          `yaml:"loop,omitempty"`
	Gap  time.Duration `yaml:"gap,omitempty"`
	// Label is told at the end of each asset's life, unless From, To or MaxRows cut the life short.
	Label *Label `yaml:"label,omitempty"`

	// Compression of the batches: lz4 or none; empty: lz4.
	Compression string `yaml:"compression,omitempty"`
	// Timeout ends the replay when the broker has acknowledged nothing for so long; 0: a minute.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// MaxMemory bounds the recording, which is held in memory to be put in the order of time; 0: 1 GiB.
	MaxMemory event.Bytes `yaml:"max_memory,omitempty"`
}

// Time says how a row's event time is found: in a column with a format, or by counting: Start + column × Step. Without a column an asset's rows are counted
// from 0.
type Time struct {
	Column string `yaml:"column,omitempty"`
	// Format is rfc3339, datetime (2006-01-02 15:04:05), unix, unix_ms, unix_us, unix_ns, or a layout in Go's notation.
	Format string `yaml:"format,omitempty"`
	// Zone is where times without an offset were written down, as Europe/Berlin; empty: UTC.
	Zone  string        `yaml:"zone,omitempty"`
	Start time.Time     `yaml:"start,omitempty"`
	Step  time.Duration `yaml:"step,omitempty"`
}

// Label is a truth about an asset, {"pipeline":…,"asset":…,"time":…,"label":…}, sent to a topic of its own.
type Label struct {
	Topic    string `yaml:"topic"`
	Pipeline string `yaml:"pipeline"`
	Kind     string `yaml:"kind"`
}

// Validate reports every fault with its key. It does not look at the file.
func (r Replay) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if r.Name == "" || strings.Trim(r.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" || strings.HasPrefix(r.Name, ".") {
		fault("name", "%q is not a name: letters, digits, dot, hyphen", r.Name)
	}
	if r.File == "" {
		fault("file", "is empty: name a CSV file")
	}
	if _, err := r.comma(); err != nil {
		fault("separator", "%v", err)
	}
	if r.Topic == "" {
		fault("topic", "is empty: name the topic to send to")
	}
	if _, err := parseTemplate(r.Asset); err != nil {
		fault("asset", "%v", err)
	}
	if _, err := r.Time.reader(); err != nil {
		fault("time", "%v", err)
	}
	if _, err := parseSignals(r.Signals); err != nil {
		fault("signals", "%v", err)
	}
	if !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To) {
		fault("to", "%s is not after from, %s", r.To.Format(time.RFC3339), r.From.Format(time.RFC3339))
	}
	if r.SkipRows < 0 || r.MaxRows < 0 || r.FastRows < 0 {
		fault("skip_rows", "skip_rows, max_rows and fast_rows count rows: write 0 or more")
	}
	if !(r.Speed >= 0) || math.IsInf(r.Speed, 0) {
		fault("speed", "%v is not a factor: 1 is as recorded, 3600 an hour a second, 0 as fast as possible", r.Speed)
	}
	if !(r.MaxRate >= 0) || math.IsInf(r.MaxRate, 0) {
		fault("max_rate", "%v is not a number of rows a second", r.MaxRate)
	}
	if r.Loop && r.Gap <= 0 {
		fault("gap", "a loop needs a gap of event time between an asset's last row and its first, as 72h")
	}
	if r.Loop && r.Speed == 0 && r.MaxRate == 0 {
		fault("speed", "a loop as fast as possible fills the log without an end: set speed or max_rate")
	}
	if l := r.Label; l != nil && (l.Topic == "" || l.Pipeline == "" || l.Kind == "") {
		fault("label", "needs topic, pipeline and kind")
	}
	if r.Compression != "" && r.Compression != "lz4" && r.Compression != "none" {
		fault("compression", "%q is neither lz4 nor none", r.Compression)
	}
	if r.Timeout < 0 {
		fault("timeout", "%v is not a wait", r.Timeout)
	}
	if r.MaxMemory < 0 {
		fault("max_memory", "%v is not a size", r.MaxMemory)
	}
	return errors.Join(errs...)
}

func (r Replay) comma() (rune, error) {
	switch s := []rune(r.Separator); {
	case len(s) == 0:
		return ',', nil
	case r.Separator == `\t` || r.Separator == "tab":
		return '\t', nil
	case len(s) > 1 || s[0] == '"' || s[0] == '\n' || s[0] == '\r':
		return 0, fmt.Errorf("%q is not one character, or tab", r.Separator)
	default:
		return s[0], nil
	}
}

// signal is a column that is sent, and the name it is sent by.
type signal struct{ name, column string }

func parseSignals(list []string) ([]signal, error) {
	seen := make(map[string]bool)
	var out []signal
	for _, s := range list {
		name, column, renamed := strings.Cut(s, "=")
		if !renamed {
			column = name
		}
		if name == "" || column == "" {
			return nil, fmt.Errorf("%q: write column, or name=column", s)
		}
		if name == "asset" || name == "time" {
			return nil, fmt.Errorf("%q: asset and time are taken; send the column by another name, as %s_value=%s", s, name, column)
		}
		if seen[name] {
			return nil, fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		out = append(out, signal{name, column})
	}
	return out, nil
}
