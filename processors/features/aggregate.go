package features

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Function is what a window tells of one signal.
type Function string

// The functions. All but Count are NaN for a signal without values in the window.
const (
	Count Function = "count" // how many values
	Mean  Function = "mean"
	// Deviation is the sample standard deviation, NaN for less than two values.
	Deviation Function = "deviation"
	Min       Function = "min"
	Max       Function = "max"
	// Last is the value with the newest event time; of two with the same time, the one that came first.
	Last Function = "last"
	// Slope is the least-squares line's, in units a second, NaN unless there are values at two different times.
	Slope Function = "slope"
)

// Functions are all there are, in the order in which they are published.
var Functions = []Function{Count, Mean, Deviation, Min, Max, Last, Slope}

// Aggregate says what is told of an asset's values in windows of event time: window k covers [k*Every, k*Every+Size) of Unix time.
type Aggregate struct {
	Size time.Duration `yaml:"size"`
	// Every is from the start of one window to that of the next; 0 takes Size, so that no two overlap.
	Every time.Duration `yaml:"every"`
	// Functions to tell of each signal; none means all.
	Functions []Function `yaml:"functions"`
	// Signals to tell of; none means all of the pipeline.
	Signals []string `yaml:"signals"`
	// Lateness is how far a row may lie behind its asset's newest row, in event time, and find all its windows open.
	Lateness time.Duration `yaml:"lateness"`
	// Horizon is how far the partition's clock may run, in event time, until an asset without rows is forgotten and its windows close.
	Horizon time.Duration `yaml:"horizon"`
	// Remember is how many of an asset's newest times are kept to tell a doubled row; with 0 each row counts.
	Remember int `yaml:"remember"`
}

// DefaultAggregate returns the settings of a pipeline that says nothing but its size.
func DefaultAggregate() Aggregate {
	d := Default()
	return Aggregate{Lateness: d.Lateness, Horizon: d.Horizon, Remember: d.Remember}
}

// largest bounds a window, so that a time in it is exact as a float64 of nanoseconds.
const largest = 100 * 24 * time.Hour

// Settled returns the settings with what was left out filled in; signals are the pipeline's.
func (c Aggregate) Settled(signals []string) Aggregate {
	if c.Every == 0 {
		c.Every = c.Size
	}
	if len(c.Functions) == 0 {
		c.Functions = Functions
	}
	if len(c.Signals) == 0 {
		c.Signals = signals
	}
	return c
}

// Validate reports every fault with its key.
func (c *Aggregate) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	s := c.Settled(nil)
	switch {
	case s.Size <= 0 || s.Size > largest:
		bad("size", "%v is not between 1ns and %v", s.Size, largest)
	case s.Every <= 0:
		bad("every", "%v is negative", s.Every)
	case s.Every > s.Size:
		bad("every", "%v is more than size, %v: rows between two windows would be in none", s.Every, s.Size)
	case s.Lateness >= 0 && s.Lateness <= longest && (s.Size+s.Lateness)/s.pane() >= maxSpan:
		bad("every", "windows of %v every %v share no time longer than %v, of which size and lateness hold %d; %d may be open at a time: choose two that one longer time divides",
			s.Size, s.Every, s.pane(), (s.Size+s.Lateness)/s.pane(), maxSpan)
	}
	seen := map[Function]bool{}
	for _, f := range s.Functions {
		if !slices.Contains(Functions, f) {
			bad("functions", "%q is none of %v", f, Functions)
		} else if seen[f] {
			bad("functions", "%q is there twice", f)
		}
		seen[f] = true
	}
	named := map[string]bool{}
	for _, name := range c.Signals {
		if named[name] {
			bad("signals", "%q is there twice", name)
		}
		named[name] = true
	}
	if c.Lateness < 0 || c.Lateness > longest {
		bad("lateness", "%v is not between 0 and %v", c.Lateness, longest)
	}
	if c.Horizon > 3*longest {
		bad("horizon", "%v is more than %v", c.Horizon, 3*longest)
	} else if least := c.Lateness + c.Size; c.Horizon < least {
		bad("horizon", "%v would forget an asset within a window that is open: set at least %v (size + lateness)", c.Horizon, least)
	}
	if c.Remember < 0 || c.Remember > 1<<16 {
		bad("remember", "%d is not between 0, which keeps none, and %d", c.Remember, 1<<16)
	}
	return errors.Join(errs...)
}

// pane is the longest time that divides both Size and Every: no window begins or ends within one.
func (c *Aggregate) pane() time.Duration {
	a, b := c.Size, c.Every
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// Names returns the names of a window's values, <signal>_<function>, signal by signal; signals are the pipeline's.
func (c Aggregate) Names(signals []string) []string {
	c = c.Settled(signals)
	names := make([]string, 0, len(c.Signals)*len(c.Functions))
	for _, s := range c.Signals {
		for _, f := range c.Functions {
			names = append(names, s+"_"+string(f))
		}
	}
	return names
}
