package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/trainer/gate"
)

// Picture is a frame, or a crop of one, with what it truly shows.
type Picture struct {
	Camera string
	// Zone names the crop; empty for the whole frame.
	Zone string
	// Captured is event time, Unix nanoseconds.
	Captured int64
	// Load returns planes [3, height, width], red, green, blue, in 0 to 1, scaled as the line scales them. Called once a pass and size, so that not all pictures are in memory at a time.
	Load func(height, width int) (planes []float32, err error)
	// Class is what a classification should say; Boxes are what a detection should find, in 0 to 1 of the picture.
	Class string
	Boxes []event.Box
	// Golden pictures are those that every model is examined on. One that is Learned, too, was shown to models in training, since somebody marked it as missed: it counts in golden scenarios alone.
	Golden, Learned bool
}

// classes are what a picture shows, each once; of a detection that should find nothing, clear.
func (q *Picture) classes(task model.Task) []string {
	if task != model.Detection {
		return []string{q.Class}
	}
	var all []string
	for _, b := range q.Boxes {
		if !slices.Contains(all, b.Label) {
			all = append(all, b.Label)
		}
	}
	if all == nil {
		return []string{event.KindClear}
	}
	return all
}

func runPictures(ctx context.Context, c *Config, contenders []*model.Model, d *Data, t *Table) error {
	if len(d.Pictures) == 0 {
		return errors.New("there are no frames to judge by: none that no model was trained on has a label yet")
	}
	t.Metric = "error"
	if d.Task == model.Detection {
		t.Metric = "1-f1"
		if d.Read == nil {
			return errors.New("nothing reads the boxes of detections here")
		}
	}
	var lookers []*looker
	defer func() {
		for _, l := range lookers {
			l.session.Close()
		}
	}()
	for _, m := range contenders {
		s, err := ort.NewSession(m.ONNX, ort.Options{})
		if err != nil {
			return fmt.Errorf("load %s: %w", m.Version, err)
		}
		lookers = append(lookers, &looker{m: m, session: s, read: d.Read})
	}
	plain, err := see(ctx, c, lookers, d, nil)
	if err != nil {
		return err
	}
	whole := part{name: All, judged: true}
	for i := range plain.samples {
		if !plain.samples[i].extra {
			whole.ours = append(whole.ours, i)
		}
	}
	if len(whole.ours) == 0 {
		return errors.New("there are no frames to judge by but those that were marked as missed, which models have learned from")
	}
	t.addCases(plain.samples, len(lookers), func(n, i int) float64 { return plain.said[n][i] })
	t.addPictures(c, contenders, plain, whole)
	for i := range c.Scenarios {
		s := &c.Scenarios[i]
		p := plain
		if s.Perturb != nil {
			if p, err = see(ctx, c, lookers, d, s.Perturb); err != nil {
				return fmt.Errorf("scenarios.%s: %w", s.Name, err)
			}
		}
		if s.Signal != "" || s.LeftFrom > 0 || s.LeftBelow > 0 {
			return fmt.Errorf("scenarios.%s: signals and remaining lives are of windows, and these models read frames", s.Name)
		}
		parts, err := s.parts(p.samples, nil)
		if err != nil {
			return err
		}
		for _, q := range parts {
			t.addPictures(c, contenders, p, q)
		}
	}
	for _, l := range lookers {
		cost := newCost(l.m, d)
		planes, err := d.Pictures[0].load(l.m.Picture.Height, l.m.Picture.Width)
		if err != nil {
			return err
		}
		x := l.scale(planes)
		one := func(int) error { _, err := l.run(x); return err }
		if err := cost.time(ctx, c, one, one, 1); err != nil {
			return fmt.Errorf("time %s: %w", l.m.Version, err)
		}
		t.Versions = append(t.Versions, cost)
	}
	return nil
}

// see asks all models about all pictures; of more than c.Frames every n-th is taken. What a pass keeps of a model is the loss, in said.
func see(ctx context.Context, c *Config, lookers []*looker, d *Data, by *Perturbation) (*pass, error) {
	p := &pass{said: make([][]float64, len(lookers))}
	blocks := d.scenes()
	least := math.MaxInt
	for _, l := range lookers {
		least = min(least, l.m.Picture.Width)
	}
	type size struct{ height, width int }
	golden, plain := 0, 0
	for i := range d.Pictures {
		if d.Pictures[i].Golden {
			golden++
		}
		if !d.Pictures[i].Learned {
			plain++
		}
	}
	every, stride := sparse(golden, c.Frames), max((plain+c.Frames-1)/c.Frames, 1)
	seen, n := int64(0), 0
	for i := range d.Pictures {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q := &d.Pictures[i]
		extra := q.Learned
		if !q.Learned {
			extra = n%stride != 0
			n++
		}
		if q.Golden {
			seen++
		}
		if extra && (by != nil || !q.Golden || seen%every != 0) {
			continue
		}
		p.samples = append(p.samples, sample{asset: q.Camera, block: blocks(q), end: q.Captured + 1, classes: q.classes(d.Task), golden: q.Golden, extra: extra, goldenFrom: q.Captured, learned: q.Learned, left: math.NaN()})
		loaded := map[size][]float32{}
		for k, l := range lookers {
			at := size{l.m.Picture.Height, l.m.Picture.Width}
			planes, ok := loaded[at]
			if !ok {
				var err error
				if planes, err = q.load(at.height, at.width); err != nil {
					return nil, err
				}
				if by != nil {
					fault := *by
					if fault.Kind == Blur { // the frame is blurred, whatever the size in which a model sees it
						fault.Size = math.Round(fault.filled().Size * float64(at.width) / float64(least))
					}
					if planes, err = fault.planes(planes, at.height, at.width, fmt.Sprint(q.Camera, q.Zone, q.Captured), c.Seed); err != nil {
						return nil, err
					}
				}
				loaded[at] = planes
			}
			outs, err := l.run(l.scale(planes))
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", l.m.Version, err)
			}
			loss, err := l.loss(d.Task, outs, q)
			if err != nil {
				return nil, fmt.Errorf("read what %s says: %w", l.m.Version, err)
			}
			p.said[k] = append(p.said[k], loss)
		}
	}
	return p, nil
}

func (q *Picture) load(height, width int) ([]float32, error) {
	planes, err := q.Load(height, width)
	if err != nil {
		return nil, fmt.Errorf("frame of %s: %w", q.Camera, err)
	}
	if len(planes) != 3*height*width {
		return nil, fmt.Errorf("frame of %s: %d values are not 3 planes of %d x %d", q.Camera, len(planes), width, height)
	}
	return planes, nil
}

// scenes says which pictures may depend on each other: those of one camera within a minute, which show the same scene. Where that makes fewer blocks than a gate wants, the stretches are shorter, but not than Data.Block.
func (d *Data) scenes() func(q *Picture) int {
	cameras := map[string]int{}
	from, until := map[string]int64{}, map[string]int64{}
	for i := range d.Pictures {
		q := &d.Pictures[i]
		if _, ok := cameras[q.Camera]; !ok {
			cameras[q.Camera], from[q.Camera] = len(cameras), q.Captured
		}
		from[q.Camera], until[q.Camera] = min(from[q.Camera], q.Captured), max(until[q.Camera], q.Captured)
	}
	count := func(length int64) int {
		seen := map[[2]int64]bool{}
		for i := range d.Pictures {
			if q := &d.Pictures[i]; !q.Learned {
				seen[[2]int64{int64(cameras[q.Camera]), floorDiv(q.Captured, length)}] = true
			}
		}
		return len(seen)
	}
	length, least := int64(time.Minute), max(int64(d.Block), int64(time.Millisecond))
	for length > least && count(length) < 2*gate.Default().MinBlocks {
		length = max(length/2, least)
	}
	return func(q *Picture) int {
		return cameras[q.Camera]<<32 | int(uint32(floorDiv(q.Captured, length)-floorDiv(from[q.Camera], length))) //nolint:gosec // a name
	}
}

func (t *Table) addPictures(c *Config, contenders []*model.Model, p *pass, q part) {
	cameras := map[string]bool{}
	index := map[int]int{}
	for _, i := range q.ours {
		cameras[p.samples[i].asset] = true
		if b := p.samples[i].block; index[b] == 0 {
			index[b] = len(index) + 1
		}
	}
	learned := 0
	for _, i := range q.ours {
		if p.samples[i].learned {
			learned++
		}
	}
	if learned > 0 {
		q.detail = strings.TrimPrefix(fmt.Sprintf("%s, %d of them learned from since they were missed", q.detail, learned), ", ")
	}
	t.Scenarios = append(t.Scenarios, Shown{Name: q.name, Judged: q.judged, Detail: q.detail, Windows: len(q.ours), Assets: len(cameras)})
	for n, m := range contenders {
		cell := Cell{Scenario: q.name, Version: m.Version, blocks: make([]block, len(index))}
		for _, i := range q.ours {
			in := index[p.samples[i].block] - 1
			b := &cell.blocks[in]
			b.n, b.loss = b.n+1, b.loss+p.said[n][i]
			if t.Task == model.Classification {
				cell.losses, cell.in = append(cell.losses, float32(p.said[n][i])), append(cell.in, in)
			}
		}
		cell.sum(c, false)
		t.Cells = append(t.Cells, cell)
	}
}

// looker runs a model of pictures, one at a time.
type looker struct {
	m       *model.Model
	session *ort.Session
	read    func(p *model.Picture, outs []model.Tensor, i int) ([]event.Box, string, float32, error)
}

// scale brings pixels to the model's scale.
func (l *looker) scale(planes []float32) []float32 {
	p := l.m.Picture
	out := make([]float32, len(planes))
	for i, v := range planes {
		c := i / (p.Height * p.Width)
		std := p.Std[c]
		if std == 0 {
			std = 1
		}
		out[i] = (v - p.Mean[c]) / std
	}
	return out
}

// run returns the outputs for one picture, whose sizes may be known only then: a detector that drops double boxes itself has as many as it finds.
func (l *looker) run(x []float32) ([]model.Tensor, error) {
	in, err := ort.Wrap(x, 1, 3, int64(l.m.Picture.Height), int64(l.m.Picture.Width))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	got, err := l.session.Compute([]ort.Value{in})
	if err != nil {
		return nil, err
	}
	var tensors []model.Tensor
	for i, a := range got {
		t := model.Tensor{Name: l.session.Outputs()[i].Name, Data: a.Data}
		for _, d := range a.Shape {
			t.Shape = append(t.Shape, int(d))
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// loss is 0 or 1 for a class, 1 - F1 for boxes; a frame with nothing to find and nothing found is right.
func (l *looker) loss(task model.Task, outs []model.Tensor, q *Picture) (float64, error) {
	if l.read != nil {
		boxes, label, _, err := l.read(l.m.Picture, outs, 0)
		if err != nil {
			return 0, err
		}
		if task == model.Detection {
			return missed(boxes, q.Boxes), nil
		}
		return wrong(label, q.Class), nil
	}
	if len(outs) == 0 || len(outs[0].Data) != len(l.m.Picture.Labels) {
		return 0, fmt.Errorf("a classification of %d classes gives %d outputs", len(l.m.Picture.Labels), len(outs))
	}
	top := 0
	for i, v := range outs[0].Data {
		if v > outs[0].Data[top] {
			top = i
		}
	}
	return wrong(l.m.Picture.Labels[top], q.Class), nil
}

func wrong(said, truth string) float64 {
	if said == truth {
		return 0
	}
	return 1
}

// overlap is the intersection over union from which on a box is found.
const overlap = 0.5

// missed is 1 - F1 of the found boxes, each true one found at most once, the surest first (as the VOC challenge has it: Everingham et al. 2010).
func missed(found, truth []event.Box) float64 {
	if len(found) == 0 && len(truth) == 0 {
		return 0
	}
	taken := make([]bool, len(truth))
	hits := 0
	for _, f := range sure(found) {
		best, at := overlap, -1
		for i := range truth {
			if v := union(&f, &truth[i]); !taken[i] && f.Label == truth[i].Label && v >= best {
				best, at = v, i
			}
		}
		if at >= 0 {
			taken[at] = true
			hits++
		}
	}
	return 1 - 2*float64(hits)/float64(len(found)+len(truth))
}

// union is the intersection of two boxes over their union.
func union(a, b *event.Box) float64 {
	w := math.Min(float64(a.X1), float64(b.X1)) - math.Max(float64(a.X0), float64(b.X0))
	h := math.Min(float64(a.Y1), float64(b.Y1)) - math.Max(float64(a.Y0), float64(b.Y0))
	if w <= 0 || h <= 0 {
		return 0
	}
	area := func(x *event.Box) float64 { return float64(x.X1-x.X0) * float64(x.Y1-x.Y0) }
	return w * h / (area(a) + area(b) - w*h)
}
