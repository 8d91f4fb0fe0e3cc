package model

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Recipe says how an asset's readings become a window of shape [Length, len(Channels())]. Serving and training both follow the recipe that
// the model carries, so they cannot differ.
//
// Readings are first put on a grid of event time: slot k of an asset covers [k*Grid, (k+1)*Grid) of Unix time. A slot's value of a signal is the last
// one read in it; an empty slot takes the value of the slot before it, for at most MaxGap slots in a row; after a longer gap the asset starts anew.
type Recipe struct {
	Signals []string      `json:"signals" yaml:"signals"`
	Grid    time.Duration `json:"grid" yaml:"grid"`
	Length  int           `json:"length" yaml:"length"`
	MaxGap  int           `json:"max_gap" yaml:"max_gap"`
	// Smooth is the weight of the newest value in an exponential moving average over slots that replaces each signal; 1 is none.
	Smooth float64 `json:"smooth" yaml:"smooth"`
	// Baseline adds, for each signal, its change from the mean of the asset's first Baseline slots; 0 adds nothing.
	Baseline int `json:"baseline,omitempty" yaml:"baseline"`
	// Age adds one channel: the number of slots since the asset's first, counted from 1.
	Age bool `json:"age,omitempty" yaml:"age"`
	// Scale holds one entry a channel, learned at training; empty in a recipe that is not trained yet.
	Scale []Scale `json:"scale,omitempty" yaml:"-"`
}

// Scale maps a channel's x to (x-Mean)/Std.
type Scale struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"`
}

// Channels names the window's columns in order: the signals, then their changes from the baseline, then the age.
func (r *Recipe) Channels() []string {
	names := slices.Clone(r.Signals)
	if r.Baseline > 0 {
		for _, s := range r.Signals {
			names = append(names, s+" change")
		}
	}
	if r.Age {
		names = append(names, "age")
	}
	return names
}

// Width returns len(Channels()).
func (r *Recipe) Width() int {
	n := len(r.Signals)
	if r.Baseline > 0 {
		n *= 2
	}
	if r.Age {
		n++
	}
	return n
}

// SameShape reports whether two recipes make the same channels from the same readings, scale aside: only then may one model follow another
// while the line runs.
func (r *Recipe) SameShape(o *Recipe) bool {
	return slices.Equal(r.Signals, o.Signals) && r.Grid == o.Grid && r.Length == o.Length && r.MaxGap == o.MaxGap && r.Smooth == o.Smooth &&
		r.Baseline == o.Baseline && r.Age == o.Age
}

// Validate reports every fault of the recipe.
func (r *Recipe) Validate() error {
	var errs []error
	if len(r.Signals) == 0 {
		errs = append(errs, errors.New("signals: name at least one"))
	}
	seen := map[string]bool{}
	for _, s := range r.Signals {
		if s == "" || seen[s] {
			errs = append(errs, fmt.Errorf("signals: %q is empty or named twice", s))
		}
		seen[s] = true
	}
	if r.Grid <= 0 {
		errs = append(errs, fmt.Errorf("grid: %v is not a positive duration", r.Grid))
	}
	if r.Length < 1 {
		errs = append(errs, fmt.Errorf("length: %d is not a positive number of slots", r.Length))
	}
	if r.MaxGap < 0 {
		errs = append(errs, fmt.Errorf("max_gap: %d is negative", r.MaxGap))
	}
	if !(r.Smooth > 0 && r.Smooth <= 1) {
		errs = append(errs, fmt.Errorf("smooth: %v is not in (0, 1]", r.Smooth))
	}
	if r.Baseline < 0 {
		errs = append(errs, fmt.Errorf("baseline: %d is negative", r.Baseline))
	}
	if len(r.Scale) != 0 && len(r.Scale) != r.Width() {
		errs = append(errs, fmt.Errorf("scale: %d entries for %d channels", len(r.Scale), r.Width()))
	}
	for i, s := range r.Scale {
		if !(s.Std > 0) {
			errs = append(errs, fmt.Errorf("scale: channel %d has standard deviation %v", i, s.Std))
		}
	}
	return errors.Join(errs...)
}
