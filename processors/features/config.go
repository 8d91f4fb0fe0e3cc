package features

import (
	"errors"
	"fmt"
	"time"

	"andon/model"
)

// Close says what closes a slot before its asset's watermark does.
type Close string

// The ways to close a slot.
const (
	// Complete closes a slot once all signals were read in it. For assets that send one value a signal and slot.
	Complete Close = "complete"
	// Watermark waits for the watermark. For assets that send more often than the grid, where the last value in a slot counts.
	Watermark Close = "watermark"
)

// Config says what windows are made of and how long they wait for late rows.
type Config struct {
	// Recipe has no Scale here; scales belong to models. No Signals means all signals of the pipeline.
	Recipe model.Recipe `yaml:",inline"`
	// Lateness is how far a row may lie behind its asset's newest row, in event time, and still be placed.
	Lateness time.Duration `yaml:"lateness"`
	// Horizon is how far the partition's clock may run, in event time, until an asset without rows is forgotten.
	Horizon time.Duration `yaml:"horizon"`
	Close   Close         `yaml:"close"`
	// Stride thins the windows: one is made where the slot's index is a multiple of it.
	Stride int `yaml:"stride"`
	// Remember is how many of an asset's newest times are kept to tell a doubled row from a late one.
	Remember int `yaml:"remember"`
}

// Default returns the settings of a pipeline that says nothing but its grid.
func Default() Config {
	return Config{
		Recipe: model.Recipe{
			Length: 30, // the window of most published work on remaining life
			MaxGap: 3,  // a tenth of the window: more would be mostly invention
			Smooth: 1,
		},
		// Gateways that buffer and retry deliver within seconds; a minute costs nothing where rows are complete and in order.
		Lateness: time.Minute,
		// A machine that is off over night is the same machine in the morning.
		Horizon: 24 * time.Hour,
		Close:   Complete,
		Stride:  1,
		// Producers double a record soon after it, by a retry: 64 times cost 1 KiB an asset where a window of 30x29 costs 3.4.
		Remember: 64,
	}
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Config(Default())
	return unmarshal((*plain)(c))
}

// Times are kept so far from the ends of int64 nanoseconds that no sum below can overflow.
const (
	latest   = int64(9e18) // the year 2255
	earliest = -latest
	longest  = 400 * 24 * time.Hour
	// maxSpan bounds the open slots of one asset, and so its memory.
	maxSpan = 1 << 16
)

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	r := c.Recipe
	if len(r.Signals) == 0 {
		r.Signals = []string{"any"}
	}
	if err := r.Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Lateness < 0 || c.Lateness > longest {
		errs = append(errs, fmt.Errorf("lateness: %v is not between 0 and %v", c.Lateness, longest))
	}
	if c.Horizon > 3*longest {
		errs = append(errs, fmt.Errorf("horizon: %v is more than %v", c.Horizon, 3*longest))
	}
	if r.Grid > 0 && r.MaxGap >= 0 {
		if time.Duration(r.MaxGap) > longest/r.Grid-2 {
			errs = append(errs, fmt.Errorf("max_gap: %d slots of %v are more than %v", r.MaxGap, r.Grid, longest))
		} else if least := c.Lateness + time.Duration(r.MaxGap+2)*r.Grid; c.Horizon < least {
			errs = append(errs, fmt.Errorf("horizon: %v would forget an asset within its allowed gap: set at least %v (lateness + (max_gap+2) * grid)", c.Horizon, least))
		}
		if c.Lateness/r.Grid >= maxSpan {
			errs = append(errs, fmt.Errorf("lateness: %v is %d slots of %v; %d may be open at a time", c.Lateness, c.Lateness/r.Grid, r.Grid, maxSpan))
		}
	}
	if c.Close != Complete && c.Close != Watermark {
		errs = append(errs, fmt.Errorf("close: %q is neither %q nor %q", c.Close, Complete, Watermark))
	}
	if c.Stride < 1 {
		errs = append(errs, fmt.Errorf("stride: %d is not a positive number of slots", c.Stride))
	}
	if c.Remember < 1 || c.Remember > 1<<16 {
		errs = append(errs, fmt.Errorf("remember: %d is not between 1 and %d", c.Remember, 1<<16))
	}
	return errors.Join(errs...)
}
