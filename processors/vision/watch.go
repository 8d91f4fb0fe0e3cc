package vision

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/processors/vision/boxes"
)

// watch holds what the champion is shown and what it says against what its first frames in this partition were like, as a model of windows without a reference of its own is watched. Neighbouring frames are
// nearly the same, so one is taken of each camera in a while of event time (drift's every). A camera is compared with itself: it is the profile's condition, of which eight strata are told apart, and a
// group of its own where the configuration names none.
//
// What it finds is part of the block, and its whole state of each snapshot: nothing is looked at again.
type watch struct {
	cfg    drift.Config
	groups []drift.Group
	line   *Line
	model  *model.Model
	// cameras numbers those of the reference.
	cameras map[string]int
	names   []string
	// rows are gathered until there is a monitor; reference is its profile's file.
	rows      drift.Rows
	monitor   *drift.Monitor
	reference []byte
	told      bool // that there is a camera that the reference does not know
	saved     *savedWatch
	values    []float64
	classes   []float64
	sketches  []event.Sketch
}

// savedWatch is a watch in a snapshot: of a model's version, with either rows or a reference and its monitor.
type savedWatch struct {
	Version   string   `json:"version"`
	Cameras   []string `json:"cameras"`
	Rows      []byte   `json:"rows,omitempty"` // of each its time, then its values in single precision
	Reference []byte   `json:"reference,omitempty"`
	Monitor   []byte   `json:"monitor,omitempty"`
}

const (
	// mostWatched bounds the cameras of a partition that are watched, and that have a group each.
	mostWatched = 64
	// mostClasses bounds the classes whose probabilities are watched one by one; of a model with more its risk is.
	mostClasses = 16
)

// The names of what the model says.
const (
	inputCamera = "camera"
	inputRisk   = "risk"
	inputBoxes  = "boxes"
)

// watch makes that of a partition, nil for a line that is not watched.
func (l *Line) watch() *watch {
	if !l.deps.Drift.Enabled {
		return nil
	}
	return &watch{cfg: l.deps.Drift, groups: l.deps.Drift.Compile(), line: l}
}

// inputs names what is watched of a model's frames. The camera is the first.
func inputs(m *model.Model) (names, roles []string) {
	names = append([]string{inputCamera}, lightNames...)
	for range names {
		roles = append(roles, event.RoleInput)
	}
	names = append(names, inputRisk)
	switch {
	case m.Task == model.Detection:
		names = append(names, inputBoxes)
	case len(m.Picture.Labels) <= mostClasses:
		for _, label := range m.Picture.Labels {
			names = append(names, "P("+label+")")
		}
	}
	for range len(names) - len(roles) {
		roles = append(roles, event.RolePrediction)
	}
	return names, roles
}

// due tells whether a frame of the camera is one that is watched, and remembers it.
func (w *watch) due(c *camera, captured int64) bool {
	if c.Watched != 0 && captured >= c.Watched && captured-c.Watched < int64(w.cfg.Every) {
		return false
	}
	c.Watched = captured
	return true
}

// see takes a frame of the chunk that the champion has scored.
func (w *watch) see(c *chunk, f *looked, s *event.Sight) {
	if w == nil || !w.due(f.camera, f.Captured) {
		return
	}
	m := c.model
	if w.model == nil || w.model.Version != m.Version {
		w.turn(m)
	}
	number, ok := w.cameras[f.Camera]
	if !ok {
		if w.monitor != nil || len(w.names) >= mostWatched {
			if !w.told {
				w.told = true
				w.line.log.Warn("a camera is not watched for drift: it is not among those that the reference was learned from; the next model learns of it, too", "camera", f.Camera, "known", len(w.names))
			}
			return
		}
		number = len(w.names)
		w.cameras[f.Camera], w.names = number, append(w.names, f.Camera)
	}
	w.values = append(w.values[:0], float64(number))
	var l light
	for i := range f.camera.plans {
		p := &f.camera.plans[i]
		size := 3 * p.Width * p.Height
		at := (f.first + i) * size // the pictures of a model are of one size
		l.add(c.planes[at:at+size], p)
	}
	w.values = l.append(w.values)
	w.values = append(w.values, float64(s.Risk))
	switch {
	case m.Task == model.Detection:
		w.values = append(w.values, float64(len(s.Boxes)))
	case len(m.Picture.Labels) <= mostClasses:
		w.probabilities(c, f)
	}
	for i, v := range w.values { // as a snapshot holds them
		w.values[i] = float64(float32(v))
	}
	w.add(f.Camera, f.Captured, s.Position)
}

// probabilities appends those of the classes, the mean over the frame's pictures.
func (w *watch) probabilities(c *chunk, f *looked) {
	labels, n := len(c.model.Picture.Labels), float64(len(f.camera.plans))
	from := len(w.values)
	w.values = append(w.values, make([]float64, labels)...)
	for i := range f.camera.plans {
		var err error
		if w.classes, err = boxes.Probabilities(c.model.Picture, c.outs, f.first+i, w.classes[:0]); err != nil {
			return // Read has seen the same output already
		}
		for j, v := range w.classes {
			w.values[from+j] += v / n
		}
	}
}

// add counts the values.
func (w *watch) add(camera string, at int64, pos event.Position) {
	if w.monitor != nil {
		w.keep(w.monitor.Add(camera, at, pos, w.values))
		return
	}
	r := &w.rows
	r.Values, r.Asset, r.At = append(r.Values, w.values...), append(r.Asset, int32(w.values[0])), append(r.At, at)
	if len(r.At) < w.cfg.Learn {
		return
	}
	reference, err := learn(*r)
	if err == nil {
		err = w.compare(reference)
	}
	w.rows.Values, w.rows.Asset, w.rows.At = nil, nil, nil
	if err != nil {
		w.line.log.Error("no drift reference could be learned of frames: it is tried again with the next", "model", w.model.Version, "error", err)
		return
	}
	w.line.log.Info("drift reference learned from the first frames that the model scored here", "model", w.model.Version, "frames", w.cfg.Learn, "cameras", w.names)
}

// learn makes a reference's file.
func learn(r drift.Rows) ([]byte, error) {
	p, err := drift.NewProfile(r)
	if err != nil {
		return nil, err
	}
	return p.AppendBinary(nil)
}

// compare begins to compare with a reference, read from its file, so that it is the same after a restart.
func (w *watch) compare(reference []byte) error {
	p, err := drift.ReadProfile(reference)
	if err != nil {
		return err
	}
	if names, _ := inputs(w.model); !slices.Equal(p.Inputs, names) {
		return errors.New("it is of other inputs")
	}
	groups := w.groups
	if len(groups) == 0 {
		for _, name := range w.names {
			groups = append(groups, drift.Group{Name: name, Match: regexp.MustCompile("^" + regexp.QuoteMeta(name) + "$")})
		}
	}
	w.reference, w.monitor = reference, drift.NewMonitor(p, w.cfg.Windows, groups)
	return nil
}

// turn goes over to another model, and ends the piece of the one before.
func (w *watch) turn(m *model.Model) {
	if w.monitor != nil {
		w.keep(w.monitor.Cut())
	}
	saved := w.saved
	w.model, w.saved, w.told = m, nil, false
	w.begin()
	if saved == nil || saved.Version != m.Version {
		return
	}
	if err := w.resume(saved); err != nil {
		w.line.log.Error("what was watched before of frames is of no use: the drift reference is learned anew", "model", m.Version, "error", err)
		w.begin()
	}
}

// begin begins to learn.
func (w *watch) begin() {
	names, roles := inputs(w.model)
	w.cameras, w.names, w.reference, w.monitor = map[string]int{}, nil, nil, nil
	w.rows = drift.Rows{From: event.ReferenceLine, Names: names, Roles: roles, Condition: 0, Piece: w.cfg.Windows, Risk: -1, Threshold: 0.5, Alone: true}
}

// resume goes on from a snapshot of the same model.
func (w *watch) resume(s *savedWatch) error {
	for i, name := range s.Cameras {
		w.cameras[name], w.names = i, append(w.names, name)
	}
	if len(s.Reference) > 0 {
		if err := w.compare(s.Reference); err != nil {
			return err
		}
		if err := w.monitor.Restore(s.Monitor); err != nil {
			w.line.log.Warn("what was watched of frames since the last piece is lost", "model", w.model.Version, "error", err)
		}
		return nil
	}
	d := len(w.rows.Names)
	size := 8 + 4*d
	if len(s.Rows)%size != 0 {
		return errors.New("its rows are of other inputs")
	}
	r := &w.rows
	for b := s.Rows; len(b) > 0; b = b[size:] {
		r.At = append(r.At, int64(binary.LittleEndian.Uint64(b)))
		for i := range d {
			r.Values = append(r.Values, float64(math.Float32frombits(binary.LittleEndian.Uint32(b[8+4*i:]))))
		}
		r.Asset = append(r.Asset, int32(r.Values[len(r.Values)-d]))
	}
	return nil
}

// keep holds sketches until they are asked for.
func (w *watch) keep(all []event.Sketch) {
	for i := range all {
		all[i].Version = w.model.Version
	}
	w.sketches = append(w.sketches, all...)
}

// snapshot returns the state, nil where there is none.
func (w *watch) snapshot() []byte {
	s := w.saved
	if w.model != nil {
		s = &savedWatch{Version: w.model.Version, Cameras: w.names, Reference: w.reference}
		if w.monitor != nil {
			s.Monitor = w.monitor.AppendState(nil)
		}
		d := len(w.rows.Names)
		for i, at := range w.rows.At {
			s.Rows = binary.LittleEndian.AppendUint64(s.Rows, uint64(at))
			for _, v := range w.rows.Values[i*d : (i+1)*d] {
				s.Rows = binary.LittleEndian.AppendUint32(s.Rows, math.Float32bits(float32(v)))
			}
		}
	}
	if s == nil {
		return nil
	}
	js, err := json.Marshal(s)
	if err != nil {
		panic(err) // only numbers and strings
	}
	return js
}

// Sketches appends the sketches that were completed since it was asked last; they say nothing of the pipeline.
func (p *Partition) Sketches(dst []event.Sketch) []event.Sketch {
	if p.watch == nil {
		return dst
	}
	dst = append(dst, p.watch.sketches...)
	clear(p.watch.sketches)
	p.watch.sketches = p.watch.sketches[:0]
	return dst
}
