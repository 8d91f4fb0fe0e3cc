package drift

import "andon/event"

// rangeMargin is how far beyond the reference's values, in shares of their range, a value still counts as one of them.
const rangeMargin = 0.1

// ranges learns between which values each input lies.
func (b *profiler) ranges() {
	for j := range b.p.Features {
		f := &b.p.Features[j]
		if f.Role != event.RoleInput {
			continue
		}
		low, high, any := 0.0, 0.0, false
		for _, i := range b.order {
			if x := b.Values[i*b.d+f.Input]; x == x {
				if !any {
					low, high, any = x, x, true
				}
				low, high = min(low, x), max(high, x)
			}
		}
		if any {
			f.Range = []float64{low - float64(rangeMargin*(high-low)), high + float64(rangeMargin*(high-low))}
		}
	}
}

// astray is the share of a row's inputs that are where the reference has no rows. What the model loses there the reference cannot tell: a network goes on in some direction, seldom the right one.
func (p *Profile) astray(row []float64) float64 {
	out, n := 0, 0
	for j := range p.Features {
		if f := &p.Features[j]; f.Range != nil {
			n++
			if x := row[f.Input]; x < f.Range[0] || x > f.Range[1] {
				out++
			}
		}
	}
	if out == 0 {
		return 0
	}
	return float64(out) / float64(n)
}
