package drift

import (
	"math"

	"andon/event"
)

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
			b.p.ranged++
			f.Range = []float64{low - float64(rangeMargin*(high-low)), high + float64(rangeMargin*(high-low))}
		}
	}
}

// astray counts a row's inputs that are where the reference has no rows. What the model loses there the reference cannot tell: a network goes on in some direction, seldom the right one.
func (p *Profile) astray(row []float64) (out int) {
	for j := range p.Features {
		if f := &p.Features[j]; f.Range != nil {
			out += f.outside(row[f.Input])
		}
	}
	return out
}

// outside is 1 for a value beyond the range, and for a missing one 0.
func (f *Feature) outside(x float64) int { return one(x < f.Range[0]) + one(x > f.Range[1]) }

// expect is the loss of a row of which the steps say so much, and of whose inputs so many are astray.
func (p *Profile) expect(said float64, out int) float64 {
	said = math.Max(said, 0)
	if out > 0 && p.Guess > said {
		said += float64(float64(out) / float64(p.ranged) * (p.Guess - said))
	}
	return said
}
