package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"andon/event"
	"andon/model"
	"andon/model/ort"
)

// Picture is a frame, or a crop of one, with what it truly shows.
type Picture struct {
	Camera string
	// Captured is event time, Unix nanoseconds.
	Captured int64
	// Load returns planes [3, height, width], red, green, blue, in 0 to 1. Called once a pass, so that not all pictures are in memory at a time.
	Load func() (planes []float32, height, width int, err error)
	// Class is what a classification should say; Boxes are what a detection should find, in 0 to 1 of the picture.
	Class  string
	Boxes  []event.Box
	Golden bool
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
	planes, height, width, err := d.Pictures[0].Load()
	if err != nil {
		return err
	}
	for _, l := range lookers {
		cost := newCost(l.m, d)
		x := l.scale(planes, height, width)
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
	cameras := map[string]int{}
	stride := (len(d.Pictures) + c.Frames - 1) / c.Frames
	golden := 0
	for i := range d.Pictures {
		if d.Pictures[i].Golden {
			golden++
		}
	}
	every := sparse(golden, c.Frames)
	seen := int64(0)
	for i := range d.Pictures {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q := &d.Pictures[i]
		extra := i%stride != 0
		if q.Golden {
			seen++
		}
		if extra && (by != nil || !q.Golden || seen%every != 0) {
			continue
		}
		planes, height, width, err := q.Load()
		if err != nil {
			return nil, fmt.Errorf("frame of %s: %w", q.Camera, err)
		}
		if len(planes) != 3*height*width || height < 1 || width < 1 {
			return nil, fmt.Errorf("frame of %s: %d values are not 3 planes of %d x %d", q.Camera, len(planes), width, height)
		}
		if by != nil {
			if planes, err = by.planes(planes, height, width, fmt.Sprint(q.Camera, q.Captured), c.Seed); err != nil {
				return nil, err
			}
		}
		if _, ok := cameras[q.Camera]; !ok {
			cameras[q.Camera] = len(cameras)
		}
		// Frames of one camera within a minute show the same scene.
		p.samples = append(p.samples, sample{asset: q.Camera, block: cameras[q.Camera]<<32 | int(uint32(q.Captured/60e9)), end: q.Captured + 1, class: q.Class, golden: q.Golden, //nolint:gosec // a name
			extra: extra, goldenFrom: q.Captured, left: math.NaN()})
		for n, l := range lookers {
			outs, err := l.run(l.scale(planes, height, width))
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", l.m.Version, err)
			}
			loss, err := l.loss(d.Task, outs, q)
			if err != nil {
				return nil, fmt.Errorf("read what %s says: %w", l.m.Version, err)
			}
			p.said[n] = append(p.said[n], loss)
		}
	}
	return p, nil
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

// scale brings planes to the model's size, bilinear as the line does it, and its pixels to the model's scale.
func (l *looker) scale(planes []float32, height, width int) []float32 {
	p := l.m.Picture
	out := make([]float32, 3*p.Height*p.Width)
	for c := range 3 {
		mean, std := p.Mean[c], p.Std[c]
		if std == 0 {
			std = 1
		}
		from, to := planes[c*height*width:(c+1)*height*width], out[c*p.Height*p.Width:]
		for y := range p.Height {
			y0, y1, fy := between(y, p.Height, height)
			for x := range p.Width {
				x0, x1, fx := between(x, p.Width, width)
				top := from[y0*width+x0]*(1-fx) + from[y0*width+x1]*fx
				low := from[y1*width+x0]*(1-fx) + from[y1*width+x1]*fx
				to[y*p.Width+x] = (top*(1-fy) + low*fy - mean) / std
			}
		}
	}
	return out
}

// between returns the two source pixels around the centre of pixel i of n, and how far it is to the second.
func between(i, n, of int) (a, b int, f float32) {
	at := (float64(i)+0.5)*float64(of)/float64(n) - 0.5
	at = math.Min(math.Max(at, 0), float64(of-1))
	a = int(at)
	return a, min(a+1, of-1), float32(at - float64(a))
}

// run returns the outputs for one picture.
func (l *looker) run(x []float32) ([]model.Tensor, error) {
	in, err := ort.Wrap(x, 1, 3, int64(l.m.Picture.Height), int64(l.m.Picture.Width))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var outs []ort.Value
	var tensors []model.Tensor
	for _, p := range l.session.Outputs() {
		shape := slices.Clone(p.Shape)
		dims := make([]int, len(shape))
		for i, d := range shape {
			if d < 0 && i == 0 {
				d = 1
			}
			if d < 0 {
				return nil, fmt.Errorf("the size of its output %v is not known before it runs", p)
			}
			shape[i], dims[i] = d, int(d)
		}
		out, err := ort.NewTensor[float32](shape...)
		if err != nil {
			return nil, err
		}
		defer out.Close()
		outs = append(outs, out)
		tensors = append(tensors, model.Tensor{Name: p.Name, Shape: dims, Data: out.Data()})
	}
	if err := l.session.Run([]ort.Value{in}, outs); err != nil {
		return nil, err
	}
	for i := range tensors {
		tensors[i].Data = slices.Clone(tensors[i].Data)
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
