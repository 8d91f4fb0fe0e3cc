package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// sum fills in a cell's numbers from its blocks: the percentile interval of a bootstrap that draws whole blocks (Efron 1979; Field and Welsh 2007).
func (c *Cell) sum(cfg *Config, squares bool) {
	metric := func(n, loss, square float64) float64 {
		if squares {
			return math.Sqrt(square / n)
		}
		return loss / n
	}
	var n, loss, square float64
	for _, b := range c.blocks {
		n, loss, square = n+float64(b.n), loss+b.loss, square+b.square
	}
	c.Value, c.Low, c.High, c.Loss = Unknown(), Unknown(), Unknown(), Unknown()
	if n == 0 {
		return
	}
	c.Value, c.Loss = Number(metric(n, loss, square)), Number(loss/n)
	if len(c.blocks) < 2 {
		return
	}
	// The same lots for every version, so that two columns differ by their losses only.
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x696e74)) //nolint:gosec // lots, not secrets
	drawn := make([]float64, cfg.Draws)
	for i := range drawn {
		var n, loss, square float64
		for range c.blocks {
			b := &c.blocks[rng.IntN(len(c.blocks))]
			n, loss, square = n+float64(b.n), loss+b.loss, square+b.square
		}
		drawn[i] = metric(n, loss, square)
	}
	slices.Sort(drawn)
	at := func(q float64) Number {
		return Number(drawn[min(max(int(q*float64(len(drawn))), 0), len(drawn)-1)])
	}
	c.Low, c.High = at((1-cfg.Level)/2), at((1+cfg.Level)/2)
}

func sortParts(all []part) {
	slices.SortStableFunc(all, func(a, b part) int { return strings.Compare(a.name, b.name) })
}
