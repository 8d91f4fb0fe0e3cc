package drift

import (
	"math"

	"andon/event"
)

// Rows are counted a block at a time, feature by feature: a feature's edges and residuals then stay near the core, and the searches of neighbouring rows, which have no branch to guess wrong, overlap.
// Each sum takes its terms in the order of the rows, so that where blocks end changes no bit.

const (
	// blockRows are counted together; 16 KB of 31 inputs.
	blockRows = 64
	// mostEdges fill a grid.
	mostEdges = 63
)

// grid are a feature's edges with +Inf behind the last.
type grid [mostEdges + 1]float64

// residual is that of a bin in a stratum: of place, then of spread.
type residual struct{ place, spread float64 }

func gridOf(edges []float64) *grid {
	g := new(grid)
	for i := range g {
		if g[i] = math.Inf(1); i < len(edges) {
			g[i] = edges[i]
		}
	}
	return g
}

// one is compiled to a flag, not to a branch.
func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bin returns the first bin whose edge is not less than x; x is not NaN.
func (g *grid) bin(x float64) int {
	i := one(g[31] < x) << 5
	i += one(g[(i+15)&mostEdges] < x) << 4
	i += one(g[(i+7)&mostEdges] < x) << 3
	i += one(g[(i+3)&mostEdges] < x) << 2
	i += one(g[(i+1)&mostEdges] < x) << 1
	return i + one(g[i&mostEdges] < x)
}

// block is rows of one portion and one part of time that are not counted yet.
type block struct {
	n, part int
	values  []float64 // row-major
	assets  [blockRows]int32
	strata  [blockRows]int32
}

// scratch is what counting a block needs and leaves behind; the rows' own are of the first block.n.
type scratch struct {
	values, losses [blockRows]float64
	bins           [blockRows]uint8 // one more than there are for a missing value
	whole          [blockRows]bool  // all inputs are there
	astray         [blockRows]int32 // inputs that are where the reference has no rows
	row            []float64        // what goes together
}

// count counts the rows that wait in a portion.
func (m *Monitor) count(part *portion) {
	b := &part.block
	if b.n == 0 {
		return
	}
	p, w := m.profile, &m.scratch
	c := part.clusters
	for i := range b.n {
		c.row(int(b.assets[i]), b.part)
		part.strata[b.strata[i]]++
		w.whole[i] = true
		if p.loss != nil {
			w.losses[i], w.astray[i] = p.loss.Base, 0
		}
	}
	d := len(p.Inputs)
	for j := range p.Features {
		f := &p.Features[j]
		if f.Input < 0 {
			continue
		}
		values, complete := w.values[:b.n], true
		for i := range values {
			x := b.values[i*d+f.Input]
			values[i] = x
			complete = complete && x == x
		}
		var steps []float64
		if p.loss != nil && j < len(p.loss.Steps) {
			steps = p.loss.Steps[j]
		}
		if !complete && f.Role == event.RoleInput {
			for i, x := range values {
				w.whole[i] = w.whole[i] && x == x
			}
		}
		m.feature(part, j, values, complete)
		if f.Range != nil {
			for i, x := range values {
				w.astray[i] += int32(f.outside(x)) //nolint:gosec // 0 or 1
			}
		}
		if steps != nil {
			for i, bin := range w.bins[:b.n] {
				w.losses[i] += steps[bin]
			}
		}
		if f.Input == p.Risk && part.weights != nil {
			for i, x := range values {
				if x == x {
					y := p.Calibration.At(x)
					part.weights[w.bins[i]] += y
					part.confusion.Add(y, x >= p.Threshold)
				}
			}
		}
	}
	for j := range p.Features { // what is made of several comes after those
		f := &p.Features[j]
		if f.Input >= 0 {
			continue
		}
		values := w.values[:b.n]
		for i := range values {
			switch {
			case f.Role != event.RoleTogether:
				values[i] = p.expect(w.losses[i], int(w.astray[i]))
			case w.whole[i]:
				values[i] = p.apart(b.values[i*d:(i+1)*d], w.row)
			default:
				values[i] = math.NaN()
			}
		}
		m.feature(part, j, values, false)
	}
	b.n, b.values = 0, b.values[:0]
}

// feature counts a block's values of one feature, of which complete tells that none is NaN, and leaves their bins.
func (m *Monitor) feature(part *portion, j int, values []float64, complete bool) {
	b, f, c := &part.block, &m.profile.Features[j], part.clusters
	at, width := j*tests, c.features*tests
	times := c.times[b.part*width+at:][:tests]
	counts, stride := part.counts[j], len(f.Edges)+1
	bins := m.scratch.bins[:len(values)]
	for i, x := range values {
		bins[i] = uint8(f.grid.bin(x) + stride*one(x != x)) // NaN is in bin 0, so far
	}
	if complete && f.plain {
		sum, place, spread, places, spreads := part.sum[j], times[testPlace], times[testSpread], c.square[at+testPlace], c.square[at+testSpread]
		for i, x := range values {
			bin := int(bins[i])
			counts[bin]++
			sum += x
			r := f.residual[int(b.strata[i])*stride+bin]
			own := c.assets[int(b.assets[i])*width+at:][:tests]
			own[testPlace] += r.place
			own[testSpread] += r.spread
			place += r.place
			spread += r.spread
			places += float64(r.place * r.place)
			spreads += float64(r.spread * r.spread)
		}
		part.sum[j], times[testPlace], times[testSpread], c.square[at+testPlace], c.square[at+testSpread] = sum, place, spread, places, spreads
		return
	}
	for i, x := range values {
		if x != x {
			part.missing[j]++
		} else {
			counts[bins[i]]++
			part.sum[j] += x
		}
		var r [tests]float64
		r[testPlace], r[testSpread], r[testMissing] = f.residuals(int(b.strata[i]), int(bins[i]), x)
		own := c.assets[int(b.assets[i])*width+at:][:tests]
		for t, v := range r {
			own[t] += v
			times[t] += v
			c.square[at+t] += float64(v * v)
		}
	}
}
