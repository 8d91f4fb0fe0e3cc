package drift

import "math"

// additive estimates what a model loses by a row from the row itself: the sum of one step function a feature, which makes it a generalised additive model of boosted stumps (Friedman 2001, Annals of
// Statistics 29; Lou, Caruana and Gehrke 2012, KDD). Estimating loss so, before the truth is known, is NannyML's direct loss estimation, whose learner is boosted trees; stumps cost one
// look-up a feature, and tell which feature the loss comes from.
type additive struct {
	Base float64
	// Steps[j] is what each bin of feature j adds; nil for one that says nothing.
	Steps [][]float64
}

const (
	lossRounds = 120
	lossRate   = 0.1
	// lossLeaf is the least share of the rows on either side of a step.
	lossLeaf = 0.02
)

// fitLoss learns from the rows whose loss is known; how many rounds is what is best on assets that were not learned from.
func (b *profiler) fitLoss() {
	var rows []int
	for _, i := range b.order {
		if l := b.Loss[i]; l == l {
			rows = append(rows, i)
		}
	}
	if len(rows) < 2*leastRows {
		return
	}
	features := b.p.Features
	set := lossSet{bins: make([][]uint8, len(features)), y: make([]float64, len(rows)), sizes: make([]int, len(features))}
	for j := range features {
		f := &features[j]
		if f.Input < 0 {
			continue
		}
		set.sizes[j] = len(f.Edges) + 2 // the last is for a missing value
		set.bins[j] = make([]uint8, len(rows))
		for k, i := range rows {
			set.bins[j][k] = uint8(f.binOrMissing(b.Values[i*b.d+f.Input]))
		}
	}
	half := make([]int, len(rows))
	one := true
	for k, i := range rows {
		set.y[k] = b.Loss[i]
		half[k] = int(b.Asset[i]) & 1
		one = one && half[k] == half[0]
	}
	if one { // of one asset, or of assets of one kind of number: by time
		for k := range half {
			half[k] = k * 4 / len(half) & 1
		}
	}
	score := make([]float64, lossRounds+1)
	for side := range 2 {
		set.fit(lossRounds, func(k int) bool { return half[k] != side }, func(round int, said []float64) {
			for k, v := range said {
				if half[k] == side {
					score[round] += (v - set.y[k]) * (v - set.y[k])
				}
			}
		})
	}
	best := 0
	for round := range score {
		if score[round] < score[best] {
			best = round
		}
	}
	b.p.loss = set.fit(best, func(int) bool { return true }, nil)
}

// binOrMissing is the bin of a value, or one more for none.
func (f *Feature) binOrMissing(x float64) int {
	if x != x {
		return len(f.Edges) + 1
	}
	return f.grid.bin(x)
}

// lossSet is rows in bins with their losses.
type lossSet struct {
	bins  [][]uint8
	sizes []int
	y     []float64
}

// fit boosts stumps on the rows that count; watch is told of every round what is said of all rows.
func (s *lossSet) fit(rounds int, counts func(k int) bool, watch func(round int, said []float64)) *additive {
	a := &additive{Steps: make([][]float64, len(s.bins))}
	n := 0.0
	for k, y := range s.y {
		if counts(k) {
			a.Base += y
			n++
		}
	}
	a.Base /= math.Max(n, 1)
	said := make([]float64, len(s.y))
	for k := range said {
		said[k] = a.Base
	}
	if watch != nil {
		watch(0, said)
	}
	var sum, weight [profileBins + 3]float64
	for round := 1; round <= rounds; round++ {
		bestGain, feature, cut, low, high := 0.0, -1, 0, 0.0, 0.0
		for j, bins := range s.bins {
			if bins == nil {
				continue
			}
			clear(sum[:])
			clear(weight[:])
			total := 0.0
			for k, bin := range bins {
				if counts(k) {
					r := s.y[k] - said[k]
					sum[bin] += r
					weight[bin]++
					total += r
				}
			}
			left, leftN := 0.0, 0.0
			for bin := range s.sizes[j] - 1 {
				left, leftN = left+sum[bin], leftN+weight[bin]
				right, rightN := total-left, n-leftN
				if leftN < lossLeaf*n || rightN < lossLeaf*n {
					continue
				}
				if gain := left*left/leftN + right*right/rightN - total*total/n; gain > bestGain {
					bestGain, feature, cut, low, high = gain, j, bin, left/leftN, right/rightN
				}
			}
		}
		if feature < 0 {
			break
		}
		if a.Steps[feature] == nil {
			a.Steps[feature] = make([]float64, s.sizes[feature])
		}
		for bin := range a.Steps[feature] {
			if bin <= cut {
				a.Steps[feature][bin] += lossRate * low
			} else {
				a.Steps[feature][bin] += lossRate * high
			}
		}
		for k, bin := range s.bins[feature] {
			if int(bin) <= cut {
				said[k] += lossRate * low
			} else {
				said[k] += lossRate * high
			}
		}
		if watch != nil {
			watch(round, said)
		}
	}
	return a
}

// losses estimates the loss of one row: as the steps say, as far as its inputs are among those that they were learned from, and as if it were guessed, as far as they are not.
func (p *Profile) losses(row []float64) float64 {
	sum := p.loss.Base
	for j, steps := range p.loss.Steps {
		if steps == nil {
			continue
		}
		f := &p.Features[j]
		sum += steps[f.binOrMissing(row[f.Input])]
	}
	return p.expect(sum, p.astray(row))
}
