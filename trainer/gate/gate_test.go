package gate

import (
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// fleet makes paired losses of assets, each of which is hard or easy for both, with windows that depend on each other. gain is how much less the challenger loses.
func fleet(rng *rand.Rand, assets int, gain float64) Slice {
	s := Slice{Name: "fleet"}
	for range assets {
		hard, luck := rng.Float64()*.3, rng.NormFloat64()*.04
		b := Block{N: 50 + rng.IntN(100)}
		for range b.N {
			c := min(max(hard+rng.NormFloat64()*.1, 0), 1)
			b.Champion += c
			b.Challenger += min(max(c-gain+luck+rng.NormFloat64()*.05, 0), 1)
		}
		s.Blocks = append(s.Blocks, b)
	}
	return s
}

// Of challengers that are no better no more than alpha pass, planted better ones do, planted worse ones never.
func TestGateIsHonest(t *testing.T) {
	c := Default()
	c.Draws = 400
	rng := rand.New(rand.NewPCG(1, 1))
	passes := func(n, assets int, gain float64) int {
		pass := 0
		for i := range n {
			c.Seed = uint64(i)
			// The same fleet in halves: two slices that share its assets.
			s := fleet(rng, assets, gain)
			if Judge(c, s, Slice{Name: "even", Blocks: s.Blocks[:assets/2]}, Slice{Name: "odd", Blocks: s.Blocks[assets/2:]}).Pass {
				pass++
			}
		}
		return pass
	}
	// 1,000 at 0.05: 50, standard deviation 7. The bootstrap of 40 blocks is a little too sure.
	if n := passes(1000, 40, 0); n > 72 {
		t.Errorf("%d of 1000 equal challengers pass", n)
	}
	if n := passes(200, 40, -.03); n > 0 {
		t.Errorf("%d of 200 worse challengers pass", n)
	}
	if n := passes(200, 40, .03); n < 180 {
		t.Errorf("only %d of 200 better challengers pass", n)
	}
}

// A slice that gets worse holds up a challenger that is better over all.
func TestWorseSlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	good, bad := fleet(rng, 60, .1), fleet(rng, 12, -.1)
	all := Slice{Name: "all", Blocks: append(slices.Clone(good.Blocks), bad.Blocks...)}
	v := Judge(Default(), all, Slice{Name: "north", Blocks: good.Blocks}, Slice{Name: "south", Blocks: bad.Blocks})
	if v.Pass || !strings.Contains(v.Reason, "worse in south") {
		t.Errorf("%+v", v)
	}
	v = Judge(Default(), all, Slice{Name: "north", Blocks: good.Blocks})
	if !v.Pass || v.Findings[0].Low <= 0 || v.Findings[0].Better > .05 {
		t.Errorf("%+v", v)
	}
	// A slice of three assets is told and not judged, and a margin forgives.
	v = Judge(Default(), all, Slice{Name: "few", Blocks: bad.Blocks[:3]})
	if !v.Pass || !math.IsNaN(v.Findings[1].Worse) || v.Findings[1].Windows == 0 {
		t.Errorf("%+v", v)
	}
	c := Default()
	c.Margin = .3
	if v = Judge(c, all, Slice{Name: "south", Blocks: bad.Blocks}); !v.Pass {
		t.Errorf("%+v", v)
	}
	if v = Judge(Default(), Slice{Name: "all", Blocks: good.Blocks[:3]}); v.Pass || !strings.Contains(v.Reason, "too little") {
		t.Errorf("%+v", v)
	}
	if v = Judge(Default(), Slice{Name: "none"}); v.Pass {
		t.Errorf("%+v", v)
	}
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{.01, .04, .03, .005})
	want := []float64{.03, .06, .06, .02}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	if len(Holm(nil)) != 0 {
		t.Error("none gave some")
	}
}

// SciPy 1.17: binomtest(k, n, 0.5, alternative="greater").
func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		champion, challenger int
		want                 float64
	}{{0, 0, 1}, {5, 15, 0.020694732666015625}, {15, 5, 0.9940910339355469}, {0, 10, 0.0009765625}, {480, 520, 0.10872414660207055}} {
		if got := McNemar(c.champion, c.challenger); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%d, %d: %v, want %v", c.champion, c.challenger, got, c.want)
		}
	}
}

// However often one looks, the truth leaves the interval in at most alpha of all sequences; a gain is found, and a loss, and what is ruled out stays so.
func TestSequence(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	run := func(mean float64, n int) (left bool, verdict string, at int) {
		q := NewSequence(.05, -1, 1)
		lastLow, lastHigh := q.Interval()
		for i := range n {
			x := min(max(mean+rng.NormFloat64()*.2, -1), 1)
			if err := q.Add(x); err != nil {
				t.Fatal(err)
			}
			low, high := q.Interval()
			if low < lastLow || high > lastHigh {
				t.Fatal("the interval grew")
			}
			lastLow, lastHigh = low, high
			left = left || low > mean || high < mean
			if v := q.Canary(); v != Continue && verdict == "" {
				verdict, at = v, i+1
			}
		}
		return left, verdict, at
	}
	left, promoted, rejected := 0, 0, 0
	for range 400 {
		l, v, _ := run(0, 250)
		if l {
			left++
		}
		if v != "" {
			promoted++
		}
	}
	if left > 28 || promoted > 28 { // 20 at most, standard deviation 4
		t.Errorf("of 400 sequences without a difference %d lose the truth and %d decide", left, promoted)
	}
	promoted = 0
	var when []int
	for range 200 {
		if _, v, at := run(.1, 400); v == Promote {
			promoted++
			when = append(when, at)
		}
		if _, v, _ := run(-.1, 400); v == Reject {
			rejected++
		}
	}
	slices.Sort(when)
	if promoted < 195 || rejected < 195 {
		t.Errorf("%d of 200 better ones promoted, %d of 200 worse ones rejected", promoted, rejected)
	} else {
		t.Logf("a gain of half a standard deviation is shown after %d numbers, the median", when[len(when)/2])
	}
}

// What a number is to be expected to be may wander. The mean so far is within Running's bounds all the same, at all looks of all but alpha of the sequences; what is at no time better is not promoted, and what
// is at no time worse is not rejected.
func TestWanderingMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const many = 100
	wanders := map[string]func(i int) float64{
		"steps":    func(i int) float64 { return []float64{.2, -.2, 0}[i/40%3] },
		"waves":    func(i int) float64 { return .15 * math.Sin(float64(i)/15) },
		"falls":    func(i int) float64 { return max(.3-float64(i)*.003, -.3) },
		"no worse": func(i int) float64 { return .2 * max(math.Sin(float64(i)/15), 0) },
		"no better": func(i int) float64 {
			return -.2 * max(math.Sin(float64(i)/15), 0)
		},
	}
	for _, name := range slices.Sorted(maps.Keys(wanders)) {
		lost, missed, promoted, rejected := 0, 0, 0, 0
		for range many {
			q := NewSequence(.05, -1, 1)
			sum, out, outside, up, down := 0., false, false, false, false
			for i := range 250 {
				mean := wanders[name](i)
				sum += mean
				// Given those before, the numbers are of that mean: a coin's with a little noise, which does not lie evenly around it.
				x := mean + .6
				if rng.Float64() < .6/(.6+.4) {
					x = mean - .4
				}
				if err := q.Add(min(max(x, -1), 1)); err != nil {
					t.Fatal(err)
				}
				so := sum / float64(i+1)
				if i%5 == 4 {
					low, high := q.Running()
					out = out || so < low-1e-9 || so > high+1e-9
				}
				low, high := q.Interval()
				outside = outside || so < low || so > high
				up, down = up || q.Canary() == Promote, down || q.Canary() == Reject
			}
			for n, is := range map[*int]bool{&lost: out, &missed: outside, &promoted: up, &rejected: down} {
				if is {
					*n++
				}
			}
		}
		t.Logf("%s: of %d sequences %d leave Running's bounds, %d the interval of a steady mean; %d are promoted, %d rejected", name, many, lost, missed, promoted, rejected)
		if lost > 5+4 {
			t.Errorf("%s: the mean so far leaves the bounds in %d of %d sequences", name, lost, many)
		}
		if name == "no better" && promoted > 5 || name == "no worse" && rejected > 5 {
			t.Errorf("%s: %d of %d promoted, %d rejected", name, promoted, many, rejected)
		}
	}
	q := NewSequence(.05, -1, 1)
	if low, high := q.Running(); low != -1 || high != 1 {
		t.Errorf("nothing bounds by [%v, %v]", low, high)
	}
	for range 400 {
		if err := q.Add(.1 + rng.NormFloat64()*.05); err != nil {
			t.Fatal(err)
		}
	}
	if low, high := q.Running(); low < .05 || high > .15 || low > .1 || high < .1 {
		t.Errorf("400 numbers of mean 0.1 bound it by [%v, %v]", low, high)
	}
}

func TestSequenceState(t *testing.T) {
	a := NewSequence(.05, -1, 1)
	rng := rand.New(rand.NewPCG(4, 4))
	b := NewSequence(.05, -1, 1)
	for range 100 {
		x := rng.Float64() - .4
		js, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		b = &Sequence{}
		if err := json.Unmarshal(js, b); err != nil {
			t.Fatal(err)
		}
		if a.Add(x) != nil || b.Add(x) != nil {
			t.Fatal("refused")
		}
	}
	if *a != *b || a.N() != 100 || math.Abs(a.Mean()-.1) > .1 {
		t.Errorf("%+v, %+v", a, b)
	}
	for _, x := range []float64{1.01, -1.01, math.NaN(), math.Inf(1)} {
		if a.Add(x) == nil {
			t.Errorf("%v was taken", x)
		}
	}
	for _, js := range []string{"", "{}", `{"alpha":2}`} {
		if json.Unmarshal([]byte(js), &Sequence{}) == nil {
			t.Errorf("%q was taken", js)
		}
	}
}
