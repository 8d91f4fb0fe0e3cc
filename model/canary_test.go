package model

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestCanary(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	one, two := add(t, r, sample(t, "p", 1)), add(t, r, sample(t, "p", 2))
	promote(t, r, one, "first")
	var told []Move
	r.OnChange(func(mv Move) { told = append(told, mv) })
	is := func(version string, percent float64, history int) {
		t.Helper()
		for _, r := range []*Registry{r, open(t, dir)} {
			noFaults(t, r)
			m, share := r.Canary("p")
			got := ""
			if m != nil {
				got = m.Version
			}
			if got != version || share != percent {
				t.Errorf("canary is %q at %v %%, want %q at %v %%", got, share, version, percent)
			}
			if h, err := r.History("p"); err != nil || len(h) != history {
				t.Errorf("history %+v, %v; want %d moves", h, err, history)
			}
		}
	}
	is("", 0, 1)
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(r.MoveCanary(t.Context(), "p", two.Version, 5, "anna", "try"))
	is(two.Version, 5, 2)
	step(r.MoveCanary(t.Context(), "p", two.Version, 5, "anna", "again")) // nothing happens
	is(two.Version, 5, 2)
	step(r.MoveCanary(t.Context(), "p", two.Version, 12.5, "anna", "more"))
	is(two.Version, 12.5, 3)
	step(r.Clear("p", Canary, "anna", "enough"))
	is("", 0, 4)
	step(r.Clear("p", Canary, "anna", "again"))
	is("", 0, 4)
	if list := r.Aliases("p", two.Version); len(list) != 0 {
		t.Errorf("aliases %v", list)
	}
	// It ends when it becomes the champion.
	step(r.MoveCanary(t.Context(), "p", two.Version, 50, "anna", "once more"))
	promote(t, r, two, "better")
	is("", 0, 7)
	if last := told[len(told)-1]; r.Live("p").Version != two.Version || last.Alias != Canary || last.From != two.Version || last.To != "" {
		t.Errorf("champion %s, told last %+v", r.Live("p").Version, last)
	}
	bad := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for _, percent := range []float64{0, -1, 100.5, math.NaN()} {
		bad(r.MoveCanary(t.Context(), "p", one.Version, percent, "test", ""), "a canary's share of")
	}
	bad(r.Move(t.Context(), "p", Canary, one.Version, "test", ""), "make "+one.Version+" the canary of p: a canary's share of 0 %")
	bad(r.Clear("p", Champion, "test", ""), "clear the champion of p: a pipeline cannot be without")
	is("", 0, 7)
}

// Shares have their size, hold each other, and are those that earlier versions chose.
func TestInShare(t *testing.T) {
	for _, form := range []string{"%d", "compressor-%03d", "a rather long name of a machine, hall 7, line %d"} {
		const n = 20000
		for _, percent := range []float64{0, 0.5, 10, 50, 100} {
			in := 0
			for i := range n {
				name := fmt.Sprintf(form, i)
				if InShare(name, percent) {
					in++
					if !InShare(name, percent*1.5) {
						t.Fatalf("%s is in %v %% and not in more", name, percent)
					}
				}
			}
			share := percent / 100
			if got := float64(in) / n; math.Abs(got-share) > 5*math.Sqrt(share*(1-share)/n) {
				t.Errorf("%s: %v of the assets in a share of %v %%", form, got, percent)
			}
		}
	}
	var chosen []int
	for i := range 100 {
		if InShare(fmt.Sprintf("compressor-%03d", i), 10) {
			chosen = append(chosen, i)
		}
	}
	if fmt.Sprint(chosen) != "[11 24 33 36 43 44 46 47 55 72 81 91 99]" {
		t.Errorf("chosen %v: another choice moves assets between models when a version of the program changes", chosen)
	}
}
