package main

import (
	"math"
	"testing"
	"time"
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

// What a pipeline says stands at the row that it says it of, also where rows are missing, doubled or out of order, and there is nothing before the detector is warm.
func TestLined(t *testing.T) {
	s := &series{}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 900 {
		x := math.Sin(float64(i) / 7)
		if i == 700 {
			x = 9
		}
		if at = at.Add(5 * time.Minute); i == 600 {
			at = at.Add(3 * time.Hour)
		}
		s.values, s.times = append(s.values, x), append(s.times, at)
	}
	s.times[400] = s.times[399]
	out, err := lined(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out {
		switch {
		case i == 700 && v < 1, i != 700 && v >= 1, i < 200 && v != 0:
			t.Errorf("row %d: %v", i, v)
		}
	}
	if s.step() != 5*time.Minute || out[400] != 0 {
		t.Errorf("step %v, a doubled row has %v", s.step(), out[400])
	}
}
