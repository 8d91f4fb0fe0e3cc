package decode

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// The division agrees with strconv to the bit, also where the number lies halfway between two floats.
func TestDivide(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	check := func(m uint64, power int) {
		t.Helper()
		text := fmt.Sprintf("%de-%d", m, power)
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		n := numeral{mantissa: m, exponent: int32(-power)}
		if got := n.divide(); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s: %v, want %v", text, got, want)
		}
	}
	for range 200_000 {
		if m := rng.Uint64() >> rng.UintN(64); m != 0 {
			check(m, int(rng.UintN(28)))
		}
	}
	ties := 0
	for range 100_000 {
		// An odd number of 54 bits, over a power of two, is a tie.
		power := 1 + int(rng.UintN(4))
		odd := uint64(1)<<53 | rng.Uint64()>>11 | 1
		if odd <= math.MaxUint64/fives[power] {
			check(odd*fives[power], power)
			ties++
		}
	}
	if ties < 10_000 {
		t.Errorf("only %d ties", ties)
	}
}

func BenchmarkFloat(b *testing.B) {
	text := []byte("641.82123456789012")
	var n numeral
	scanNumber(text, 0, &n)
	b.Run("by=divide", func(b *testing.B) {
		from := cpu()
		for b.Loop() {
			n.divide()
		}
		b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/op")
	})
	b.Run("by=strconv", func(b *testing.B) {
		from := cpu()
		for b.Loop() {
			if _, err := strconv.ParseFloat(view(text), 64); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/op")
	})
}
