package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The tests of batches call what is the same changed as often as they should, and find what has moved.
func TestBatchTests(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	normal := func(n int, by float64) (v []float64) {
		for range n {
			v = append(v, r.NormFloat64()+by)
		}
		slices.Sort(v)
		return v
	}
	below := 0
	for range 400 { // of the same: as many as alpha, give or take three deviations of 4.4
		if ksBelow(.05)(normal(1000, 0), normal(500, 0)) {
			below++
		}
	}
	if below < 5 || below > 35 {
		t.Errorf("%d of 400 are below 0.05", below)
	}
	if !ksBelow(1e-6)(normal(1000, 0), normal(500, .5)) || ksBelow(.05)([]float64{1, 1, 2, 2}, []float64{1, 1, 2, 2}) {
		t.Error("a shift of half a deviation is not found, or ties are")
	}
	past := normal(20_000, 0)
	for _, by := range []float64{.05, .15} {
		if got := earthBeyond(.1)(past, normal(5000, by)); got != (by > .1) {
			t.Errorf("moved by %v: %v", by, got)
		}
	}
}

// Streams that nothing was planted into come out the same as those that get it later, up to there; what was planted is in the reading that is blamed.
func TestPlanted(t *testing.T) {
	e, err := readEngines()
	if err != nil {
		t.Fatal(err)
	}
	if len(e.lives) != 100 || len(e.signals) != 14 {
		t.Fatalf("%d engines, %d signals", len(e.lives), len(e.signals))
	}
	for name, s := range map[string]scene{"plants": plants{}, "engines": e} {
		changes := plantChanges
		if name == "engines" {
			changes = e.changes()
		}
		const from, windows = 400, 800
		var calm [][]float64
		s.play(3, windows, nil, 0, func(_ string, _ int64, row []float64) { calm = append(calm, row) })
		if len(calm) != windows {
			t.Fatalf("%s: %d windows", name, len(calm))
		}
		for _, c := range changes {
			n, moved := 0, 0
			s.play(3, windows, &c, from, func(asset string, _ int64, row []float64) {
				same := slices.EqualFunc(row, calm[n], func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
				if n < from && !same {
					t.Fatalf("%s, %s: window %d of %s is another before anything changes", name, c.name, n, asset)
				}
				if n >= from && !same {
					moved++
				}
				n++
			})
			if moved < (windows-from)/5 {
				t.Errorf("%s, %s: %d of %d windows are other ones", name, c.name, moved, windows-from)
			}
		}
	}
}
