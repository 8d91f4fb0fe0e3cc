// Package anomaly gives an asset's rows scores by a detector that learns from the stream itself, in place of a trained model: what a pipeline with a section `detector` scores by.
package anomaly

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"andon/model"
	"andon/processors/baseline"
	"andon/processors/surprise"
)

// Config chooses a detector: exactly one of them.
type Config struct {
	// Surprise asks how unlike its own past each signal is. For signals that have their own ways of being usual, such as days and shifts.
	Surprise *surprise.Config `yaml:"surprise"`
	// Baseline asks how far the signals are from where they were while they were learned. For a machine that has one way of running.
	Baseline *Baseline `yaml:"baseline"`
}

// Baseline is a detector of departures from what an asset's first rows were like.
type Baseline struct {
	// Learn is how many of an asset's first rows (closed slots) are taken for usual. It is not scored before it has them.
	Learn int `yaml:"learn"`
	// Tell is what a risk of one half or more says: one of the Tell constants.
	Tell            string `yaml:"tell"`
	baseline.Config `yaml:",inline"`
}

// What a baseline's risk speaks of.
const (
	TellDepartures = "departures" // the signals are away from their baseline
	TellChanges    = "changes"    // at this row they began to be otherwise than just before, or a departure began or ended
)

// DefaultBaseline returns the settings of a pipeline that says nothing but that it has one.
func DefaultBaseline() Baseline {
	// What SKAB's protocol gives; 400 rows of a machine at work are minutes to hours.
	return Baseline{Learn: 400, Tell: TellDepartures, Config: baseline.Default()}
}

// UnmarshalYAML reads a section over the defaults.
func (b *Baseline) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Baseline
	*b = DefaultBaseline()
	return unmarshal((*plain)(b))
}

// mostLearned bounds the rows that an asset's learning holds: 8 bytes a signal and row.
const mostLearned = 10_000

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	switch {
	case c.Surprise != nil && c.Baseline != nil:
		return errors.New("baseline: there is surprise, too: one pipeline has one detector; make a second pipeline of the same topic for the other")
	case c.Surprise != nil:
		return under("surprise", c.Surprise.Validate())
	case c.Baseline != nil:
		return under("baseline", c.Baseline.Validate())
	}
	return errors.New("surprise: name a detector: surprise: {} or baseline: {} are the defaults of the two that there are")
}

// Validate reports every fault with its key.
func (b *Baseline) Validate() error {
	errs := []error{b.Config.Validate()}
	if errs[0] == nil && (b.Learn < b.Least() || b.Learn > mostLearned) {
		errs = append(errs, fmt.Errorf("learn: %d is not between %d (four times smooth or twice the longest of steps, whichever is more) and %d", b.Learn, b.Least(), mostLearned))
	}
	if b.Tell != TellDepartures && b.Tell != TellChanges {
		errs = append(errs, fmt.Errorf("tell: %q is neither %s nor %s", b.Tell, TellDepartures, TellChanges))
	}
	return errors.Join(errs...)
}

// under puts the section's key before those of its faults.
func under(key string, err error) error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s.%w", key, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, under(key, e))
	}
	return errors.Join(errs...)
}

// Kind names the detector.
func (c *Config) Kind() string {
	if c.Baseline != nil {
		return "baseline"
	}
	return "surprise"
}

// Unit is that of the scores' values.
func (c *Config) Unit() string { return "limits" }

// Rows is how many of an asset's first rows are not scored.
func (c *Config) Rows() int {
	if c.Baseline != nil {
		return c.Baseline.Learn
	}
	return c.Surprise.Warm
}

// Look is how many slots a score speaks of.
func (c *Config) Look() int {
	switch {
	case c.Baseline == nil:
		return max(slices.Max(c.Surprise.Lengths), c.Surprise.Slow)
	case c.Baseline.Tell == TellChanges:
		return 2 * c.Baseline.Longest()
	}
	return c.Baseline.Smooth
}

// way counts what the detectors' code makes of the same settings and rows; one more with each change that gives other scores.
const way = 3

// Version names what gives the scores, by all that they depend on but the rows: the detector and its settings, and how rows become slots. There is no file behind it.
func (c *Config) Version(r *model.Recipe) string {
	slots := *r
	slots.Scale = nil
	js, err := json.Marshal(struct {
		Way      int
		Detector Config
		Slots    model.Recipe
	}{way, *c, slots})
	if err != nil {
		panic(err) // only numbers and strings
	}
	sum := sha256.Sum256(js)
	return c.Kind() + "-" + hex.EncodeToString(sum[:6])
}
