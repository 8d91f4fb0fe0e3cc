package fit

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"andon/model/ort/orttest"
)

// BenchmarkStep is one optimiser step of a batch; the first case is the one that bench/README.md sets beside PyTorch.
func BenchmarkStep(b *testing.B) {
	orttest.Open(b)
	for _, n := range []struct {
		kind                                 string
		length, width, hidden, layers, batch int
	}{{GRU, 64, 16, 64, 1, 32}, {LSTM, 64, 16, 64, 1, 32}, {GRU, 30, 29, 32, 2, 64}, {LSTM, 30, 29, 32, 2, 64}, {GRU, 48, 1, 16, 1, 64}} {
		for _, shards := range []int{1, 2} {
			b.Run(fmt.Sprintf("kind=%s/window=%dx%d/hidden=%d/layers=%d/batch=%d/shards=%d", n.kind, n.length, n.width, n.hidden, n.layers, n.batch, shards), func(b *testing.B) {
				net := Network{Kind: n.kind, Length: n.length, Width: n.width, Hidden: n.hidden, Layers: n.layers}
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

// BenchmarkClassifierStep is one optimiser step of a batch of 32 crops; the first case is the one that bench/README.md sets beside PyTorch.
func BenchmarkClassifierStep(b *testing.B) {
	orttest.Open(b)
	for _, shards := range []int{1, 2} {
		b.Run(fmt.Sprintf("crop=3x64x64/stages=4/batch=32/shards=%d", shards), func(b *testing.B) {
			net := Classifier{Channels: 3, Height: 64, Width: 64, Classes: make([]string, 10), Stages: []int{16, 32, 64, 128}, Center: 0.5, Spread: 0.2}
			rng := rand.New(rand.NewPCG(1, 1))
			s, err := newStepper(net, Config{Batch: 32, Shards: shards}, net.start(rng))
			if err != nil {
				b.Fatal(err)
			}
			defer s.close()
			set := stripes(32, 3, 64, 1)
			rows := make([]int, 32)
			for i := range rows {
				rows[i] = i
			}
			began := cpuTime()
			for b.Loop() {
				if _, err := s.step(set, rows, 0.001, rng); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime()-began)/1e6/float64(b.N), "cpu-ms/op")
		})
	}
}

func cpuTime() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad pointer only
	return r.Utime.Nano() + r.Stime.Nano()
}
