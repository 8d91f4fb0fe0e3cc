package main

import (
	"math"
	"testing"
)

// Nothing said is 0, each window at its begin is nearly 100, at its end about half of it, and what is said elsewhere costs by how far after a window it is.
func TestScore(t *testing.T) {
	s := series{values: make([]float64, 1000), windows: [][2]int{{300, 399}, {600, 699}}, probation: 150}
	said := func(at ...int) [][]float64 {
		scores := make([]float64, 1000)
		for _, i := range at {
			scores[i] = 1
		}
		return [][]float64{scores}
	}
	check := func(what string, want float64, at ...int) {
		t.Helper()
		if got := score([]series{s}, said(at...), 1, profiles[0]); math.Abs(got-want) > 0.05 {
			t.Errorf("%s: %.2f, want %.2f", what, got, want)
		}
	}
	check("nothing", 0)
	check("at once", 100, 300, 600)
	check("twice", 100, 300, 350, 600, 601)
	check("in probation", 100, 100, 149, 300, 600)
	check("at the end of one", 75.6, 300, 699)
	check("before all windows", 100-11.0/4, 200, 300, 600)
	check("just after a window", 99.93, 300, 400, 600)
	check("long after", 100-11.0/4, 300, 600, 998)
}
