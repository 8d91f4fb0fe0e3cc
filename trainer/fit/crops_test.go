package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// No group is on both sides, every crop on one, and each class is divided by the share.
func TestSplitKeepsGroupsTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &Crops{Channels: 1, Height: 1, Width: 2, Balance: true, Augment: Augment{Flip: true}}
	for g := range 90 {
		for range 1 + rng.IntN(6) {
			s.Pixels = append(s.Pixels, byte(len(s.Labels)), byte(len(s.Labels)>>8))
			s.Labels = append(s.Labels, g%3)
			s.Groups = append(s.Groups, fmt.Sprint(g))
		}
	}
	for seed := range uint64(20) {
		rest, aside := s.Split(1.0/3, seed)
		if rest.Len()+aside.Len() != s.Len() {
			t.Fatalf("%d and %d crops of %d", rest.Len(), aside.Len(), s.Len())
		}
		seen := map[int]bool{}
		for _, part := range []*Crops{rest, aside} {
			for i := range part.Labels {
				row := int(part.Crop(i)[0]) + int(part.Crop(i)[1])<<8
				if seen[row] || part.Labels[i] != s.Labels[row] || part.Groups[i] != s.Groups[row] {
					t.Fatalf("seed %d: crop %d came back twice or with another label", seed, row)
				}
				seen[row] = true
			}
		}
		for _, g := range aside.Groups {
			if slices.Contains(rest.Groups, g) {
				t.Fatalf("seed %d: group %s is on both sides", seed, g)
			}
		}
		for class := range 3 {
			all, away := 0, 0
			for _, l := range s.Labels {
				if l == class {
					all++
				}
			}
			for _, l := range aside.Labels {
				if l == class {
					away++
				}
			}
			if d := math.Abs(float64(away) - float64(all)/3); d > 6 {
				t.Errorf("seed %d: %d of class %d's %d crops are put aside", seed, away, class, all)
			}
		}
		if aside.Balance || aside.Augment.Flip || !rest.Balance {
			t.Error("what is put aside is augmented, or the rest is not as it was")
		}
	}
	again, _ := s.Split(1.0/3, 7)
	if one, _ := s.Split(1.0/3, 7); !slices.Equal(one.Pixels, again.Pixels) {
		t.Error("the same seed split differently")
	}
	// One group a class: it stays.
	few := s.Subset([]int{0, 1, 2})
	few.Labels, few.Groups = []int{0, 1, 1}, []string{"a", "b", "b"}
	if rest, aside := few.Split(0.9, 1); rest.Len() != 3 || aside.Len() != 0 {
		t.Errorf("a class's only group was put aside: %d and %d crops", rest.Len(), aside.Len())
	}
}

func TestBalance(t *testing.T) {
	s := &Crops{Balance: true}
	for i := range 100 {
		class := 0
		if i >= 90 {
			class = 2 // class 1 has none
		}
		s.Labels = append(s.Labels, class)
	}
	order, count := make([]int, 100), map[int]int{}
	rng := rand.New(rand.NewPCG(1, 2))
	s.order(order, rng)
	for _, i := range order {
		count[s.Labels[i]]++
	}
	if count[0] != 50 || count[2] != 50 {
		t.Errorf("drawn %v", count)
	}
	first := slices.Clone(order)
	if s.order(order, rng); slices.Equal(first, order) {
		t.Error("two epochs are the same")
	}
}

// Flips and turns only move pixels; without shift every pixel is there once, and all eight (four) ways come up.
func TestAugmentMoves(t *testing.T) {
	crop := []byte{0, 10, 20, 30, 40, 50, 60, 70, 80}
	rng := rand.New(rand.NewPCG(3, 4))
	ways := func(a Augment) map[string]bool {
		seen := map[string]bool{}
		dst := make([]float32, len(crop))
		for range 300 {
			a.draw(dst, crop, 3, 3, rng)
			var got []int
			for _, v := range dst {
				got = append(got, int(math.Round(float64(v)*255)))
			}
			seen[fmt.Sprint(got)] = true
			if a.Shift == 0 {
				slices.Sort(got)
				for i, v := range got {
					if v != i*10 {
						t.Fatalf("%+v lost a pixel: %v", a, got)
					}
				}
			}
		}
		return seen
	}
	none, flips, turns, both := ways(Augment{}), ways(Augment{Flip: true}), ways(Augment{Turn: true}), ways(Augment{Flip: true, Turn: true})
	if len(none) != 1 || len(flips) != 4 || len(turns) != 4 || len(both) != 8 {
		t.Errorf("%d ways without anything, %d flips, %d turns, %d of both", len(none), len(flips), len(turns), len(both))
	}
	// A quarter turn to the right.
	if !turns["[60 30 0 70 40 10 80 50 20]"] || turns["[20 10 0 50 40 30 80 70 60]"] {
		t.Errorf("turns without mirrors are %v", turns)
	}
	if shifts := ways(Augment{Shift: 1}); len(shifts) != 9 || !shifts["[40 50 40 70 80 70 40 50 40]"] {
		t.Errorf("shifts are %v", shifts)
	}
}

func TestAugmentLight(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	crop, dst := []byte{100, 150}, make([]float32, 2)
	var least, most float32 = 1, 0
	for range 500 {
		Augment{Brightness: 0.2, Contrast: 0.5}.draw(dst, crop, 1, 2, rng)
		if gain := (dst[1] - dst[0]) / (50.0 / 255); gain < 0.499 || gain > 1.501 {
			t.Fatalf("contrast went by %v", gain)
		}
		mean := (dst[0] + dst[1]) / 2
		least, most = min(least, mean), max(most, mean)
	}
	if level := float32(125.0 / 255); least < level-0.201 || most > level+0.201 || most-least < 0.35 {
		t.Errorf("brightness went from %v to %v", least, most)
	}
	Augment{Brightness: 0.9}.draw(dst, []byte{0, 255}, 1, 2, rng)
	if dst[0] < 0 || dst[1] > 1 {
		t.Errorf("pixels left [0, 1]: %v", dst)
	}
}

func TestScale(t *testing.T) {
	s := &Crops{Pixels: []byte{0, 255, 255, 0}}
	if c, sd := s.Scale(); c != 0.5 || sd != 0.5 {
		t.Errorf("center %v, spread %v", c, sd)
	}
}
