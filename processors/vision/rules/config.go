package rules

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config is a vision pipeline's zones, lines and rules, as an operator writes them.
type Config struct {
	Track Track  `yaml:"track"`
	Zones []Zone `yaml:"zones"`
	Lines []Line `yaml:"lines"`
	Rules []Rule `yaml:"rules"`
}

// Track says how boxes of frames one after the other are known to be one object.
type Track struct {
	// Overlap is the least intersection over union of a box with where the object is expected.
	Overlap float32 `yaml:"overlap"`
	// Reach is how far, in sizes of its box, an object may have gone where nothing overlaps: at five frames a second people do.
	Reach float32 `yaml:"reach"`
	// Forget is how long an object may be out of sight, in event time.
	Forget time.Duration `yaml:"forget"`
}

// Zone is a part of a camera's picture.
type Zone struct {
	Name    string   `yaml:"name"`
	Cameras []string `yaml:"cameras"` // none: all
	// Polygon has three corners or more.
	Polygon []Point `yaml:"polygon"`
	// Labels are what counts; none: all.
	Labels []string `yaml:"labels"`
	// Inertia is how many frames in a row something must be in it to have come, and out of it to have gone.
	Inertia int `yaml:"inertia"`
	// Crop gives the model the zone's surrounding rectangle instead of the whole picture.
	Crop bool `yaml:"crop"`
}

// Line is what somebody may cross.
type Line struct {
	Name    string   `yaml:"name"`
	Cameras []string `yaml:"cameras"` // none: all
	From    Point    `yaml:"from"`
	To      Point    `yaml:"to"`
}

// Direction is to which side a line is crossed, as one sees who looks from From to To on the picture.
type Direction string

// The directions.
const (
	Either Direction = "either"
	Left   Direction = "left"
	Right  Direction = "right"
)

func (d Direction) takes(side int) bool {
	return d != Left && d != Right || d == Left && side < 0 || d == Right && side > 0
}

// Rule says when people must be told.
type Rule struct {
	Name    string   `yaml:"name"`
	Cameras []string `yaml:"cameras"` // none: all
	// Zone or Line say where; neither: the whole picture.
	Zone string `yaml:"zone"`
	Line string `yaml:"line"`
	// Direction is of a line.
	Direction Direction `yaml:"direction"`
	// Labels are what it is about; none: everything. Without are labels that an object must not have with it: a helmet, say.
	Labels  []string `yaml:"labels"`
	Without []string `yaml:"without"`
	// Above: more objects than this must meet it.
	Above int `yaml:"above"`
	// Dwell is how long an object must meet it. Inertia is how many frames in a row it must, and how many it must not to have ceased; 0 takes the zone's, or 1.
	Dwell   time.Duration `yaml:"dwell"`
	Inertia int           `yaml:"inertia"`
	// While is what must hold of a machine at the same time.
	While *While `yaml:"while"`
	// Cooldown is the least time between two firings at one camera.
	Cooldown time.Duration `yaml:"cooldown"`
	Severity string        `yaml:"severity"`
	// Detail says what to do.
	Detail string `yaml:"detail"`
}

// While is a condition on the newest reading of a machine.
type While struct {
	Pipeline string `yaml:"pipeline"`
	Asset    string `yaml:"asset"`
	Signal   string `yaml:"signal"`
	// Above and Below are bounds that the value must lie beyond; one or both.
	Above *float64 `yaml:"above"`
	Below *float64 `yaml:"below"`
	// MaxAge is how much older, or newer, than the frame the reading may be.
	MaxAge time.Duration `yaml:"max_age"`
	// Unknown says what a rule does while nothing so recent is known: hold or fire.
	Unknown string `yaml:"unknown"`
}

// What a rule does while nothing is known of its machine.
const (
	UnknownHold = "hold"
	UnknownFire = "fire"
)

// Holds tells whether a value meets the condition.
func (w *While) Holds(value float64) bool {
	return value == value && (w.Above == nil || value > *w.Above) && (w.Below == nil || value < *w.Below)
}

// Default returns the settings of a pipeline that says nothing.
func Default() Config {
	return Config{Track: Track{
		Overlap: 0.3, // SORT's
		Reach:   1,   // a person of a metre's width at walking pace goes a third of a metre between two frames of five a second; one who runs, one and a half
		Forget:  2 * time.Second,
	}}
}

// UnmarshalYAML reads a zone over its defaults.
func (z *Zone) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Zone
	*z = Zone{Inertia: 3} // Frigate's
	return unmarshal((*plain)(z))
}

// UnmarshalYAML reads a rule over its defaults.
func (r *Rule) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Rule
	*r = Rule{Cooldown: 30 * time.Second, Severity: "warning", Direction: Either}
	return unmarshal((*plain)(r))
}

// UnmarshalYAML reads a condition over its defaults.
func (w *While) UnmarshalYAML(unmarshal func(any) error) error {
	type plain While
	*w = While{MaxAge: 5 * time.Second, Unknown: UnknownHold}
	return unmarshal((*plain)(w))
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if t := c.Track; !(t.Overlap > 0 && t.Overlap <= 1) {
		fault("track.overlap: %v is not above 0 and at most 1", t.Overlap)
	}
	if !(c.Track.Reach >= 0 && c.Track.Reach <= 10) {
		fault("track.reach: %v is not between 0 and 10 sizes of a box", c.Track.Reach)
	}
	if c.Track.Forget <= 0 {
		fault("track.forget: %v is not a wait", c.Track.Forget)
	}
	zones, lines, rules := map[string]bool{}, map[string]bool{}, map[string]bool{}
	named := func(kind string, i int, name string, seen map[string]bool) string {
		key := fmt.Sprintf("%s[%d]", kind, i)
		if name == "" {
			fault("%s.name: is empty", key)
			return key
		}
		if seen[name] {
			fault("%s.name: %q is taken", key, name)
		}
		seen[name] = true
		return kind + "." + name
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		key := named("zones", i, z.Name, zones)
		if len(z.Polygon) < 3 {
			fault("%s.polygon: has %d corners: give three or more, as [[0.1, 0.5], [0.4, 0.5], [0.4, 1]]", key, len(z.Polygon))
		}
		for _, p := range z.Polygon {
			if !p.within() {
				fault("%s.polygon: [%v, %v] is not within 0 and 1 of the picture", key, p.X, p.Y)
				break
			}
		}
		if len(z.Polygon) >= 3 && z.area() < 1e-5 {
			fault("%s.polygon: holds nothing: its corners lie on one line", key)
		}
		if z.Inertia < 1 || z.Inertia > 1000 {
			fault("%s.inertia: %d is not between 1 and 1000 frames", key, z.Inertia)
		}
	}
	for i := range c.Lines {
		l := &c.Lines[i]
		key := named("lines", i, l.Name, lines)
		if !l.From.within() || !l.To.within() || l.From == l.To {
			fault("%s: from [%v, %v] to [%v, %v] is no line within 0 and 1 of the picture", key, l.From.X, l.From.Y, l.To.X, l.To.Y)
		}
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		r.validate(named("rules", i, r.Name, rules), zones, lines, fault)
	}
	return errors.Join(errs...)
}

func (r *Rule) validate(key string, zones, lines map[string]bool, fault func(format string, args ...any)) {
	if r.Zone != "" && r.Line != "" {
		fault("%s: zone %q and line %q: a rule is about one of them", key, r.Zone, r.Line)
	}
	if r.Zone != "" && !zones[r.Zone] {
		fault("%s.zone: %q is none of the zones", key, r.Zone)
	}
	if r.Line != "" && !lines[r.Line] {
		fault("%s.line: %q is none of the lines", key, r.Line)
	}
	if !slices.Contains([]Direction{"", Either, Left, Right}, r.Direction) {
		fault("%s.direction: %q is none of %s, %s, %s", key, r.Direction, Either, Left, Right)
	}
	if r.Line != "" && (r.Dwell != 0 || r.Above != 0 || len(r.Without) > 0) {
		fault("%s: dwell, above and without are of a zone; a line is crossed in an instant", key)
	}
	if r.Line == "" && (r.Direction == Left || r.Direction == Right) {
		fault("%s.direction: is of a line, and the rule names none", key)
	}
	if r.Above < 0 || r.Dwell < 0 || r.Cooldown < 0 || r.Inertia < 0 || r.Inertia > 1000 {
		fault("%s: above %d, dwell %v, cooldown %v, inertia %d: none may be negative", key, r.Above, r.Dwell, r.Cooldown, r.Inertia)
	}
	if !slices.Contains([]string{"info", "warning", "critical"}, r.Severity) {
		fault("%s.severity: %q is none of info, warning, critical", key, r.Severity)
	}
	if w := r.While; w != nil {
		if w.Pipeline == "" || w.Asset == "" || w.Signal == "" {
			fault("%s.while: name the pipeline, the asset and the signal", key)
		}
		if w.Above == nil && w.Below == nil {
			fault("%s.while: give above, below or both", key)
		}
		if w.MaxAge <= 0 {
			fault("%s.while.max_age: %v is not a duration", key, w.MaxAge)
		}
		if w.Unknown != UnknownHold && w.Unknown != UnknownFire {
			fault("%s.while.unknown: %q is neither %s nor %s", key, w.Unknown, UnknownHold, UnknownFire)
		}
	}
}
