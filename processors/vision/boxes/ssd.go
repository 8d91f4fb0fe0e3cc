package boxes

import (
	"fmt"

	"andon/model"
)

// ssd reads three outputs: boxes [N, A, 4] as x0, y0, x1, y1 in 0..1, scores [N, A] and labels [N, A], counted from 0 as in p.Labels. Files that have another order, pixels, or a background before the
// labels are brought to this when they are pushed.
func (s *scratch) ssd(p *model.Picture, outs []model.Tensor, i int) error {
	all, shape, err := output(outs, 0, i, "[N, A, 4]: boxes of x0, y0, x1, y1", 0, 4)
	if err != nil {
		return err
	}
	a := shape[0]
	scores, _, err := output(outs, 1, i, fmt.Sprintf("[N, %d]: scores", a), a)
	if err != nil {
		return err
	}
	labels, _, err := output(outs, 2, i, fmt.Sprintf("[N, %d]: labels", a), a)
	if err != nil {
		return err
	}
	if err := anyNotFinite(scores); err != nil {
		return fmt.Errorf("scores: %w", err)
	}
	for at, v := range scores {
		if v <= 0 || v < p.Threshold {
			continue
		}
		row := all[4*at : 4*at+4]
		if err := anyNotFinite(row); err != nil {
			return fmt.Errorf("box %d: %w", at, err)
		}
		k, err := label(p, labels[at], at)
		if err != nil {
			return err
		}
		s.add(candidate{row[0], row[1], row[2], row[3], v, k, int32(at)})
	}
	return nil
}
