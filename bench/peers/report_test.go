package main

import (
	"strings"
	"testing"
	"time"
)

func TestWatchTimes(t *testing.T) {
	w := &watch{}
	for i := range 21 {
		w.samples = append(w.samples, sample{
			at: time.Duration(i) * time.Second, cpu: time.Duration(i) * 500 * time.Millisecond, ends: []int64{int64(i) * 50, int64(max(0, i-1)) * 50},
		})
	}
	// The last result that counted lies at offset 499 of partition 0 and 449 of partition 1: readable at 10 s.
	end, ok := w.done([]int64{499, 449})
	if !ok || end.at != 10*time.Second {
		t.Fatalf("done at %v, want 10s", end.at)
	}
	if got := w.firstOutput(); got != time.Second {
		t.Fatalf("first output at %v, want 1s", got)
	}
	// A fifth of 950 is there at 3 s (250).
	share, cpu, wall := w.warm(end)
	if wall != 7*time.Second || cpu != 3500*time.Millisecond || share < 0.73 || share > 0.74 {
		t.Fatalf("warm: %v of the output in %v, %v of CPU", share, wall, cpu)
	}
	if _, ok := (&watch{}).done([]int64{-1}); ok {
		t.Fatal("done without a sample")
	}
}

func TestMedianAndComparison(t *testing.T) {
	c := Case{Map, ExactlyOnce}
	result := func(peer string, round int, cpu float64, good bool) Result {
		r := Result{Peer: peer, Case: c, Round: round, Records: 1000, WallS: 1, CPUS: cpu, Tally: Tally{Expected: 1, Good: 1}}
		if !good {
			r.Tally.Good = 0
		}
		return r
	}
	all := []Result{
		result("a", 1, 1, true), result("b", 1, 8, true), result("a", 2, 3, true), result("b", 2, 8, true), result("a", 3, 2, true), result("b", 3, 1, false),
	}
	got := medians(all)
	if len(got) != 2 || got[0].CPUS != 2 || got[1].CPUS != 8 {
		t.Fatalf("medians %+v", got)
	}
	var text strings.Builder
	if err := compare(&text, all, "a"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "4.00x") {
		t.Fatalf("a does four times the work of b:\n%s", text.String())
	}
	text.Reset()
	if err := table(&text, all, 3); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "FAILED") || !strings.Contains(text.String(), "medians") {
		t.Fatalf("the table hides a failure:\n%s", text.String())
	}
}

func TestDoubledIsFineOnlyAtLeastOnce(t *testing.T) {
	r := Result{Case: Case{Map, AtLeastOnce}, Tally: Tally{Expected: 1, Good: 1, Doubled: 1}}
	if !r.OK() {
		t.Error("at least once may double")
	}
	if r.Guarantee = ExactlyOnce; r.OK() {
		t.Error("exactly once may not double")
	}
}
