package surprise

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Config are the settings.
type Config struct {
	// Warm is how many values come before anything is said; the signal's scale is learned from them.
	Warm int `yaml:"warm"`
	// Lengths are those of the stretches that are looked at, in values. Slow is of how many values level and spread are; 0 looks at neither.
	Lengths []int `yaml:"lengths"`
	Slow    int   `yaml:"slow"`
	// Past is how far back stretches are remembered, in values.
	Past int `yaml:"past"`
	// Long is of how many distances distributions are, Short how many of the newest are held against each.
	Long  []int `yaml:"long"`
	Short []int `yaml:"short"`
	// Alarm is the score from which on something is said to be an anomaly; after it the score is cut for Rest values, so that one is told once.
	Alarm float64 `yaml:"alarm"`
	Rest  int     `yaml:"rest"`
	// Habit is by how much of itself each alarm raises what the next one needs; half of that is forgotten after Life values.
	Habit float64 `yaml:"habit"`
	Life  int     `yaml:"life"`
}

// Default returns the settings that were chosen on every second file of bench/nab (the first half of bench/README.md), in the middle of a wide region that was good there, after searches over more than ten thousand.
func Default() Config {
	return Config{Warm: 200, Lengths: []int{1, 3, 6}, Slow: 24, Past: 4200, Long: []int{500, 1000, 2000, 5000}, Short: []int{1, 2, 3}, Alarm: 0.4, Rest: 150, Habit: 0.1, Life: 1000}
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Config(Default())
	return unmarshal((*plain)(c))
}

// The bounds of what a detector holds.
const (
	most  = 100_000
	parts = 8 // members of a list
)

// Bytes is what a detector holds at most, about.
func (c *Config) Bytes() int {
	each := func(length, stride int) int { return max(1, c.Past/stride)*length + slices.Max(c.Long) }
	values := max(c.Warm, 0)
	for _, n := range c.Lengths {
		values += each(n, max(1, n/2))
	}
	if c.Slow > 0 {
		values += 2 * each(1, 1)
	}
	return 4 * values
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	list := func(all []int, least, greatest int) bool {
		for _, n := range all {
			if n < least || n > greatest {
				return false
			}
		}
		return len(all) > 0 && len(all) <= parts
	}
	check(list(c.Lengths, 1, 1000), "lengths", c.Lengths, fmt.Sprintf("one to %d numbers between 1 and 1000", parts))
	check(c.Slow == 0 || c.Slow >= 2 && c.Slow <= 1000, "slow", c.Slow, "0, or between 2 and 1000")
	longest := c.Slow
	for _, n := range c.Lengths {
		longest = max(longest, n)
	}
	check(c.Warm >= max(enough, 4*longest) && c.Warm <= most, "warm", c.Warm, fmt.Sprintf("between %d (four times the longest of lengths and slow, and at least %d) and %d", max(enough, 4*longest), enough, most))
	check(c.Past >= 1 && c.Past <= most, "past", c.Past, fmt.Sprintf("between 1 and %d", most))
	check(list(c.Long, enough, most), "long", c.Long, fmt.Sprintf("one to %d numbers between %d and %d", parts, enough, most))
	check(list(c.Short, 1, enough), "short", c.Short, fmt.Sprintf("one to %d numbers between 1 and %d", parts, enough))
	check(c.Alarm > 0 && c.Alarm <= highest, "alarm", c.Alarm, fmt.Sprintf("above 0 and at most %d", highest))
	check(c.Rest >= 0 && c.Rest <= most, "rest", c.Rest, fmt.Sprintf("between 0 and %d", most))
	check(c.Habit >= 0 && !math.IsInf(c.Habit, 1), "habit", c.Habit, "a number of 0 or more")
	check(c.Life >= 1, "life", c.Life, "at least 1")
	return errors.Join(errs...)
}
