package vision

import (
	"strings"
	"time"

	"andon/event"
	"andon/processors/vision/rules"
)

// act judges what was seen by the rules, and tells what fires at once.
func (p *Partition) act(f *looked, s *event.Sight, received int64) {
	l := p.line
	seen := rules.Frame{Camera: f.Camera, Captured: f.Captured, Boxes: s.Boxes, Classes: f.camera.said}
	out := l.set.Step(&f.camera.Camera, &seen, l.deps.Machines.Facts)
	f.camera.said = f.camera.said[:0]
	s.Status, s.Zones = event.SightScored, out.Zones
	for i := range out.Firings {
		if !out.Firings[i].Over {
			s.Fired = append(s.Fired, out.Firings[i].Rule.Name)
		}
	}
	now := l.now().UnixNano()
	s.ScoredAt, s.Age, s.Latency = now, max(now-f.Captured, 0), max(now-received, 0)
	if len(s.Fired) > 0 {
		s.Evidence = p.keeper.ref(f, KeptFired)
	}
	for i := range out.Firings {
		p.tell(&out.Firings[i], s, now)
	}
	l.meters.action.Observe(float64(max(l.now().UnixNano()-f.Captured, 0)) / 1e9)
	l.meters.frames[event.SightScored].Inc()
	l.meters.fired.Add(float64(len(s.Fired)))
	l.meters.unknown.Add(float64(len(out.Unknown)))
	if len(s.Fired) > 0 {
		p.keeper.keep(f, s, KeptFired)
		f.camera.Sampled = f.Captured
	} else {
		p.sample(&f.Frame, s)
	}
	p.show(&f.Frame, s)
}

// sample keeps a frame for training, if it is time.
func (p *Partition) sample(f *event.Frame, s *event.Sight) {
	every := p.line.cfg.Keep.Every
	if every == 0 || f.JPEG == nil {
		return
	}
	c := p.camera(f.Camera)
	if c.Sampled != 0 && f.Captured > c.Sampled && f.Captured-c.Sampled < int64(every) {
		return
	}
	c.Sampled = f.Captured
	p.keeper.keep(&looked{Frame: *f}, s, KeptSampled)
}

// tell raises the alert of a rule that begins or ceases to hold.
func (p *Partition) tell(f *rules.Firing, s *event.Sight, now int64) {
	l := p.line
	if l.deps.Alert == nil {
		return
	}
	r := f.Rule
	a := event.Alert{ID: strings.Join([]string{l.name, event.AlertRule, r.Name, s.Camera}, "/"), Pipeline: l.name, Kind: event.AlertRule, Severity: r.Severity, Title: f.Title(s.Camera), Detail: r.Detail,
		Asset: s.Camera, Labels: map[string]string{"rule": r.Name, "camera": s.Camera}, Since: f.Since, Time: now, Resolved: f.Over}
	if a.Since == 0 {
		a.Since = s.Captured
	}
	if f.Over {
		a.Title = r.Name + ": over at " + s.Camera
	}
	if a.Detail == "" {
		a.Detail = "Look at the frame, and at the camera."
	}
	if r.Zone != "" {
		a.Labels["zone"] = r.Zone
	}
	if r.Line != "" {
		a.Labels["line"] = r.Line
	}
	if len(f.Labels) > 0 {
		a.Labels["object"] = strings.Join(f.Labels, ",")
	}
	a.Labels["captured"] = time.Unix(0, s.Captured).UTC().Format(time.RFC3339Nano)
	if s.Evidence != "" && !f.Over {
		a.Evidence = EvidencePath + s.Evidence
	}
	l.deps.Alert(a)
}

// EvidencePath is below which the console gives kept frames.
const EvidencePath = "/api/v1/evidence/"
