package gate

import (
	"math/rand/v2"
	"slices"
)

// bootstrap draws whole blocks with replacement and returns the mean gains, in order (Efron 1979, Annals of Statistics 7; by cluster, since windows of one asset are not independent: Field and Welsh
// 2007, JRSS B 69).
func bootstrap(blocks []Block, draws int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0x67617465)) //nolint:gosec // lots, not secrets
	gains := make([]float64, draws)
	for i := range gains {
		n, gain := 0, 0.0
		for range blocks {
			b := &blocks[rng.IntN(len(blocks))]
			n += b.N
			gain += b.Champion - b.Challenger
		}
		gains[i] = gain / float64(max(n, 1))
	}
	slices.Sort(gains)
	return gains
}
