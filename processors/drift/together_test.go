package drift

import (
	"math"
	"testing"
)

// pairs makes rows of four features that go in two pairs; flip turns the second of the first pair round.
func pairs(seed uint64, n int, flip float64) []float64 {
	r := lots(seed)
	irwin := func() float64 {
		sum := 0.0
		for range 12 {
			sum += r.float()
		}
		return sum - 6
	}
	var out []float64
	for range n {
		u, v := irwin(), irwin()
		var e [4]float64
		for i := range e {
			e[i] = .2 * irwin()
		}
		out = append(out, u+e[0], flip*u+e[1], 5*v+e[2], 3*v-2+e[3])
	}
	return out
}

func meanError(p *PCA, rows []float64) float64 {
	sum, n := 0.0, len(rows)/4
	for i := range n {
		sum += p.Error(rows[i*4:(i+1)*4]) / float64(n)
	}
	return sum
}

// Each feature keeps its distribution when a pair turns round: only together they are unusual. The numbers are NumPy's, by eigenvectors of the correlations.
func TestPCA(t *testing.T) {
	reference := pairs(1, 2000, 1)
	p, err := FitPCA(reference, 4, DefaultShare, DefaultChunks)
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, NumPy %v", what, got, want)
		}
	}
	same, odd := pairs(2, 500, 1), pairs(3, 500, -1)
	if p.Components() != 2 {
		t.Fatalf("%d components", p.Components())
	}
	near("mean of chunks", p.Mean, 0.1688973066386291)
	near("deviation of chunks", p.Deviation, 0.012355933290861853)
	near("same", meanError(p, same), 0.16649898100547736)
	near("turned", meanError(p, odd), 1.119153523345081)
	near("a row", p.Error(odd[:4]), 0.3119785902225286)
	if u := p.Unusual(meanError(p, same)); math.Abs(u) > 3 {
		t.Errorf("more of the same is %v deviations off", u)
	}
	if u := p.Unusual(meanError(p, odd)); u < 10 {
		t.Errorf("a pair turned round is only %v deviations off", u)
	}
	var second []float64
	for i := range 500 {
		second = append(second, odd[i*4+1])
	}
	var was []float64
	for i := range 2000 {
		was = append(was, reference[i*4+1])
	}
	if d := compare(t, was, second, DefaultBins); d.KSP < .01 {
		t.Errorf("alone the feature differs, too: %v", d.KSP)
	}
	if !math.IsNaN(p.Error([]float64{1, math.NaN(), 1, 1})) {
		t.Error("NaN has an error")
	}
	if n := testing.AllocsPerRun(100, func() { p.Error(odd[:4]) }); n != 0 {
		t.Errorf("Error allocates %v times", n)
	}
	// A feature that stands still says nothing.
	still := make([]float64, 0, 8000)
	for i, v := range reference {
		if i%4 == 3 {
			v = 7
		}
		still = append(still, v)
	}
	if p, err = FitPCA(still, 4, .9, 10); err != nil || math.IsNaN(p.Error([]float64{0, 0, 0, 9})) {
		t.Errorf("%v", err)
	}
	for _, bad := range []struct {
		rows      []float64
		d, chunks int
		share     float64
	}{{reference[:7], 4, 20, .65}, {reference[:40], 4, 20, .65}, {reference, 0, 20, .65}, {reference, 4, 20, 0}, {append(pairs(1, 100, 1), 1, 2, 3, math.NaN()), 4, 20, .65}} {
		if _, err := FitPCA(bad.rows, bad.d, bad.share, bad.chunks); err == nil {
			t.Errorf("%d numbers in rows of %d, %d chunks, share %v: taken", len(bad.rows), bad.d, bad.chunks, bad.share)
		}
	}
}

func vectors(rows []float64, by float32) []float32 {
	out := make([]float32, len(rows))
	for i, v := range rows {
		out[i] = float32(v) + by
	}
	return out
}
