package trainer

import (
	"context"
	"fmt"

	"andon/event"
	"andon/model"
	"andon/trainer/evaluate"
)

// examinePictures is Examination for a task of pictures: the frames of the blocks that are kept for good, and golden ones, at the size of the pipeline's own network.
func examinePictures(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (evaluate.Data, error) {
	s := p.Spec.Picture
	d := evaluate.Data{Pipeline: p.Name, Task: p.Spec.Task, Unit: p.Spec.Unit, Read: func(m *model.Picture, outs []model.Tensor, i int) ([]event.Box, string, float32, error) {
		return p.Sight.Read(m, outs, i, nil)
	}}
	g, err := collectFrames(ctx, src, p, memory)
	if err != nil {
		return d, err
	}
	held := g.part(&p.Spec).held
	if len(held) == 0 {
		return d, fmt.Errorf("%w: %d frames have labels, too few blocks of %v to keep some, and none is golden", ErrNothingKept, len(g.all), s.Block)
	}
	kept := gallery{}
	for _, i := range held {
		e := g.all[i]
		kept.all = append(kept.all, e)
		q := evaluate.Picture{Camera: e.camera, Captured: e.captured, Golden: e.golden}
		if e.class >= 0 {
			q.Class = s.Labels[e.class]
		}
		for _, m := range e.marks {
			w, h := float64(s.Width), float64(s.Height)
			q.Boxes = append(q.Boxes, event.Box{Label: s.Labels[m.Class], X0: float32(m.X0 / w), Y0: float32(m.Y0 / h), X1: float32(m.X1 / w), Y1: float32(m.Y1 / h)})
		}
		q.Load = func() ([]float32, int, int, error) {
			planes := make([]float32, len(e.pixels))
			for k, v := range e.pixels {
				planes[k] = float32(v) / 255
			}
			return planes, s.Height, s.Width, nil
		}
		d.Pictures = append(d.Pictures, q)
	}
	kept.sum()
	d.Digest = kept.digest
	return d, nil
}
