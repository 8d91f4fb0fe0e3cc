package gate

import (
	"math/rand/v2"
	"testing"
)

// world makes paired gains of assets, as a champion and a challenger have them on a fleet: each asset suits one of the two a little better, for good, and its windows depend on each other (autocorrelation
// 0.9). gain is the challenger's over all assets there could be.
type world struct {
	rng  *rand.Rand
	gain float64
}

// asset is one asset's windows: how many, and the sums of losses.
func (w *world) asset() Block {
	b := Block{N: 60 + w.rng.IntN(80)}
	hard, suits, wander := .1+.3*w.rng.Float64(), w.rng.NormFloat64()*.05, 0.
	for range b.N {
		wander = .9*wander + w.rng.NormFloat64()*.04
		loss := hard + w.rng.NormFloat64()*.05
		b.Champion += min(max(loss, 0), 1)
		b.Challenger += min(max(loss-w.gain-suits-wander, 0), 1)
	}
	return b
}

// outcome of one challenger's way.
type outcome struct {
	passed, promoted, rejected bool
	numbers                    int // of the canary, to its verdict
}

// way lets a challenger go from the gate to the end of the canary, which is looked at after every asset.
func (w *world) way(c Config, most int) (o outcome) {
	var all []Block
	for range 20 {
		all = append(all, w.asset())
	}
	if o.passed = Judge(c, Slice{Name: "all", Blocks: all}, Slice{Name: "north", Blocks: all[:10]}, Slice{Name: "south", Blocks: all[10:]}).Pass; !o.passed {
		return o
	}
	o.promoted, o.rejected, o.numbers = w.canary(most)
	return o
}

func (w *world) canary(most int) (promoted, rejected bool, numbers int) {
	q := NewSequence(.05, -1, 1)
	for numbers = 1; numbers <= most; numbers++ {
		b := w.asset()
		if err := q.Add((b.Champion - b.Challenger) / float64(b.N)); err != nil {
			panic(err)
		}
		switch q.Canary() {
		case Promote:
			return true, false, numbers
		case Reject:
			return false, true, numbers
		}
	}
	return false, false, most
}

// The whole way from gate to fleet, and back: challengers that are no better are let through in no more than alpha of the cases, worse ones are kept out, better ones found, and a champion that is as
// good as the one before it is not rolled back.
func TestTheWholeWay(t *testing.T) {
	c := Default()
	c.Draws, c.Margin = 300, .01
	w := &world{rng: rand.New(rand.NewPCG(5, 5))}
	try := func(n int, gain float64, most int) (passed, promoted int, numbers float64) {
		w.gain = gain
		for i := range n {
			c.Seed = uint64(i)
			o := w.way(c, most)
			if o.passed {
				passed++
			}
			if o.promoted {
				promoted++
				numbers += float64(o.numbers)
			}
		}
		return passed, promoted, numbers / float64(max(promoted, 1))
	}
	passed, promoted, _ := try(1000, 0, 200)
	t.Logf("A/A: of 1000 challengers %d pass the gate and %d are promoted", passed, promoted)
	if promoted > 50 || passed > 80 { // 50, and the bootstrap of 20 assets is a little too sure
		t.Errorf("of 1000 equal challengers %d pass the gate and %d are promoted", passed, promoted)
	}
	passed, promoted, _ = try(400, -.05, 200)
	t.Logf("worse by 0.05: of 400 %d pass the gate and %d are promoted", passed, promoted)
	if promoted > 4 {
		t.Errorf("of 400 worse challengers %d are promoted", promoted)
	}
	passed, promoted, numbers := try(200, .05, 200)
	t.Logf("better by 0.05: of 200 %d pass the gate and %d are promoted, after %.0f assets in the mean", passed, promoted, numbers)
	if promoted < 160 {
		t.Errorf("of 200 better challengers only %d are promoted", promoted)
	}
	// The same guarantee, nothing but bounds assumed, from a fixed number of assets (Hoeffding 1963): for a gain of 0.05 it takes 2 log(1/alpha)/0.05² = 2397.
	if numbers > 240 {
		t.Errorf("the canary takes %.0f assets for what a fixed number of 2397 shows", numbers)
	}

	// What comes past the gate, as by hand, is caught by the sequence alone: worse ones within the watch, and those that are no worse stay.
	back := func(n int, gain float64) (back int, after float64) {
		w.gain = gain
		for range n {
			if _, rejected, numbers := w.canary(150); rejected {
				back++
				after += float64(numbers)
			}
		}
		return back, after / float64(max(back, 1))
	}
	n, _ := back(1000, 0)
	t.Logf("of 1000 new champions that are no worse %d are rolled back", n)
	if n > 50 {
		t.Errorf("of 1000 new champions that are no worse %d are rolled back", n)
	}
	n, after := back(200, -.1)
	t.Logf("of 200 that are worse by 0.1 %d are rolled back, after %.0f assets in the mean", n, after)
	if n < 190 {
		t.Errorf("of 200 that are worse by 0.1 only %d are rolled back", n)
	}
}
