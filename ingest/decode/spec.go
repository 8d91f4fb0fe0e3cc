package decode

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The shapes of records.
const (
	ShapeWide   = "wide"   // one object a record: asset, time and a number a signal
	ShapeNarrow = "narrow" // one object a record: asset, time, the signal's name and its value
	ShapeLabels = "labels" // what happened to an asset: pipeline, asset, time, label and perhaps a value
	ShapeSketch = "sketch" // what a line tells of its pieces, for the panel of drift
	ShapeFrame  = "frame"  // one JPEG a record, with its camera, instant and size in headers; see ingest/video
)

// Names that stand for a part of the record instead of a field.
const (
	Key       = "$key"       // the record's key, for Asset
	Timestamp = "$timestamp" // the record's timestamp, for Time
)

// The forms of event time.
const (
	UnitRFC3339      = "rfc3339"
	UnitSeconds      = "s"
	UnitMilliseconds = "ms"
	UnitMicroseconds = "us"
	UnitNanoseconds  = "ns"
)

var unitExponent = map[string]int{UnitSeconds: 9, UnitMilliseconds: 6, UnitMicroseconds: 3, UnitNanoseconds: 0}

var unitForm = map[string]string{
	UnitRFC3339:      "RFC 3339 with a zone, as 2020-01-31T05:00:00.25Z or 2020-01-31T06:00:00+01:00",
	UnitSeconds:      "a number of seconds since 1970",
	UnitMilliseconds: "a number of milliseconds since 1970",
	UnitMicroseconds: "a number of microseconds since 1970",
	UnitNanoseconds:  "a number of nanoseconds since 1970",
}

// Spec says how a record's JSON becomes rows. A field's name may hold dots: "motor.temp" is the field temp of the object motor, and also a field whose name
// is "motor.temp". Of a field that is there twice, the last counts. An empty field of Spec means its default.
type Spec struct {
	Shape string `yaml:"shape"`
	// Asset is the field that names the asset, or Key. A number is taken as its text.
	Asset string `yaml:"asset"`
	// Time is the field with the event time, or Timestamp; TimeUnit is its form: rfc3339, or s, ms, us, ns since 1970, whole or with decimals.
	Time     string `yaml:"time"`
	TimeUnit string `yaml:"time_unit"`
	// Signals are the numbers that the pipeline wants, in the order of a row's values. Fields renames: the field that holds a signal, where it is not
	// named like the signal (wide), or the name it has in the records (narrow).
	Signals []string          `yaml:"signals"`
	Fields  map[string]string `yaml:"fields"`
	// Derive makes further signals of them, or converts them, in its order; Where then filters rows. A filtered row is stored as such, and taken no further.
	Derive []Derive `yaml:"derive"`
	Where  []Where  `yaml:"where"`
	// Signal and Value are the fields of the narrow shape; Value is also that of labels.
	Signal string `yaml:"signal"`
	Value  string `yaml:"value"`
	// Pipeline and Label are fields of the labels shape.
	Pipeline string `yaml:"pipeline"`
	Label    string `yaml:"label"`
	// MaxAhead is how far event time may be ahead of the record's own timestamp; the log's clock judges, so a replay judges the same.
	MaxAhead time.Duration `yaml:"max_ahead"`
	// Earliest is the oldest event time accepted.
	Earliest time.Time `yaml:"earliest"`
}

// WithDefaults returns the spec with its empty fields set.
func (s Spec) WithDefaults() Spec {
	set := func(field *string, to string) {
		if *field == "" {
			*field = to
		}
	}
	set(&s.Shape, ShapeWide)
	set(&s.Asset, "asset")
	set(&s.Time, "time")
	set(&s.TimeUnit, UnitRFC3339)
	set(&s.Signal, "signal")
	set(&s.Value, "value")
	set(&s.Pipeline, "pipeline")
	set(&s.Label, "label")
	if s.MaxAhead == 0 {
		s.MaxAhead = time.Hour // forgives a device in the wrong time of a daylight change, not one in the wrong zone
	}
	if s.Earliest.IsZero() {
		s.Earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // clocks without a battery start in 1970 or 1980
	}
	return s
}

// Validate reports every fault of a spec that has its defaults, each with its key.
func (s Spec) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch s.Shape {
	case ShapeWide, ShapeNarrow:
		if len(s.Signals) == 0 {
			fault("signals: name at least one")
		}
	case ShapeLabels, ShapeFrame, ShapeSketch:
		if len(s.Signals) > 0 || len(s.Fields) > 0 {
			fault("signals, fields: the shape %s has none", s.Shape)
		}
	default:
		fault("shape: %q is not one of %s, %s, %s, %s", s.Shape, ShapeWide, ShapeNarrow, ShapeLabels, ShapeFrame)
	}
	if _, ok := unitForm[s.TimeUnit]; !ok {
		fault("time_unit: %q is not one of rfc3339, s, ms, us, ns", s.TimeUnit)
	}
	seen := map[string]string{}
	for _, name := range s.Signals {
		field := s.field(name)
		if name == "" || field == "" {
			fault("signals: a name is empty")
		} else if other, ok := seen[field]; ok {
			fault("signals: %q and %q are both read from %q", other, name, field)
		}
		seen[field] = name
	}
	for name := range s.Fields {
		if !slices.Contains(s.Signals, name) {
			fault("fields: %q is not one of signals", name)
		}
	}
	s.validateRules(fault)
	for key, name := range map[string]string{"asset": s.Asset, "time": s.Time, "signal": s.Signal, "value": s.Value, "pipeline": s.Pipeline, "label": s.Label} {
		special := key == "asset" && name == Key || key == "time" && name == Timestamp
		if strings.HasPrefix(name, "$") && !special {
			fault("%s: %q is not known: asset may be %s, time may be %s, all else is a field's name", key, name, Key, Timestamp)
		}
		if !utf8.ValidString(name) {
			fault("%s: %q is not UTF-8", key, name)
		}
	}
	if s.MaxAhead < 0 {
		fault("max_ahead: %s is negative", s.MaxAhead)
	}
	if y := s.Earliest.Year(); y < 1678 || y > 2261 {
		fault("earliest: %s is out of range: 1678 to 2261", s.Earliest.Format(time.RFC3339))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// field returns the name under which the records hold a signal.
func (s Spec) field(signal string) string {
	if f, ok := s.Fields[signal]; ok {
		return f
	}
	return signal
}

var nan = math.NaN()
