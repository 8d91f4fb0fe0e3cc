package gate

import (
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// rivals makes k challengers of one champion, judged on the same windows of so many assets: what they make of an asset is alike, since they learned from the same data, and each has its own luck beside
// that. gains are theirs over all assets there could be.
func (w *world) rivals(assets int, gains ...float64) (all []Candidate) {
	all = make([]Candidate, len(gains))
	for range assets {
		n, hard, alike, wander := 60+w.rng.IntN(80), .1+.3*w.rng.Float64(), w.rng.NormFloat64()*.04, 0.
		blocks := make([]Block, len(gains))
		suits := make([]float64, len(gains))
		for i := range suits {
			suits[i] = alike + w.rng.NormFloat64()*.04
			blocks[i].N = n
		}
		for range n {
			wander = .9*wander + w.rng.NormFloat64()*.03
			loss := hard + w.rng.NormFloat64()*.05
			for i, gain := range gains {
				blocks[i].Champion += min(max(loss, 0), 1)
				blocks[i].Challenger += min(max(loss-gain-suits[i]-wander+w.rng.NormFloat64()*.03, 0), 1)
			}
		}
		for i := range all {
			all[i].Overall.Blocks = append(all[i].Overall.Blocks, blocks[i])
		}
	}
	for i := range all {
		b := all[i].Overall.Blocks
		all[i].Overall.Name = "all"
		all[i].Slices = []Slice{{Name: "north", Blocks: b[:assets/2]}, {Name: "south", Blocks: b[assets/2:]}}
	}
	return all
}

var whole = flag.Bool("whole", false, "judge campaigns of 1, 2, 4 and 8 candidates, and more of the planted ones")

// However many challengers are judged together, one that is no better is let through in no more than alpha of the campaigns; the one that is better is found among others that are not, and the best of
// several is taken.
func TestSeveralCandidates(t *testing.T) {
	c := Default()
	c.Draws, c.Margin = 399, .01
	w := &world{rng: rand.New(rand.NewPCG(6, 6))}
	try := func(n int, gains ...float64) (passed, right int) {
		most := slices.Max(gains)
		for i := range n {
			c.Seed = uint64(i)
			best, all := Choose(c, w.rivals(20, gains...)...)
			if best < 0 {
				continue
			}
			passed++
			if !all[best].Pass {
				t.Fatal("one was chosen that did not pass")
			}
			if gains[best] == most {
				right++
			}
		}
		return passed, right
	}
	many, few := []int{4}, 60
	if *whole {
		many, few = []int{1, 2, 4, 8}, 200
	}
	for _, k := range many {
		n, _ := try(1000, make([]float64, k)...)
		t.Logf("A/A with %d candidates: in %d of 1000 campaigns one passes the gate", k, n)
		if n > 64 { // 50 at most, and two standard deviations
			t.Errorf("with %d candidates that are no better one passes in %d of 1000 campaigns", k, n)
		}
	}
	n, _ := try(2*few, -.05, -.05, -.05, -.05)
	t.Logf("four that are worse by 0.05: in %d of %d campaigns one passes", n, 2*few)
	if n > 2 {
		t.Errorf("of four that are worse one passes in %d campaigns", n)
	}
	n, right := try(few, 0, 0, .05, 0)
	t.Logf("one of four better by 0.05: in %d of %d campaigns one passes, in %d the right one", n, few, right)
	if right < few*7/10 {
		t.Errorf("the better one of four passes in %d of %d campaigns only", right, few)
	}
	n, right = try(few, .03, .06)
	t.Logf("better by 0.03 and by 0.06: in %d of %d campaigns one passes, in %d the better one", n, few, right)
	if right < few*8/10 {
		t.Errorf("the better one of two is taken in %d of %d campaigns only", right, few)
	}
}

// frames makes a slice of right and wrong answers, a block each, or in blocks of so many that are the same.
func frames(onlyChampion, onlyChallenger, both, same int) Slice {
	s := Slice{Name: "all", Classes: true}
	add := func(n int, champion, challenger float64) {
		for range n {
			k := float64(same)
			b := Block{N: same, Champion: champion * k, Challenger: challenger * k}
			if champion < challenger {
				b.OnlyChampion = same
			} else if challenger < champion {
				b.OnlyChallenger = same
			}
			s.Blocks = append(s.Blocks, b)
		}
	}
	add(onlyChampion, 0, 1)
	add(onlyChallenger, 1, 0)
	add(both, 0, 0)
	return s
}

// Classes are judged by who alone was right, exactly; frames that show the same do not count as many.
func TestClasses(t *testing.T) {
	c := Default()
	v := Judge(c, frames(1, 12, 40, 1))
	if f := v.Findings[0]; !v.Pass || f.OnlyChampion != 1 || f.OnlyChallenger != 12 || math.Abs(f.McNemar-.001708984375) > 1e-9 || !strings.Contains(v.Reason, "only the champion has 1 right, only the challenger 12, McNemar's exact test by blocks, 1 to 12: p 0.0017") {
		t.Errorf("%+v", v)
	}
	// SciPy: binomtest(4, 4).pvalue one-sided is 0.0625: four frames are not enough, whatever a bootstrap of them says.
	v = Judge(c, frames(0, 4, 40, 1))
	if v.Pass || v.Findings[0].Better < .0624 {
		t.Errorf("%+v", v)
	}
	v = Judge(c, frames(0, 2, 6, 20)) // forty frames, of two scenes
	if f := v.Findings[0]; v.Pass || f.OnlyChallenger != 40 || f.McNemar != .25 || f.Better < .25 {
		t.Errorf("%+v", v)
	}
	v = Judge(c, frames(0, 30, 40, 1), frames(9, 0, 40, 1))
	if v.Pass || !strings.Contains(v.Reason, "worse in all") {
		t.Errorf("%+v", v)
	}
	if f := Judge(c, fleet(rand.New(rand.NewPCG(1, 1)), 20, .1)).Findings[0]; !math.IsNaN(f.McNemar) {
		t.Errorf("%+v", f)
	}
}

// A golden case that the champion has right and the challenger gets wrong is told by its name.
func TestGolden(t *testing.T) {
	c := Default()
	better := fleet(rand.New(rand.NewPCG(2, 2)), 30, .1)
	cases := []Case{{"gate-1 at noon", 0, 1}, {"gate-1 at one", 1, 0}, {"gate-2 at two", 1, 1}, {"gate-2 at three", .2, .1}, {"gate-3 at four", .2, .24}}
	judge := func() Verdict {
		_, v := Choose(c, Candidate{Overall: better, Golden: cases})
		return v[0]
	}
	if v := judge(); v.Pass || v.Golden != 5 || !slices.Equal(v.Lost, []string{"gate-1 at noon"}) || !strings.Contains(v.Reason, "1 of 5 golden cases that the champion has right (of which 0 may be lost): gate-1 at noon") {
		t.Errorf("%+v", v)
	}
	c.Golden.Lost = 1
	if v := judge(); !v.Pass || !strings.Contains(v.Reason, "1 are lost, as the rule lets it: gate-1 at noon") {
		t.Errorf("%+v", v)
	}
	c.Golden.Lost = -1
	if v := judge(); !v.Pass || len(v.Lost) != 1 {
		t.Errorf("%+v", v)
	}
	c.Golden.Lost = 0
	cases = cases[1:]
	if v := judge(); !v.Pass || !strings.Contains(v.Reason, "of 4 golden cases none is lost") {
		t.Errorf("%+v", v)
	}
	c.Margin = .05
	cases[3] = Case{"gate-3 at four", .24, .26} // by a hair
	if v := judge(); !v.Pass {
		t.Errorf("%+v", v)
	}
	// What cannot be judged for lack of assets can be refused for a golden case.
	if _, v := Choose(c, Candidate{Overall: Slice{Name: "all", Blocks: better.Blocks[:2]}, Golden: []Case{{"a", 0, 1}}}); v[0].Pass || v[0].TooLittle || !strings.Contains(v[0].Reason, "golden") {
		t.Errorf("%+v", v)
	}
	if _, v := Choose(c, Candidate{Overall: Slice{Name: "all", Blocks: better.Blocks[:2]}, Golden: cases}); v[0].Pass || !v[0].TooLittle {
		t.Errorf("%+v", v)
	}
}
