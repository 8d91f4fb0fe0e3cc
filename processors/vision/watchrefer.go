package vision

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/processors/vision/boxes"
)

// Reference gathers what a model of pictures was made from, by the code that watches the line, and makes of it what the model's file tells later: what its pictures were like, camera by camera, what it said of those that it
// had not learned from, how often that was right, and what its embeddings of them were like. Of what it learned from only the light counts: what it says of that is not what it will say of others.
type Reference struct {
	model *model.Model
	line  *Config
	cfg   drift.Config
	rows  []shown
	last  map[lastOf]int64
	sight sight
}

// lastOf is a camera's frames that were learned from, or the others.
type lastOf struct {
	camera  string
	learned bool
}

// shown is a picture that was added.
type shown struct {
	camera    string
	at        int64
	learned   bool
	values    []float64 // without the camera
	embedding []float32
	sight     sight // of what is judged
	right     bool
	seen      bool // there is something
}

// Shown is a frame that a model was made from.
type Shown struct {
	Camera string
	// Captured is event time, Unix nanoseconds.
	Captured int64
	// Pictures are the whole frame, or all of its crops in the order of the zones.
	Pictures []Looked
	// Learned tells that the model has learned from it, or from one beside it.
	Learned bool
}

// Looked is a picture, and the truth of it.
type Looked struct {
	// Planes are [3, Height, Width], scaled as the model takes them; Outs what it gives of this picture alone.
	Planes []float32
	Outs   []model.Tensor
	// Class is the true class of a classification; Something whether a detection has anything to find.
	Class     string
	Something bool
}

// missing is no value.
var missing = math.NaN()

const (
	// leastShown pictures make a reference, of which leastJudged were not learned from; with fewer the line learns one.
	leastShown  = 100
	leastJudged = 30
)

// NewReference begins the reference of a model for a line that looks at frames and is watched so.
func NewReference(m *model.Meta, line *Config, cfg drift.Config) *Reference {
	return &Reference{model: &model.Model{Meta: *m}, line: line, cfg: cfg, last: map[lastOf]int64{}}
}

// Wants tells whether a picture counts: as on the line one of each camera in a while does. Pictures come by camera in order of time.
func (r *Reference) Wants(camera string, captured int64, learned bool) bool {
	key := lastOf{camera, learned}
	if last, ok := r.last[key]; ok && captured >= last && captured-last < int64(r.cfg.Every) {
		return false
	}
	r.last[key] = captured
	return true
}

// Add takes a frame that is wanted. What it holds is not kept.
func (r *Reference) Add(s *Shown) error {
	x, row := &r.sight, shown{camera: s.Camera, at: s.Captured, learned: s.Learned}
	plans := plansOf(r.line, r.model.Picture, s.Camera)
	if len(s.Pictures) != len(plans) {
		return fmt.Errorf("learn what the model's frames are like: %s at %d has %d pictures of %d", s.Camera, s.Captured, len(s.Pictures), len(plans))
	}
	var label string
	var risk float32
	all := 0
	for i := range s.Pictures {
		l := &s.Pictures[i]
		found, said, sure, err := boxes.Read(r.model.Picture, l.Outs, 0, nil)
		if err != nil {
			return fmt.Errorf("learn what the model's frames are like: %s at %d: %w", s.Camera, s.Captured, err)
		}
		all += len(found)
		if row.seen = row.seen || l.Something; r.model.Task == model.Classification {
			row.seen = row.seen || l.Class != r.model.Picture.Normal
		}
		if i == 0 || sure > risk { // as the line tells it
			label, risk, row.right = said, sure, said == l.Class
		}
	}
	x.begin(label, risk, all)
	for i := range s.Pictures {
		x.add(r.model, &plans[i], s.Pictures[i].Planes, s.Pictures[i].Outs, 0, len(plans))
	}
	row.values = x.append(nil, r.model, nil)
	if !s.Learned {
		row.embedding = slices.Clone(x.embedding)
		row.sight = sight{label: x.label, risk: x.risk, sure: x.sure}
	}
	r.rows = append(r.rows, row)
	return nil
}

// File returns the reference's file, nil where there are too few pictures for one.
func (r *Reference) File() ([]byte, error) {
	slices.SortStableFunc(r.rows, func(a, b shown) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.camera, b.camera)) })
	r.choose()
	judged := 0
	for i := range r.rows {
		if !r.rows[i].learned {
			judged++
		}
	}
	if len(r.rows) < leastShown || judged < leastJudged {
		return nil, nil
	}
	p := &drift.Pictures{}
	number := map[string]int{}
	for i := range r.rows {
		if name := r.rows[i].camera; !slices.Contains(p.Cameras, name) {
			p.Cameras = append(p.Cameras, name)
		}
	}
	slices.Sort(p.Cameras)
	for i, name := range p.Cameras {
		number[name] = i
		p.Cuts = append(p.Cuts, cutsOf(r.line, r.model.Picture, name))
	}
	r.calibrate(p)
	unlike, err := r.embed(p, number)
	if err != nil {
		return nil, err
	}
	names, roles := inputs(r.model, p)
	rows := drift.Rows{From: event.ReferenceModel, Names: names, Roles: roles, Kinds: len(p.Cameras), Piece: r.piece(), Least: leastJudged, Risk: -1, Threshold: 0.5, Alone: true, Partial: make([]bool, len(names))}
	for j, role := range roles {
		rows.Partial[j] = role != event.RoleInput
	}
	if r.model.Task == model.Detection || r.model.Picture.Normal != "" {
		rows.Risk = slices.Index(names, inputRisk)
	}
	risk := slices.Index(names, inputRisk)
	for i := range r.rows {
		s := &r.rows[i]
		from := len(rows.Values)
		rows.Values = append(append(rows.Values, float64(number[s.camera])), s.values...)
		yes := int8(-1)
		if s.learned {
			for j := from + risk; j < len(rows.Values); j++ {
				rows.Values[j] = missing
			}
		} else if yes = 0; s.seen {
			yes = 1
		}
		if p.Judges {
			rows.Values = append(rows.Values, missing)
			if !s.learned {
				rows.Values[len(rows.Values)-1] = s.sight.loss(r.model.Task, p.Sure)
			}
		}
		if p.Kernel != nil {
			rows.Values = append(rows.Values, unlike[i])
		}
		rows.Asset, rows.At, rows.Yes = append(rows.Asset, int32(number[s.camera])), append(rows.At, s.at), append(rows.Yes, yes)
	}
	for i, v := range rows.Values { // as the line has them
		rows.Values[i] = float64(float32(v))
	}
	if p.Profile, err = drift.NewProfile(rows); errors.Is(err, drift.ErrFewRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return p.AppendBinary(nil)
}

// choose leaves out the pictures of cameras of which there are too few, or too many cameras: on the line they are strangers.
func (r *Reference) choose() {
	names := make([]string, 0, len(r.rows))
	for i := range r.rows {
		names = append(names, r.rows[i].camera)
	}
	kept := kindsOf(names)
	r.rows = slices.DeleteFunc(r.rows, func(s shown) bool { return !slices.Contains(kept, s.camera) })
}

// piece is how many of the pictures, which may be further apart than the line's, take as long as a piece of it.
func (r *Reference) piece() int {
	before, gaps := map[string]int64{}, []int64(nil)
	for i := range r.rows {
		s := &r.rows[i]
		if last, ok := before[s.camera]; ok {
			gaps = append(gaps, s.at-last)
		}
		before[s.camera] = s.at
	}
	slices.Sort(gaps)
	every := max(int64(r.cfg.Every), 1)
	gap := max(gaps[len(gaps)/2], every)
	return max(int(float64(r.cfg.Windows)*float64(every)/float64(gap)), leastPiece)
}

// leastPiece has room for parts of time.
const leastPiece = 16

// kindsOf returns the cameras that have enough frames, those with the most where there are too many, by name.
func kindsOf(frames []string) []string {
	n := map[string]int{}
	var names []string
	for _, name := range frames {
		if n[name]++; n[name] == leastCamera {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(n[b], n[a]), cmp.Compare(a, b)) })
	names = names[:min(len(names), mostKinds)]
	slices.Sort(names)
	return names
}

// ofKinds returns the rows of cameras that have enough of them, numbered anew; names are by the old numbers.
func ofKinds(r drift.Rows, names []string) (drift.Rows, []string) {
	var frames []string
	for _, a := range r.Asset {
		frames = append(frames, names[a])
	}
	kept, d := kindsOf(frames), len(r.Names)
	out := r
	out.Values, out.Asset, out.At, out.Kinds = nil, nil, nil, len(kept)
	for i, name := range frames {
		if k := slices.Index(kept, name); k >= 0 {
			out.Values = append(append(out.Values, float64(k)), r.Values[i*d+1:(i+1)*d]...)
			out.Asset, out.At = append(out.Asset, int32(k)), append(out.At, r.At[i])
		}
	}
	return out, kept
}

// calibrate learns how often the model is right when it is so sure. Where it was right or wrong in all that it was judged by, its own word is taken.
func (r *Reference) calibrate(p *drift.Pictures) {
	var sure []float64
	var right []bool
	for i := range r.rows {
		s := &r.rows[i]
		switch {
		case s.learned || r.model.Task == model.Classification && s.sight.label == "":
		case r.model.Task == model.Detection:
			sure, right = append(sure, s.sight.risk), append(right, s.seen)
		default:
			sure, right = append(sure, s.sight.sure), append(right, s.right)
		}
	}
	if len(sure) < leastJudged {
		return
	}
	if slices.Contains(right, true) && slices.Contains(right, false) {
		p.Judges, p.Sure = true, drift.Calibrate(sure, right, 32)
		return
	}
	// A detection that always had something to find was asked nothing.
	p.Judges = r.model.Task == model.Classification
}

// kernelSeed starts the lots of the directions: any would do, one for all makes files of equal models equal.
const kernelSeed = 20260131

// embed learns what embeddings were like, of a model that gives them, and returns how unlike the others' each is.
func (r *Reference) embed(p *drift.Pictures, number map[string]int) ([]float64, error) {
	k := drift.KernelRows{Kinds: len(p.Cameras), Piece: r.piece(), Seed: kernelSeed}
	unlike, of := make([]float64, len(r.rows)), []int(nil)
	for i := range r.rows {
		s := &r.rows[i]
		unlike[i] = missing
		if len(s.embedding) > 0 {
			k.Dim = len(s.embedding)
			k.Embeddings, k.Kind, of = append(k.Embeddings, s.embedding...), append(k.Kind, number[s.camera]), append(of, i)
		}
	}
	if len(of) < leastJudged {
		return nil, nil
	}
	kernel, far, err := drift.NewKernel(k)
	switch {
	case errors.Is(err, drift.ErrFewRows), errors.Is(err, drift.ErrSame):
		return nil, nil
	case err != nil:
		return nil, err
	}
	for j, i := range of {
		unlike[i] = far[j]
	}
	p.Kernel = kernel
	return unlike, nil
}

// reference returns that of a model, nil where it has none that can be used here.
func (l *Line) reference(m *model.Model) *drift.Pictures {
	if len(m.Reference) == 0 {
		return nil
	}
	l.known.mu.Lock()
	defer l.known.mu.Unlock()
	if p, ok := l.known.all[m.Version]; ok {
		return p
	}
	p, err := l.readReference(m)
	if err != nil {
		l.log.Error("the model's drift reference is of no use: one is learned from its first frames here", "model", m.Version, "error", err)
	}
	if l.known.all == nil || len(l.known.all) > 4 {
		l.known.all = map[string]*drift.Pictures{}
	}
	l.known.all[m.Version] = p
	return p
}

func (l *Line) readReference(m *model.Model) (*drift.Pictures, error) {
	p, err := drift.ReadPictures(m.Reference)
	if err != nil {
		return nil, err
	}
	if names, _ := inputs(m, p); !slices.Equal(p.Inputs, names) {
		return nil, fmt.Errorf("it is of %q", p.Inputs)
	}
	for i, name := range p.Cameras {
		if len(p.Cuts) != len(p.Cameras) || p.Cuts[i] != cutsOf(&l.cfg, m.Picture, name) {
			return nil, fmt.Errorf("frames of %s are cut to other zones since", name)
		}
	}
	return p, nil
}

// cutsOf names what a camera's frames are cut to.
func cutsOf(c *Config, p *model.Picture, camera string) (name string) {
	for _, plan := range plansOf(c, p, camera) {
		name += fmt.Sprintf("%.4f %.4f %.4f %.4f;", plan.X0, plan.Y0, plan.X1, plan.Y1)
	}
	return name
}
