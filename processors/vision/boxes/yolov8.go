package boxes

import (
	"fmt"

	"andon/model"
)

// yolov8 reads one output [N, 4+C, A] as Ultralytics' exports of YOLOv8, v9 and v11 write it: rows of centre x, y, width and height in pixels of the input, then a confidence a class. A place says its most
// confident class only.
func (s *scratch) yolov8(p *model.Picture, outs []model.Tensor, i int) error {
	c := len(p.Labels)
	all, shape, err := output(outs, 0, i, fmt.Sprintf("[N, %d, A]: x, y, width, height and a confidence for each of %d labels", 4+c, c), 4+c, 0)
	if err != nil {
		return err
	}
	a := shape[1]
	s.best, s.whom = grow(s.best, a), grow(s.whom, a)
	best, whom := s.best, s.whom
	clear(best)
	clear(whom)
	for k := range c {
		for at, v := range all[(4+k)*a : (5+k)*a] { // row by row: the places lie side by side
			if !(v <= best[at]) {
				if v != v {
					return fmt.Errorf("confidences: %w", anyNotFinite(all[4*a:]))
				}
				best[at], whom[at] = v, int32(k)
			}
		}
	}
	w, h := float32(p.Width), float32(p.Height)
	x, y, wide, high := all[:a], all[a:2*a], all[2*a:3*a], all[3*a:4*a]
	for at, v := range best {
		if v > 0 && v >= p.Threshold {
			s.centred(x[at]/w, y[at]/h, wide[at]/w, high[at]/h, v, whom[at], at)
		}
	}
	return nil
}

// centred adds a box by its centre. One that is not finite is kept for check to tell.
func (s *scratch) centred(x, y, w, h, score float32, class int32, at int) {
	b := candidate{x - w/2, y - h/2, x + w/2, y + h/2, score, class, int32(at)}
	if sum := x + y + w + h; sum*0 != 0 {
		s.list = append(s.list, b)
		return
	}
	s.add(b)
}

func grow[T any](v []T, n int) []T {
	if cap(v) < n {
		return make([]T, n)
	}
	return v[:n]
}
