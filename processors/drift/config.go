package drift

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Config is the section drift of a pipeline: what is watched, and when it counts as a change.
type Config struct {
	// Enabled watches the pipeline's windows or frames, once a model scores them. What is said of windows goes for frames that count, too, and for cameras what is said of assets.
	Enabled bool `yaml:"enabled"`
	// Windows is how many windows of one partition are a piece; a round is a piece of each partition.
	Windows int `yaml:"windows"`
	// Groups are asset groups, by name: a regular expression of the names of their assets. They are looked at beside the fleet; an asset is of the first group, by name, that matches.
	Groups map[string]string `yaml:"groups"`
	// Every is how often a frame of each camera counts, in event time; of the frames between, which are nearly the same, none does. 0 counts all. Windows count all.
	Every time.Duration `yaml:"every"`
	// Learn is how many windows of a partition are the reference of a model that brings none.
	Learn int `yaml:"learn"`
	// FalseDiscovery is the share of false ones among the changes that the tests of a round find.
	FalseDiscovery float64 `yaml:"false_discovery"`
	// Limits are distances that matter, Agree how many of them must be passed beside the test.
	Limits Limits `yaml:"limits"`
	Agree  int    `yaml:"agree"`
	// Dwell is how many rounds in a row it must be so, or no longer be so; Cooldown how many rounds after an alarm's end no other of its kind is raised.
	Dwell    int `yaml:"dwell"`
	Cooldown int `yaml:"cooldown"`
	// Loss is by how much the estimated loss must be above what is expected, as a share of that.
	Loss float64 `yaml:"loss"`
}

// Limits are distances beyond which a change matters.
type Limits struct {
	KS    float64 `yaml:"ks"`
	PSI   float64 `yaml:"psi"`
	JS    float64 `yaml:"js"`
	Place float64 `yaml:"place"`
	// MMD is of embeddings: by how much their mean has moved, in what one of them is usually away from it.
	MMD float64 `yaml:"mmd"`
}

// Default returns the settings of a fleet of tens to thousands of assets.
func Default() Config {
	return Config{
		Enabled: true,
		// Four partitions make 2,000 windows a round: of 100 engines at one cycle a second that is 20 seconds, and a shift of one deviation of one sensor of C-MAPSS has P values of 1e-10 and below.
		Windows: 500,
		// At five frames a second a piece of one camera would be over in two minutes and know one scene; so it takes eight, and the reference half an hour.
		Every: time.Second,
		// As many as four pieces, so that what differs between pieces can be learned.
		Learn: 2000,
		// One round in a hundred has a false one where the tests' variances are right; they are more often too wide than too narrow, and it takes two rounds and two distances besides.
		FalseDiscovery: 0.01,
		// What a shift of about 0.4 standard deviations passes (KS 0.15, place 0.11), or a spread of 1.6 times. Smaller shifts are found, too, but are no reason to wake anybody. PSI 0.2 is the custom
		// of scorecards. An embedding has more than one direction in which something may move: a quarter of its spread is a shift of one deviation in one of sixteen.
		Limits: Limits{KS: 0.15, PSI: 0.2, JS: 0.2, Place: 0.1, MMD: 0.25},
		Agree:  2,
		Dwell:  2, // one odd piece is not a change
		// A change that comes and goes is one matter.
		Cooldown: 4,
		// A model that loses a quarter more than it should is no longer the one that was examined.
		Loss: 0.25,
	}
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Default()
	return unmarshal((*plain)(c))
}

// mostGroups bounds what a piece takes: about 40 KB a group and partition for 30 features.
const mostGroups = 64

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	check(c.Windows >= 50 && c.Windows <= 1_000_000, "windows", c.Windows, "between 50 and 1000000")
	check(c.Every >= 0, "every", c.Every, "0 or more")
	check(c.Learn >= 4*50 && c.Learn <= 20_000, "learn", c.Learn, "between 200 and 20000: they are kept in memory until then")
	check(c.FalseDiscovery > 0 && c.FalseDiscovery <= 0.2, "false_discovery", c.FalseDiscovery, "above 0 and at most 0.2")
	for key, v := range map[string]float64{"ks": c.Limits.KS, "psi": c.Limits.PSI, "js": c.Limits.JS, "place": c.Limits.Place, "mmd": c.Limits.MMD} {
		check(v >= 0, "limits."+key, v, "0 or more")
	}
	check(c.Agree >= 0 && c.Agree <= 4, "agree", c.Agree, "between 0 and 4: there are four distances")
	check(c.Dwell >= 1, "dwell", c.Dwell, "at least 1 round")
	check(c.Cooldown >= 0, "cooldown", c.Cooldown, "0 rounds or more")
	check(c.Loss >= 0, "loss", c.Loss, "0 or more")
	check(len(c.Groups) <= mostGroups, "groups", len(c.Groups), fmt.Sprintf("at most %d", mostGroups))
	for name, pattern := range c.Groups {
		check(name != "" && name != Fleet, "groups", name, "a name of its own: fleet is all assets, and those of no group")
		if _, err := regexp.Compile(pattern); err != nil {
			errs = append(errs, fmt.Errorf("groups.%s: %w", name, err))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Compile returns the groups in the order of their names. The configuration must be valid.
func (c *Config) Compile() []Group {
	var all []Group
	for name, pattern := range c.Groups {
		all = append(all, Group{Name: name, Match: regexp.MustCompile(pattern)})
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
