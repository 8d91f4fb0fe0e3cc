package drift

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// panelFinds runs errors through a panel, each so many of a rate.
func panelFinds(p *ErrorPanel, seed uint64, each int, rates ...float64) (at []int) {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 0
	for _, rate := range rates {
		for range each {
			x := 0.
			if r.Float64() < rate {
				x = 1
			}
			if p.Update(x) {
				at = append(at, n)
			}
			n++
		}
	}
	return at
}

// A rise is found soon; what stays as it is, or falls, gives no more than the alarms that chance is allowed: 0.05 in a thousand.
func TestErrorPanel(t *testing.T) {
	for seed := range uint64(10) {
		at := panelFinds(NewErrorPanel(DefaultErrorPanel()), seed, 5000, .1, .3)
		if !slices.ContainsFunc(at, func(i int) bool { return i >= 5000 && i < 5400 }) {
			t.Errorf("seed %d: a rise at 5000 is found at %v", seed, at)
		}
	}
	stays, falls := 0, 0
	for seed := range uint64(10) {
		falls += len(panelFinds(NewErrorPanel(DefaultErrorPanel()), 200+seed, 10_000, .4, .2, .1, .05))
		for i, rate := range []float64{.02, .1, .2, .4} {
			stays += len(panelFinds(NewErrorPanel(DefaultErrorPanel()), 100*uint64(i)+seed, 10_000, rate))
		}
	}
	t.Logf("of 400,000 errors each: %d alarms while rates stay, %d while they fall", stays, falls)
	if stays > 20 || falls > 20 {
		t.Error("too many")
	}
	// Nothing is found before its time, whatever comes.
	p := NewErrorPanel(DefaultErrorPanel())
	for i := range 200 {
		if p.Update(float64(i / 100)) {
			t.Fatalf("found at %d", i)
		}
	}
}

// A state that was written down and read back anywhere goes on the same.
func TestErrorPanelState(t *testing.T) {
	const n = 20_000
	r := rand.New(rand.NewPCG(7, 7))
	x := make([]float64, n)
	for i := range x {
		if r.Float64() < []float64{.1, .25, .15, .4}[i/5000] {
			x[i] = 1
		}
	}
	whole, parts := NewErrorPanel(DefaultErrorPanel()), NewErrorPanel(DefaultErrorPanel())
	var a, b []int
	most := 0
	for i, v := range x {
		if whole.Update(v) {
			a = append(a, i)
		}
		if i%997 == 0 {
			state := parts.AppendState(nil)
			most = max(most, len(state))
			parts = NewErrorPanel(DefaultErrorPanel())
			if err := parts.Restore(state); err != nil {
				t.Fatal(err)
			}
		}
		if parts.Update(v) {
			b = append(b, i)
		}
	}
	if len(a) < 2 || !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
	if most > 16<<10 {
		t.Errorf("a state of %d bytes", most)
	}
	state := parts.AppendState(nil)
	for n := range len(state) {
		if parts.Restore(state[:n]) == nil {
			t.Fatalf("a state cut to %d of %d bytes is taken", n, len(state))
		}
	}
	other := DefaultErrorPanel()
	other.Agree = 2
	if NewErrorPanel(other).Restore(state) == nil {
		t.Error("a state of other settings is taken")
	}
	if err := DefaultErrorPanel().Validate(); err != nil {
		t.Error(err)
	}
	if err := (ErrorPanelConfig{Agree: 6}).Validate(); err == nil {
		t.Error("six of five agree")
	}
}
