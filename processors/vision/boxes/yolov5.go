package boxes

import (
	"fmt"

	"andon/model"
)

// yolov5 reads one output [N, A, 5+C] as YOLOv5, v7 and a decoded YOLOX write it: centre x, y, width and height in pixels of the input, the confidence that there is something, and one a class if there is. A
// box's score is the product.
func (s *scratch) yolov5(p *model.Picture, outs []model.Tensor, i int) error {
	c := len(p.Labels)
	all, _, err := output(outs, 0, i, fmt.Sprintf("[N, A, %d]: x, y, width, height, a confidence and one for each of %d labels", 5+c, c), 0, 5+c)
	if err != nil {
		return err
	}
	w, h := float32(p.Width), float32(p.Height)
	for at := 0; len(all) > 0; at, all = at+1, all[5+c:] {
		row := all[:5+c]
		if err := anyNotFinite(row[4:]); err != nil {
			return fmt.Errorf("place %d: %w", at, err)
		}
		if row[4] <= 0 || row[4] < p.Threshold { // no class makes it more
			continue
		}
		best := 0
		for k, v := range row[5:] {
			if v > row[5+best] {
				best = k
			}
		}
		for _, v := range [...]float32{row[4], row[5+best]} {
			if err := probable(v); err != nil {
				return fmt.Errorf("place %d: %w", at, err)
			}
		}
		if v := row[4] * row[5+best]; v > 0 && v >= p.Threshold {
			s.centred(row[0]/w, row[1]/h, row[2]/w, row[3]/h, v, int32(best), at)
		}
	}
	return nil
}
