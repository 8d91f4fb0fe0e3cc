package graph

import (
	"fmt"
	"syscall"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

// BenchmarkConvWeights is the two ways to the gradient by a convolution's weights, of which convWeights takes one.
func BenchmarkConvWeights(b *testing.B) {
	orttest.Open(b)
	for _, s := range []struct{ in, side, out, stride int }{{3, 64, 16, 2}, {32, 16, 64, 2}, {16, 32, 16, 1}, {32, 16, 32, 1}, {64, 8, 64, 1}} {
		for name, way := range map[string]func(g *Graph, x, dy *Value, shape []int, stride, pad int) *Value{
			"dilated": (*Graph).convWeightsDilated, "slices": (*Graph).convWeightsSlices} {
			b.Run(fmt.Sprintf("in=%d/side=%d/stride=%d/way=%s", s.in, s.side, s.stride, name), func(b *testing.B) {
				g := New()
				x, dy := g.Input("x", 32, s.in, s.side, s.side), g.Input("dy", 32, s.out, s.side/s.stride, s.side/s.stride)
				dw := way(g, x, dy, []int{s.out, s.in, 3, 3}, s.stride, 1)
				session, err := ort.NewSession(g.Model("weights", Output{"dw", dw}), ort.Options{Inputs: []string{"x", "dy"}})
				if err != nil {
					b.Fatal(err)
				}
				defer session.Close()
				var values []ort.Value
				for _, v := range []*Value{x, dy, dw} {
					t, err := ort.NewTensor[float32](int64s(v.shape)...)
					if err != nil {
						b.Fatal(err)
					}
					defer t.Close()
					for i := range t.Data() {
						t.Data()[i] = float32(i%17)/170 - 0.05
					}
					values = append(values, t)
				}
				began := cpuTime()
				for b.Loop() {
					if err := session.Run(values[:2], values[2:]); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime()-began)/1e6/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

func cpuTime() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad pointer only
	return r.Utime.Nano() + r.Stime.Nano()
}
