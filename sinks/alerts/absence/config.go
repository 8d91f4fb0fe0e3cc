// Package absence tells when an asset or a camera that used to send has stopped: one matter a pipeline that names them all, and another one when the whole source has. How long is too long follows from the asset
// itself: it is a multiple of the longest gap that is usual for it. It goes by the wall clock, since the time of events stands still when nothing comes.
package absence

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"andon/event"
)

// Config says of a pipeline when an asset is missed.
type Config struct {
	// Times is how many of its own usual gaps an asset may be silent; 0: nobody is missed. Floor is the least time all the same.
	Times float64       `yaml:"times"`
	Floor time.Duration `yaml:"floor"`
	// Forget is after how much silence an asset is taken to be gone for good, and no longer missed.
	Forget time.Duration `yaml:"forget"`
	// Except is a regular expression of assets that may stop when they like; an empty one is of none.
	Except   string `yaml:"except"`
	Severity string `yaml:"severity"`
}

// Default is what a pipeline without the section has.
func Default() Config {
	return Config{
		Times:    5,           // usual gaps are the longest ones of late, so twice that is rare already
		Floor:    time.Minute, // a restart of a gateway is over by then
		Forget:   24 * time.Hour,
		Severity: event.SeverityWarning,
	}
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Default()
	return unmarshal((*plain)(c))
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Times != 0 && !(c.Times >= 1.5 && c.Times <= 1e6) {
		fault("times: %v is neither 0, for not at all, nor from 1.5 on", c.Times)
	}
	if c.Floor < every {
		fault("floor: %v is less than %v, which is how often it is looked", c.Floor, every)
	}
	if c.Forget < c.Floor {
		fault("forget: %v is less than floor, %v", c.Forget, c.Floor)
	}
	if _, err := regexp.Compile(c.Except); err != nil {
		fault("except: %v", err)
	}
	if !slices.Contains([]string{event.SeverityInfo, event.SeverityWarning, event.SeverityCritical}, c.Severity) {
		fault("severity: %q is none of info, warning and critical", c.Severity)
	}
	return errors.Join(errs...)
}
