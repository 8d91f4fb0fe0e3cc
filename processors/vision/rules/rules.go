// Package rules says what the boxes and classes of a camera's frames mean for people: who is in which zone, for how long, who crossed a line, how many there are, what they lack, and whether a machine runs
// meanwhile. It is pure: all time is event time, and the same frames in the same order give the same answers.
//
// Zones and lines lie in coordinates of 0 to 1 from the upper left corner. An object is where the middle of its box's lower edge is, as its feet are (so does Frigate, docs.frigate.video/configuration/zones).
package rules

import (
	"fmt"
	"slices"

	"andon/event"
)

// Set is a pipeline's zones, lines and rules. It is not changed and may be shared.
type Set struct {
	cfg   Config
	zones map[string]*Zone
	lines map[string]*Line
	// span is the longest time that a state remembers an object which is not seen.
	forget int64
}

// New makes a set of a valid configuration.
func New(cfg Config) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, zones: map[string]*Zone{}, lines: map[string]*Line{}, forget: int64(cfg.Track.Forget)}
	for i := range cfg.Zones {
		s.zones[cfg.Zones[i].Name] = &cfg.Zones[i]
	}
	for i := range cfg.Lines {
		s.lines[cfg.Lines[i].Name] = &cfg.Lines[i]
	}
	return s, nil
}

// Class is what a classification says of a zone's crop, or of the whole frame where Zone is empty.
type Class struct {
	Zone, Label string
	Risk        float32
	// Normal tells that the label means nothing to see.
	Normal bool
}

// Frame is what a model saw in one frame. Step gives its boxes their tracks.
type Frame struct {
	Camera   string
	Captured int64
	Boxes    []event.Box
	Classes  []Class
}

// Facts tells whether what a rule asks of a machine holds at an instant; known is false where nothing recent is known of it.
type Facts func(w *While, at int64) (holds, known bool)

// Firing is a rule that begins or ceases to hold.
type Firing struct {
	Rule *Rule
	// Over tells that it has ceased.
	Over bool
	// Count is how many objects met it, Since when the first of them began to, in event time.
	Count int
	Since int64
	// Labels are those of the objects, each once; Tracks name them, where they are followed.
	Labels []string
	Tracks []int64
}

// Outcome is what a frame led to.
type Outcome struct {
	// Zones hold something.
	Zones []string
	// Firings are in the order of the rules.
	Firings []Firing
	// Unknown names rules that would have fired if anything were known of their machine.
	Unknown []string
}

// object is one thing in a frame: a box with its track, or a class, which is followed as what its zone shows.
type object struct {
	track int64
	label string
	box   *event.Box // nil for a class
	zone  string     // of a class
	foot  Point
}

// Step takes the next frame of a camera. Frames that are not newer than the last are not looked at: their boxes get no tracks.
func (s *Set) Step(c *Camera, f *Frame, facts Facts) (out Outcome) {
	if c.Last != 0 && f.Captured <= c.Last {
		return out
	}
	c.begin(f.Captured, s.forget)
	s.follow(c, f)
	objects := make([]object, 0, len(f.Boxes)+len(f.Classes))
	for i := range f.Boxes {
		b := &f.Boxes[i]
		objects = append(objects, object{track: b.Track, label: b.Label, box: b, foot: Point{(b.X0 + b.X1) / 2, b.Y1}})
	}
	for i := range f.Classes {
		if k := &f.Classes[i]; !k.Normal && k.Label != "" {
			objects = append(objects, object{label: k.Label, zone: k.Zone})
		}
	}
	for i := range s.cfg.Zones {
		z := &s.cfg.Zones[i]
		if !applies(z.Cameras, f.Camera) {
			continue
		}
		p := c.presence("zone " + z.Name)
		p.step(f.Captured, z.Inertia, objects, func(o *object) bool { return z.holds(o) && labelled(z.Labels, o.label) })
		if p.held() > 0 {
			out.Zones = append(out.Zones, z.Name)
		}
	}
	for i := range s.cfg.Rules {
		r := &s.cfg.Rules[i]
		if !applies(r.Cameras, f.Camera) {
			continue
		}
		var firing Firing
		var met bool
		if r.Line != "" {
			firing, met = s.crossed(c, r, f, objects)
		} else {
			firing, met = s.present(c, r, f, objects)
		}
		s.judge(c, r, f, firing, met, facts, &out)
	}
	c.end(f.Captured, objects)
	return out
}

// present tells who meets a rule of a zone, or of the whole frame.
func (s *Set) present(c *Camera, r *Rule, f *Frame, objects []object) (Firing, bool) {
	z := s.zones[r.Zone]
	inertia := r.Inertia
	if inertia == 0 && z != nil {
		inertia = z.Inertia
	}
	p := c.presence("rule " + r.Name)
	p.step(f.Captured, max(inertia, 1), objects, func(o *object) bool {
		if !labelled(r.Labels, o.label) || z != nil && (!z.holds(o) || !labelled(z.Labels, o.label)) || z == nil && o.zone != "" {
			return false
		}
		return len(r.Without) == 0 || lacks(o, r.Without, objects)
	})
	firing := Firing{Rule: r}
	for _, o := range p.Objects {
		if !o.In || f.Captured-o.Since < int64(r.Dwell) {
			continue
		}
		firing.add(o.Track, o.Label, o.Since)
	}
	return firing, firing.Count > r.Above
}

// crossed tells who crossed a line between the frame before and this one.
func (s *Set) crossed(c *Camera, r *Rule, f *Frame, objects []object) (Firing, bool) {
	l := s.lines[r.Line]
	firing := Firing{Rule: r}
	if !applies(l.Cameras, f.Camera) {
		return firing, false
	}
	for i := range objects {
		o := &objects[i]
		t := c.Tracks[o.track]
		if o.box == nil || t == nil || !labelled(r.Labels, o.label) || t.Frames < max(r.Inertia, 2) {
			continue
		}
		if side := l.crossing(t.Foot, o.foot); side != 0 && r.Direction.takes(side) {
			firing.add(o.track, o.label, f.Captured)
		}
	}
	return firing, firing.Count > 0
}

func (f *Firing) add(track int64, label string, since int64) {
	if f.Count++; f.Since == 0 || since < f.Since {
		f.Since = since
	}
	if !slices.Contains(f.Labels, label) {
		f.Labels = append(f.Labels, label)
	}
	if track != 0 {
		f.Tracks = append(f.Tracks, track)
	}
}

// judge fires a rule that begins to hold, unless it fired less than its cooldown ago: then it fires once that is over, if it still holds.
func (s *Set) judge(c *Camera, r *Rule, f *Frame, firing Firing, met bool, facts Facts, out *Outcome) {
	if met && r.While != nil {
		holds, known := false, false
		if facts != nil {
			holds, known = facts(r.While, f.Captured)
		}
		if !known {
			out.Unknown = append(out.Unknown, r.Name)
			holds = r.While.Unknown == UnknownFire
		}
		met = holds
	}
	st := c.rule(r.Name)
	rested := st.Fired == 0 || f.Captured-st.Fired >= int64(r.Cooldown)
	switch {
	case met && !st.Active && rested:
		st.Active, st.Fired = true, f.Captured
		out.Firings = append(out.Firings, firing)
	case met && st.Active && r.Line != "" && rested:
		st.Fired = f.Captured // crossed again
		out.Firings = append(out.Firings, firing)
	case !met && st.Active && (r.Line == "" || rested):
		// What crossed a line is gone; it is over once nobody has crossed for the cooldown.
		st.Active = false
		firing.Over = true
		out.Firings = append(out.Firings, firing)
	}
}

// lacks tells whether nothing with one of the labels belongs to an object: its middle lies within the object's width, and between one height above its top and its bottom, so that a helmet belongs to the
// person who wears it as to the vest below it.
func lacks(o *object, labels []string, objects []object) bool {
	if o.box == nil {
		return true
	}
	b := o.box
	for i := range objects {
		other := &objects[i]
		if other.box == nil || other.box == b || !slices.Contains(labels, other.label) {
			continue
		}
		x, y := (other.box.X0+other.box.X1)/2, (other.box.Y0+other.box.Y1)/2
		if x >= b.X0 && x <= b.X1 && y >= b.Y0-(b.Y1-b.Y0) && y <= b.Y1 {
			return false
		}
	}
	return true
}

func applies(cameras []string, camera string) bool {
	return len(cameras) == 0 || slices.Contains(cameras, camera)
}

func labelled(labels []string, label string) bool {
	return len(labels) == 0 || slices.Contains(labels, label)
}

// Title says in one line what happened.
func (f *Firing) Title(camera string) string {
	what := "something"
	if len(f.Labels) > 0 {
		what = join(f.Labels)
	}
	if f.Count > 1 {
		what = fmt.Sprintf("%d × %s", f.Count, what)
	}
	where := camera
	switch {
	case f.Rule.Line != "":
		where = fmt.Sprintf("over %s at %s", f.Rule.Line, camera)
	case f.Rule.Zone != "":
		where = fmt.Sprintf("in %s at %s", f.Rule.Zone, camera)
	default:
		where = "at " + camera
	}
	if len(f.Rule.Without) > 0 {
		where = "without " + join(f.Rule.Without) + " " + where
	}
	return fmt.Sprintf("%s: %s %s", f.Rule.Name, what, where)
}

func join(labels []string) string {
	s := ""
	for i, l := range labels {
		if i > 0 {
			s += ", "
		}
		s += l
	}
	return s
}

// Says tells in words when the rule fires.
func (r *Rule) Says() string {
	who := "anything"
	if len(r.Labels) > 0 {
		who = join(r.Labels)
	}
	if r.Above > 0 {
		who = fmt.Sprintf("more than %d × %s", r.Above, who)
	}
	if len(r.Without) > 0 {
		who += " without " + join(r.Without)
	}
	switch {
	case r.Line != "":
		who += " crosses " + r.Line
		if r.Direction == Left || r.Direction == Right {
			who += " to the " + string(r.Direction)
		}
	case r.Zone != "":
		who += " in " + r.Zone
	}
	if r.Dwell > 0 {
		who += " for " + r.Dwell.String()
	}
	if w := r.While; w != nil {
		who += " while " + w.Asset + " " + w.Signal
		if w.Above != nil {
			who += fmt.Sprintf(" is above %g", *w.Above)
		}
		if w.Below != nil {
			who += fmt.Sprintf(" is below %g", *w.Below)
		}
	}
	return who
}
