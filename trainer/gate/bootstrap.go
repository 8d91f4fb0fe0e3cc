package gate

import (
	"math"
	"math/rand/v2"
	"slices"
)

// gains is the mean gain of a slice, how far it may be off by chance, and how drawn ones were off, in such units: the bootstrap-t (Efron 1981, Canadian Journal of Statistics 9; Hall 1988, Annals of
// Statistics 16) of whole blocks drawn with replacement, since windows of one asset are not independent (Field and Welsh 2007, JRSS B 69; Cameron, Gelbach and Miller 2008, Review of Economics and
// Statistics 90). Drawn means alone, not divided by their own deviation, are too sure of themselves where blocks are few, and the more so the farther out one asks, as a correction for many does.
type gains struct {
	mean, sd float64
	off      []float64 // in order
}

func bootstrap(blocks []Block, draws int, seed uint64) gains {
	rng := rand.New(rand.NewPCG(seed, 0x67617465)) //nolint:gosec // lots, not secrets
	each := make([]sums, len(blocks))
	var all sums
	for i := range blocks {
		n, gain := float64(blocks[i].N), blocks[i].Champion-blocks[i].Challenger
		each[i] = sums{n, gain, n * n, gain * n, gain * gain}
		all.add(&each[i])
	}
	g := gains{off: make([]float64, draws)}
	g.mean, g.sd = all.spread(len(blocks))
	for i := range g.off {
		var drawn sums
		for range each {
			drawn.add(&each[rng.IntN(len(each))])
		}
		mean, sd := drawn.spread(len(each))
		g.off[i] = ratio(mean-g.mean, sd)
	}
	slices.Sort(g.off)
	return g
}

// sums are over blocks: of windows and gains, and of their products.
type sums struct{ n, gain, nn, ng, gg float64 }

func (s *sums) add(o *sums) {
	s.n += o.n
	s.gain += o.gain
	s.nn += o.nn
	s.ng += o.ng
	s.gg += o.gg
}

// spread returns the mean gain a window of so many blocks of different sizes, and its standard deviation, to the first order.
func (s *sums) spread(blocks int) (mean, sd float64) {
	if s.n == 0 || blocks < 2 {
		return 0, 0
	}
	mean = s.gain / s.n
	squares := s.gg - 2*mean*s.ng + mean*mean*s.nn
	if squares <= 1e-12*s.gg { // rounding
		return mean, 0
	}
	many := float64(blocks)
	return mean, math.Sqrt(squares*many/(many-1)) / s.n
}

// ratio is a in units of sd; what is off where nothing varies is off without bound.
func ratio(a, sd float64) float64 {
	switch {
	case math.Abs(a) < 1e-12: // rounding
		return 0
	case sd == 0:
		return math.Copysign(math.Inf(1), a)
	}
	return a / sd
}

// above is the chance to be so far above null as the mean is, if null is true; below that to be so far below.
func (g *gains) above(null float64) float64 {
	at := ratio(g.mean-null, g.sd)
	return g.share(func(off float64) bool { return off >= at })
}

func (g *gains) below(null float64) float64 {
	at := ratio(g.mean-null, g.sd)
	return g.share(func(off float64) bool { return off <= at })
}

// share is the share of those for which ok holds, counted with the sample itself, so that it is never 0.
func (g *gains) share(ok func(float64) bool) float64 {
	n := 1
	for _, v := range g.off {
		if ok(v) {
			n++
		}
	}
	return float64(n) / float64(len(g.off)+1)
}

// interval leaves out alpha on either side. A mean of losses between 0 and 1 gains at most 1.
func (g *gains) interval(alpha float64) (low, high float64) {
	if g.sd == 0 {
		return g.mean, g.mean
	}
	at := func(q float64) float64 { return g.off[min(max(int(q*float64(len(g.off))), 0), len(g.off)-1)] }
	return max(g.mean-at(1-alpha)*g.sd, -1), min(g.mean-at(alpha)*g.sd, 1)
}
