package vision

import (
	"errors"
	"fmt"
	"time"

	"andon/processors/vision/rules"
)

// Config is a pipeline's section on frames.
type Config struct {
	// MaxAge is how old a frame may be when its turn comes, from its capture; 0 is no bound, as for recordings that are looked at later.
	MaxAge time.Duration `yaml:"max_age"`
	// Newest scores only the newest of a camera's frames that wait. Without it all of them are, in order: for inspection, where each picture is another piece.
	Newest bool `yaml:"newest"`
	// Pictures is how many go to the scorer in one call.
	Pictures int  `yaml:"pictures"`
	Keep     Keep `yaml:"keep"`

	rules.Config `yaml:",inline"`
}

// Crops are the zones of a camera that a model is shown instead of the whole frame; none: the whole.
func (c *Config) Crops(camera string) (all []rules.Zone) {
	for i := range c.Zones {
		if z := &c.Zones[i]; z.Crop && z.At(camera) {
			all = append(all, *z)
		}
	}
	return all
}

// Keep says which frames are kept as evidence, beside those at which a rule fires.
type Keep struct {
	// Every is how often a frame of each camera is kept for training, in event time; 0 keeps none, a value below the time between two frames keeps all.
	Every time.Duration `yaml:"every"`
}

// Default returns the settings of a camera on the line.
func Default() Config {
	return Config{
		// Older than this it is history, not something to act on.
		MaxAge:   2 * time.Second,
		Newest:   true,
		Pictures: 8, // the scorer's own bound of a run
		Keep:     Keep{Every: 10 * time.Second},
		Config:   rules.Default(),
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
	if c.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("max_age: %v is negative; 0 is no bound", c.MaxAge))
	}
	if c.Pictures < 1 || c.Pictures > 256 {
		errs = append(errs, fmt.Errorf("pictures: %d is not between 1 and 256", c.Pictures))
	}
	if c.Keep.Every < 0 {
		errs = append(errs, fmt.Errorf("keep.every: %v is negative; 0 keeps none", c.Keep.Every))
	}
	return errors.Join(append(errs, c.Config.Validate())...)
}
