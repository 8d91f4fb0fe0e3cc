package decode

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Derive makes a signal from another: scale times its value, plus offset. Signal may be a new name, whose values follow those of the signals, or the same
// as Of, which is then converted in place. Where Of has no reading the result has none, nor where it does not fit a 64-bit float.
type Derive struct {
	Signal string  `yaml:"signal"`
	Of     string  `yaml:"of"`
	Scale  float64 `yaml:"scale"` // 0 means 1
	Offset float64 `yaml:"offset"`
}

// Where keeps rows by a range: a row whose signal lies outside of [From, Below) is filtered. An empty bound is open. A row without a reading of the signal
// is kept, since there is nothing to judge, and records of the narrow shape hold one signal each; with Required it is filtered.
type Where struct {
	Signal   string   `yaml:"signal"`
	From     *float64 `yaml:"from"`
	Below    *float64 `yaml:"below"`
	Required bool     `yaml:"required"`
}

// String tells the rule by its values, so that the text of a Spec is the same in every process.
func (w Where) String() string {
	bound := func(f *float64) string {
		if f == nil {
			return "open"
		}
		return fmt.Sprint(*f)
	}
	return fmt.Sprintf("{%s %s %s %v}", w.Signal, bound(w.From), bound(w.Below), w.Required)
}

// Columns names the values of a row, in order: the signals, then what is derived under a name of its own.
func (s Spec) Columns() []string {
	all := s.Signals
	for _, d := range s.Derive {
		if !slices.Contains(all, d.Signal) {
			all = append(all[:len(all):len(all)], d.Signal)
		}
	}
	return all
}

// validateRules reports the faults of derive and where.
func (s Spec) validateRules(fault func(format string, args ...any)) {
	if s.Shape == ShapeLabels {
		if len(s.Derive) > 0 || len(s.Where) > 0 {
			fault("derive, where: the shape %s has no signals", ShapeLabels)
		}
		return
	}
	have := slices.Clone(s.Signals)
	finite := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
	for i, d := range s.Derive {
		if d.Signal == "" || strings.Contains(d.Signal, ",") {
			fault("derive[%d].signal: %q is not a name: give one without commas", i, d.Signal)
		} else if d.Signal != d.Of && slices.Contains(have, d.Signal) {
			fault("derive[%d].signal: %q is there already: give another name, or set of to %q to convert it in place", i, d.Signal, d.Signal)
		}
		if !slices.Contains(have, d.Of) {
			fault("derive[%d].of: %q is not one of signals, nor derived before", i, d.Of)
		}
		if !finite(d.Scale) || !finite(d.Offset) {
			fault("derive[%d]: scale and offset must be finite numbers", i)
		}
		have = append(have, d.Signal)
	}
	for i, w := range s.Where {
		if !slices.Contains(have, w.Signal) {
			fault("where[%d].signal: %q is not one of signals, nor derived", i, w.Signal)
		}
		switch {
		case w.From == nil && w.Below == nil && !w.Required:
			fault("where[%d]: set from, below or required, or leave the rule out", i)
		case w.From != nil && !finite(*w.From):
			fault("where[%d].from: %v is not a finite number", i, *w.From)
		case w.Below != nil && !finite(*w.Below):
			fault("where[%d].below: %v is not a finite number", i, *w.Below)
		case w.From != nil && w.Below != nil && *w.From >= *w.Below:
			fault("where[%d]: no number lies from %v and below %v", i, *w.From, *w.Below)
		}
	}
}

// rules is derive and where, by the places of their signals in a row.
type rules struct {
	width  int
	derive []conversion
	where  []bounds
}

type conversion struct {
	to, of        int
	scale, offset float64
}

type bounds struct {
	at          int
	from, below float64
	required    bool
}

func newRules(s Spec) rules {
	columns := s.Columns()
	r := rules{width: len(columns)}
	for _, d := range s.Derive {
		c := conversion{slices.Index(columns, d.Signal), slices.Index(columns, d.Of), d.Scale, d.Offset}
		if c.scale == 0 {
			c.scale = 1
		}
		r.derive = append(r.derive, c)
	}
	for _, w := range s.Where {
		b := bounds{slices.Index(columns, w.Signal), math.Inf(-1), math.Inf(1), w.Required}
		if w.From != nil {
			b.from = *w.From
		}
		if w.Below != nil {
			b.below = *w.Below
		}
		r.where = append(r.where, b)
	}
	return r
}

// apply derives what the row lacks, and tells whether a rule filters it. The product is rounded by conversion, so that every machine gets the same.
func (r *rules) apply(row []float64) (filtered bool) {
	for i := range r.derive {
		c := &r.derive[i]
		v := float64(c.scale*row[c.of]) + c.offset
		if math.IsInf(v, 0) {
			v = nan
		}
		row[c.to] = v
	}
	for i := range r.where {
		b := &r.where[i]
		if v := row[b.at]; v < b.from || v >= b.below || v != v && b.required {
			return true
		}
	}
	return false
}
