package boxes

import (
	"fmt"
	"math"
	"slices"

	"andon/model"
)

// class reads the forms probabilities and logits, one output [N, C].
func class(p *model.Picture, outs []model.Tensor, i int) (label string, risk float32, err error) {
	row, _, err := output(outs, 0, i, fmt.Sprintf("[N, %d], a number for each label", len(p.Labels)), len(p.Labels))
	if err != nil {
		return "", 0, err
	}
	if err := anyNotFinite(row); err != nil {
		return "", 0, err
	}
	best := 0
	for c, v := range row {
		if v > row[best] {
			best = c
		}
	}
	sum := 0.0
	share := func(v float32) float64 { return float64(v) }
	if p.Form == model.FormLogits {
		share = func(v float32) float64 { return math.Exp(float64(v - row[best])) }
	}
	for _, v := range row {
		sum += share(v)
	}
	if p.Form == model.FormProbabilities {
		if sum < 0.99 || sum > 1.01 || row[best] > 1.001 {
			return "", 0, fmt.Errorf("the classes' numbers %v sum to %.3g, not to 1: the form may be %s", row[:min(len(row), 8)], sum, model.FormLogits)
		}
		for c, v := range row {
			if v < -0.001 {
				return "", 0, fmt.Errorf("the probability of %s is %v", p.Labels[c], v)
			}
		}
		sum = 1
	}
	surest := min(float32(share(row[best])/sum), 1)
	if surest >= p.Threshold {
		label = p.Labels[best]
	}
	risk = surest
	for c, name := range p.Labels {
		if p.Normal != "" && name == p.Normal {
			risk = float32(min(max(1-share(row[c])/sum, 0), 1))
		}
	}
	return label, risk, nil
}

// Probabilities appends to dst the probability of each label in the i-th picture of a run, of the forms probabilities and logits, whose outputs Read has found to be right.
func Probabilities(p *model.Picture, outs []model.Tensor, i int, dst []float64) ([]float64, error) {
	row, _, err := output(outs, 0, i, fmt.Sprintf("[N, %d], a number for each label", len(p.Labels)), len(p.Labels))
	if err != nil {
		return dst, err
	}
	from := len(dst)
	for _, v := range row {
		dst = append(dst, float64(v))
	}
	if p.Form != model.FormLogits {
		return dst, nil
	}
	best, sum := slices.Max(dst[from:]), 0.0
	for c, v := range dst[from:] {
		dst[from+c] = math.Exp(v - best)
		sum += dst[from+c]
	}
	for c := range dst[from:] {
		dst[from+c] /= sum
	}
	return dst, nil
}
