package boxes

import (
	"fmt"

	"andon/model"
)

// endToEnd reads one output [N, A, 6] of boxes that are suppressed already (YOLOv10, exports with nms=True): x0, y0, x1, y1 in pixels of the input, confidence, class. Rows of no confidence fill up.
func (s *scratch) endToEnd(p *model.Picture, outs []model.Tensor, i int) error {
	all, _, err := output(outs, 0, i, "[N, A, 6]: x0, y0, x1, y1, confidence, class", 0, 6)
	if err != nil {
		return err
	}
	w, h := float32(p.Width), float32(p.Height)
	for at := 0; len(all) > 0; at, all = at+1, all[6:] {
		row := all[:6]
		if err := anyNotFinite(row); err != nil {
			return fmt.Errorf("box %d: %w", at, err)
		}
		if row[4] <= 0 || row[4] < p.Threshold {
			continue
		}
		k, err := label(p, row[5], at)
		if err != nil {
			return err
		}
		s.add(candidate{row[0] / w, row[1] / h, row[2] / w, row[3] / h, row[4], k, int32(at)})
	}
	return nil
}

// label is a class that an output gives as a number.
func label(p *model.Picture, v float32, at int) (int32, error) {
	k := int32(v)
	if float32(k) != v || k < 0 || int(k) >= len(p.Labels) {
		return 0, fmt.Errorf("box %d is of class %v, the labels are 0 to %d", at, v, len(p.Labels)-1)
	}
	return k, nil
}
