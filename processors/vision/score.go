package vision

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/vision/boxes"
	"andon/processors/vision/rules"
)

// chunk is the pictures that go to the scorer together: of one model, in the order of the log.
type chunk struct {
	model  *model.Model
	planes []float32
	n      int // pictures
	frames []looked
	outs   []model.Tensor
	runs   []event.Run
	boxes  []event.Box
}

// looked is one frame of a chunk.
type looked struct {
	event.Frame
	camera *camera
	sight  int // its place in the block
	first  int // of its pictures
}

// errLost is the error of a frame whose picture is kept apart and is not there.
var errLost = errors.New("its picture is not in the evidence store")

// take makes a frame's pictures and adds them to the chunk. An error is about the frame, unless ctx is over.
func (p *Partition) take(ctx context.Context, f *event.Frame, m *model.Model, sight int) error {
	c := p.camera(f.Camera)
	c.plan(p.line, f.Camera, m)
	l := looked{Frame: *f, camera: c, sight: sight, first: p.chunk.n}
	if f.JPEG == nil && f.Reference != "" {
		if p.line.deps.Evidence == nil {
			return errLost
		}
		var err error
		if l.JPEG, _, err = p.line.deps.Evidence.Get(ctx, f.Reference); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", errLost, err)
		}
	}
	begun := p.line.now()
	planes, err := p.decoder.Append(p.chunk.planes, l.JPEG, c.plans)
	if err != nil {
		return err
	}
	p.line.meters.decode.Observe(p.line.now().Sub(begun).Seconds())
	p.chunk.model, p.chunk.planes = m, planes
	p.chunk.n += len(c.plans)
	p.chunk.frames = append(p.chunk.frames, l)
	return nil
}

// plan says which pictures a model gets of the camera's frames: one of each zone that wants a crop, or one of the whole.
func (c *camera) plan(l *Line, name string, m *model.Model) {
	if c.planned == m {
		return
	}
	c.planned = m
	c.plans, c.zones = plansOf(&l.cfg, m.Picture, name), nil
	for _, z := range l.cfg.Crops(name) {
		c.zones = append(c.zones, z.Name)
	}
}

// plansOf are the pictures that a model gets of a camera's frames.
func plansOf(c *Config, p *model.Picture, camera string) (plans []Plan) {
	whole := Plan{X1: 1, Y1: 1, Width: p.Width, Height: p.Height, Mean: p.Mean, Std: p.Std}
	for _, z := range c.Crops(camera) {
		x0, y0, x1, y1 := z.Bounds()
		crop := whole
		crop.X0, crop.Y0, crop.X1, crop.Y1 = float64(x0), float64(y0), float64(x1), float64(y1)
		plans = append(plans, crop)
	}
	if len(plans) == 0 {
		return []Plan{whole}
	}
	return plans
}

// score looks at the chunk's pictures, acts on what is seen, and empties the chunk. sights are the block's.
func (p *Partition) score(ctx context.Context, sights []event.Sight, received int64) error {
	c, l := &p.chunk, p.line
	m := c.model
	defer func() {
		clear(c.frames)
		c.model, c.planes, c.n, c.frames = nil, c.planes[:0], 0, c.frames[:0]
	}()
	c.runs = slices.Grow(c.runs[:0], c.n)[:c.n]
	var err error
	c.outs, err = l.deps.Judge.Scorer.SeeRuns(ctx, m, c.planes, c.n, c.outs, c.runs)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%d pictures by model %s: %w", c.n, m.Version, err)
	}
	if err == nil {
		p.noteVersion(m)
	}
	for i := range c.frames {
		f := &c.frames[i]
		s := &sights[f.sight]
		fault := err
		if fault == nil {
			fault = p.read(m, f, s)
		}
		if fault != nil {
			p.failed(m, fault)
			p.drop(&f.Frame, s, event.SightFailed, received, l.now().UnixNano())
			continue
		}
		p.sees(c, f, s)
		p.act(f, s, received)
	}
	if err == nil {
		p.shadow(sights)
	}
	return nil
}

// failed says once that a model cannot look: the line goes on, and each frame says so.
func (p *Partition) failed(m *model.Model, err error) {
	if p.failing != m.Version {
		p.failing = m.Version
		p.line.log.Error("the model cannot look at frames: promote another, or roll back", "model", m.Version, "error", err)
	}
}

func (p *Partition) noteVersion(m *model.Model) {
	switch {
	case p.version == "":
		p.version = m.Version
	case p.version != m.Version && len(p.version) < 30:
		p.version += "+" + m.Version
	}
}

// read takes what the model says of a frame's pictures into its Sight.
func (p *Partition) read(m *model.Model, f *looked, s *event.Sight) (err error) {
	c := &p.chunk
	s.Version, s.Label, s.Risk, s.Boxes = m.Version, "", 0, nil
	s.Run = c.runs[f.first]
	c.boxes = c.boxes[:0]
	for i := range f.camera.plans {
		at := len(c.boxes)
		var label string
		var risk float32
		if c.boxes, label, risk, err = boxes.Read(m.Picture, c.outs, f.first+i, c.boxes); err != nil {
			return err
		}
		plan := &f.camera.plans[i]
		for j := at; j < len(c.boxes); j++ {
			plan.back(&c.boxes[j])
		}
		if i == 0 || risk > s.Risk {
			s.Label, s.Risk = label, risk
		}
		if f.camera.zones != nil && m.Task == model.Classification {
			f.camera.said = append(f.camera.said, rules.Class{Zone: f.camera.zones[i], Label: label, Risk: risk, Normal: label == m.Picture.Normal})
		} else if m.Task == model.Classification {
			f.camera.said = append(f.camera.said, rules.Class{Label: label, Risk: risk, Normal: label == m.Picture.Normal})
		}
	}
	if len(c.boxes) > 0 {
		s.Boxes = slices.Clone(c.boxes)
	}
	return nil
}

// back puts a box of a crop where it is in the frame.
func (p *Plan) back(b *event.Box) {
	w, h := float32(p.X1-p.X0), float32(p.Y1-p.Y0)
	b.X0, b.X1 = float32(p.X0)+b.X0*w, float32(p.X0)+b.X1*w
	b.Y0, b.Y1 = float32(p.Y0)+b.Y0*h, float32(p.Y0)+b.Y1*h
}
