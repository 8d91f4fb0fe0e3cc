package vision

import (
	"errors"
	"regexp"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

// watch holds what a model is shown and what it says against the reference that came with it: what the frames were like that it was made from, camera by camera (Reference). Where there is none the first frames that the model
// scores in this partition are it. Neighbouring frames are nearly the same, so one is taken of each camera in a while of event time (drift's every). A camera is compared with itself: it is a kind of the profile's,
// and a group of its own where the configuration names none. One that the reference does not know is a stranger (drift/kinds.go): a group of its own that is held against all that the model knows, and a guest, held against
// its own first frames, too.
//
// What it finds is part of the block, and its whole state of each snapshot: nothing is looked at again.
type watch struct {
	cfg    drift.Config
	groups []drift.Group
	line   *Line
	model  *model.Model
	// cameras numbers the kinds of the reference, or of the rows that are gathered for one; strangers are the others, in the order in which they came.
	cameras   map[string]int
	names     []string
	strangers []string
	// rows are gathered until there is a monitor. reference is what it compares with, file its file where the line has learned it.
	rows      drift.Rows
	monitor   *drift.Monitor
	swarms    *drift.Swarms // nil without embeddings
	reference *drift.Pictures
	file      []byte
	full      bool // it was told that there are more cameras than are watched
	// guests watch the strangers each by itself, too; apart names the camera of a guest's own watch.
	guests map[string]*watch
	apart  string
	// word is how sure the model may be, where its reference tells, for a guest.
	word     *drift.Pictures
	saved    *savedWatch
	values   []float64
	sight    sight
	sketches []event.Sketch
}

const (
	// mostWatched bounds the cameras of a partition that are watched, and that have a group each.
	mostWatched = 64
	// mostKinds bounds those of a reference, which costs some 2 KB each.
	mostKinds = 16
	// leastCamera is how many frames a camera must have in a reference to be compared with itself.
	leastCamera = 20
)

// watch makes that of a partition, nil for a line that is not watched.
func (l *Line) watch() *watch {
	if !l.deps.Drift.Enabled {
		return nil
	}
	return &watch{cfg: l.deps.Drift, groups: l.deps.Drift.Compile(), line: l}
}

// due tells whether a frame of the camera is one that is watched, and remembers it.
func (w *watch) due(c *camera, captured int64) bool {
	if c.Watched != 0 && captured >= c.Watched && captured-c.Watched < int64(w.cfg.Every) {
		return false
	}
	c.Watched = captured
	return true
}

// see takes a frame of the chunk that the watch's model has scored.
func (w *watch) see(c *chunk, f *looked, s *event.Sight) {
	if w == nil || !w.due(f.camera, f.Captured) {
		return
	}
	w.turn(c.model)
	number, ok := w.number(f.Camera)
	if !ok {
		return
	}
	x := &w.sight
	x.of(c, f, s)
	if w.monitor != nil && number == len(w.names) {
		w.visit(c.model, f, s, x)
	}
	w.values = append(w.values[:0], float64(number))
	w.values = x.append(w.values, c.model, w.reference)
	if w.swarms != nil {
		w.values = append(w.values, w.swarms.Unlike(number, x.embedding))
		w.swarms.Add(w.monitor, f.Camera, number)
	}
	for i, v := range w.values { // as a snapshot holds them
		w.values[i] = float64(float32(v))
	}
	w.add(f.Camera, f.Captured, s.Position)
}

// number returns a camera's kind, that of strangers for one that the reference does not know; false: it is not watched.
func (w *watch) number(name string) (int, bool) {
	number, ok := w.cameras[name]
	switch {
	case ok:
		return number, true
	case len(w.names)+len(w.strangers) >= mostWatched:
		if !w.full {
			w.full = true
			w.line.log.Warn("a camera is not watched for drift: there are too many in one partition", "camera", name, "watched", mostWatched)
		}
		return 0, false
	case w.monitor == nil:
		number = len(w.names)
		w.cameras[name], w.names = number, append(w.names, name)
		return number, true
	}
	w.line.log.Info("a camera came that the model's drift reference does not know: it is held against all that it knows", "camera", name, "model", w.model.Version, "known", len(w.names))
	w.keep(w.cut()) // so that a piece has its groups from begin to end
	pieces := w.monitor.Pieces()
	w.estrange(name)
	w.observe()
	w.monitor.Resume(pieces)
	return w.cameras[name], true
}

func (w *watch) estrange(name string) {
	w.cameras[name], w.strangers = len(w.names), append(w.strangers, name)
}

// add counts the values.
func (w *watch) add(camera string, at int64, pos event.Position) {
	if w.monitor != nil {
		w.keep(w.told(w.monitor.Add(camera, at, pos, w.values)))
		return
	}
	r := &w.rows
	r.Values, r.Asset, r.At = append(r.Values, w.values...), append(r.Asset, int32(w.values[0])), append(r.At, at)
	if len(r.At) < w.learns() {
		return
	}
	before := w.names
	file, err := learn(*r, before, w.word)
	w.rows.Values, w.rows.Asset, w.rows.At = nil, nil, nil
	if err == nil {
		err = w.compare(file)
	}
	if err != nil {
		w.line.log.Error("no drift reference could be learned of frames: it is tried again with the next", "model", w.model.Version, "error", err)
		w.begin()
		return
	}
	for _, name := range before {
		if _, known := w.cameras[name]; !known {
			w.estrange(name)
		}
	}
	w.observe()
	w.line.log.Info("drift reference learned from the first frames that the model scored here", "model", w.model.Version, "frames", w.learns(), "cameras", w.names)
}

// learn makes a reference's file of rows whose cameras are named.
func learn(r drift.Rows, names []string, word *drift.Pictures) ([]byte, error) {
	rows, cameras := ofKinds(r, names)
	p, err := drift.NewProfile(rows)
	if err != nil {
		return nil, err
	}
	learned := drift.Pictures{Profile: p, Cameras: cameras}
	if word != nil {
		learned.Judges, learned.Sure = word.Judges, word.Sure
	}
	return learned.AppendBinary(nil)
}

// compare takes a reference that was learned here, read from its file, so that it is the same after a restart.
func (w *watch) compare(file []byte) error {
	p, err := drift.ReadPictures(file)
	if err != nil {
		return err
	}
	if names, _ := inputs(w.model, w.word); !slices.Equal(p.Inputs, names) {
		return errors.New("it is of other inputs")
	}
	w.file = file
	w.take(p)
	return nil
}

// take begins to compare with a reference.
func (w *watch) take(p *drift.Pictures) {
	w.reference, w.cameras, w.names, w.strangers = p, map[string]int{}, p.Cameras, nil
	for i, name := range p.Cameras {
		w.cameras[name] = i
	}
}

// observe makes what counts a piece.
func (w *watch) observe() {
	var groups []drift.Group
	own := func(name string, stranger bool) {
		g := drift.Group{Name: name, Match: regexp.MustCompile("^" + regexp.QuoteMeta(name) + "$"), Stranger: stranger}
		if stranger {
			g.Name += drift.Newcomer
		}
		groups = append(groups, g)
	}
	for _, name := range w.strangers {
		own(name, true)
	}
	if groups = append(groups, w.groups...); len(w.groups) == 0 {
		for _, name := range w.names {
			own(name, false)
		}
	}
	w.monitor, w.swarms = drift.NewMonitor(w.reference.Profile, w.cfg.Windows, groups), nil
	if w.reference.Kernel != nil {
		w.swarms = drift.NewSwarms(w.reference.Kernel)
	}
}

// told adds what embeddings are like to the sketches of a piece that is over.
func (w *watch) told(all []event.Sketch) []event.Sketch {
	if len(all) > 0 && w.swarms != nil {
		w.swarms.Tell(all, drift.EmbeddingName)
	}
	return all
}

// cut ends the piece.
func (w *watch) cut() []event.Sketch {
	if w.monitor == nil {
		return nil
	}
	return w.told(w.monitor.Cut())
}

// turn goes over to another model, nil for none, and ends the piece of the one before.
func (w *watch) turn(m *model.Model) {
	if w == nil || m == w.model || m != nil && w.model != nil && m.Version == w.model.Version {
		return
	}
	if w.model != nil {
		w.leave()
		w.keep(w.cut())
	}
	saved := w.saved
	w.model, w.saved, w.full = m, nil, false
	w.begin()
	if m == nil || saved == nil || saved.Version != m.Version {
		return
	}
	if err := w.resume(saved); err != nil {
		w.line.log.Error("what was watched before of frames is of no use: the watch begins anew", "model", m.Version, "error", err)
		w.begin()
	}
}

// begin begins with the model's own reference, or to learn one.
func (w *watch) begin() {
	w.guests = nil
	w.cameras, w.names, w.strangers, w.reference, w.file, w.monitor, w.swarms, w.rows = map[string]int{}, nil, nil, nil, nil, nil, nil, drift.Rows{}
	if w.model == nil {
		return
	}
	if p := w.line.reference(w.model); p != nil && w.apart == "" {
		w.take(p)
		w.observe()
		return
	}
	names, roles := inputs(w.model, w.word)
	w.rows = drift.Rows{From: event.ReferenceLine, Names: names, Roles: roles, Condition: 0, Piece: w.cfg.Windows, Risk: -1, Threshold: 0.5, Alone: true}
}

// keep holds sketches until they are asked for.
func (w *watch) keep(all []event.Sketch) {
	for i := range all {
		all[i].Version, all[i].Apart = w.model.Version, w.apart
	}
	w.sketches = append(w.sketches, all...)
}

// Sketches appends the sketches that were completed since it was asked last; they say nothing of the pipeline.
func (p *Partition) Sketches(dst []event.Sketch) []event.Sketch {
	for _, w := range []*watch{p.watch, p.trial} {
		if w == nil {
			continue
		}
		w.gather()
		dst = append(dst, w.sketches...)
		clear(w.sketches)
		w.sketches = w.sketches[:0]
	}
	return dst
}
