package vision

import (
	"maps"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

// What the model's reference knows says whether a camera that came later shows what the model knows, and of few cameras not even that. So it is a guest, too: its own first frames are a reference of its own, by which it is
// told when it changes, also in what the model is expected to lose by it. Its pieces are rounds of their own (event.Sketch's Apart), since it has far fewer frames than all the others.

const (
	// mostGuests bounds what guests take: some 30 KB each while they learn, 10 KB then.
	mostGuests = 16
	// guestLearns is the least that a guest's reference is of.
	guestLearns = 200
)

// learns is how many frames the line's own reference is of.
func (w *watch) learns() int {
	if w.apart != "" {
		return max(w.cfg.Learn/4, guestLearns)
	}
	return w.cfg.Learn
}

// guest returns the watch of a stranger, nil where there are too many.
func (w *watch) guest(name string) *watch {
	if g := w.guests[name]; g != nil || len(w.guests) >= mostGuests {
		return g
	}
	if w.guests == nil {
		w.guests = map[string]*watch{}
	}
	g := &watch{cfg: w.cfg, line: w.line, apart: name}
	if p := w.reference; p != nil && p.Judges {
		g.word = &drift.Pictures{Judges: true, Sure: p.Sure}
	}
	w.guests[name] = g
	return g
}

// visit has a stranger's own watch take the frame.
func (w *watch) visit(m *model.Model, f *looked, s *event.Sight, x *sight) {
	g := w.guest(f.Camera)
	if g == nil {
		return
	}
	g.turn(m)
	if _, ok := g.number(f.Camera); !ok {
		return
	}
	g.values = x.append(append(g.values[:0], 0), m, g.word)
	for i, v := range g.values {
		g.values[i] = float64(float32(v))
	}
	g.add(f.Camera, f.Captured, s.Position)
}

// leave ends the guests' pieces.
func (w *watch) leave() {
	for _, g := range w.guests {
		g.keep(g.cut())
	}
	w.gather()
}

// gather takes the guests' sketches.
func (w *watch) gather() {
	for _, name := range slices.Sorted(maps.Keys(w.guests)) {
		g := w.guests[name]
		w.sketches = append(w.sketches, g.sketches...)
		g.sketches = nil
	}
}
