package surprise

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkUpdate is of one value, when all that is remembered is full.
func BenchmarkUpdate(b *testing.B) {
	d, rng := New(Default()), rand.New(rand.NewPCG(5, 6))
	for range 10_000 {
		d.Update(rng.NormFloat64())
	}
	b.ReportAllocs()
	for b.Loop() {
		d.Update(rng.NormFloat64())
	}
}
