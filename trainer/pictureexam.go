package trainer

import (
	"context"
	"fmt"
	"slices"

	"andon/event"
	"andon/model"
	"andon/trainer/evaluate"
)

// examinePictures is Examination for a task of pictures: the frames of the blocks that are kept for good, golden ones, and those that somebody marked as missed, which count as golden alone where they were learned from.
// Each model gets them at its own size, by the decoder that serves.
func examinePictures(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (evaluate.Data, error) {
	s := p.Spec.Picture
	d := evaluate.Data{Pipeline: p.Name, Task: p.Spec.Task, Unit: p.Spec.Unit, Block: s.Block, Read: func(m *model.Picture, outs []model.Tensor, i int) ([]event.Box, string, float32, error) {
		return p.Sight.Read(m, outs, i, nil)
	}}
	g, err := collectFrames(ctx, src, p, memory, true)
	if err != nil {
		return d, err
	}
	parts := g.part(&p.Spec)
	if len(parts.held) == 0 {
		return d, fmt.Errorf("%w: %d frames have labels, too few blocks of %v to keep some, and none is golden", ErrNothingKept, len(g.all), s.Block)
	}
	rows := parts.held
	for _, i := range slices.Concat(parts.train, parts.val) {
		if e := &g.all[i]; e.missed && e.golden {
			rows = append(rows, i)
		}
	}
	slices.Sort(rows)
	held := map[int]bool{}
	for _, i := range parts.held {
		held[i] = true
	}
	kept := gallery{}
	for _, i := range rows {
		e := g.all[i]
		kept.all = append(kept.all, e)
		q := evaluate.Picture{Camera: e.camera, Zone: e.crop.Zone, Captured: e.captured, Golden: e.golden, Learned: !held[i]}
		if e.class >= 0 {
			q.Class = s.Labels[e.class]
		}
		for _, m := range e.marks {
			w, h := float64(s.Width), float64(s.Height)
			q.Boxes = append(q.Boxes, event.Box{Label: s.Labels[m.Class], X0: float32(m.X0 / w), Y0: float32(m.Y0 / h), X1: float32(m.X1 / w), Y1: float32(m.Y1 / h)})
		}
		q.Load = func(height, width int) ([]float32, error) {
			bytes, err := p.Sight.Planes(nil, e.jpeg, e.crop, width, height)
			if err != nil {
				return nil, err
			}
			planes := make([]float32, len(bytes))
			for k, v := range bytes {
				planes[k] = float32(v) / 255
			}
			return planes, nil
		}
		d.Pictures = append(d.Pictures, q)
	}
	kept.sum()
	d.Digest = kept.digest
	return d, nil
}
