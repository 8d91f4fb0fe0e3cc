package fit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"andon/model/ort/orttest"
)

// BenchmarkStep is one optimiser step of a batch; the first case is the one that bench/README.md sets beside PyTorch.
func BenchmarkStep(b *testing.B) {
	orttest.Open(b)
	for _, n := range []struct{ length, width, hidden, layers, batch int }{{64, 16, 64, 1, 32}, {30, 29, 32, 2, 64}, {48, 1, 16, 1, 64}} {
		for _, shards := range []int{1, 2} {
			b.Run(fmt.Sprintf("window=%dx%d/hidden=%d/layers=%d/batch=%d/shards=%d", n.length, n.width, n.hidden, n.layers, n.batch, shards), func(b *testing.B) {
				net := Network{Length: n.length, Width: n.width, Hidden: n.hidden, Layers: n.layers}
				rng := rand.New(rand.NewPCG(1, 1))
				s, err := newStepper(net, Config{Batch: n.batch, Shards: shards, Clip: 1, Decay: 0.1}, net.start(rng))
				if err != nil {
					b.Fatal(err)
				}
				defer s.close()
				set := waves(n.batch, n.length, n.width, 1)
				rows := make([]int, n.batch)
				for i := range rows {
					rows[i] = i
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.step(set, rows, 0.001, rng); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*n.batch)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
