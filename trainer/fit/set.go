package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// lessons is what the training loop needs of a set.
type lessons interface {
	Len() int
	// order fills dst, which has Len elements and keeps what the last epoch had, with the rows of an epoch.
	order(dst []int, rng *rand.Rand)
	// learn fills x and y with row i, as it looks this time, and returns its weight.
	learn(i int, x, y []float32, rng *rand.Rand) float32
	// show returns rows as they are; buf has room for them.
	show(from, n int, buf []float32) []float32
	// judge is the mean loss of what a network says of all rows.
	judge(said []float32) float64
}

// Set is windows with what a network should say of them.
type Set struct {
	Length, Width int
	// Windows holds the windows one after the other, each row-major [Length, Width] and scaled.
	Windows []float32
	// Targets holds one number a window, in the network's unit: around 1 in size.
	Targets []float32
	// Weights is what each window counts beside others, of a mean around 1; nil: all the same. What is validated is not weighed.
	Weights []float32
}

// Len returns the number of windows.
func (s *Set) Len() int { return len(s.Targets) }

// Window returns the i-th window, which is part of Windows.
func (s *Set) Window(i int) []float32 {
	n := s.Length * s.Width
	return s.Windows[i*n : (i+1)*n]
}

func (s *Set) order(dst []int, rng *rand.Rand) {
	rng.Shuffle(len(dst), func(i, j int) { dst[i], dst[j] = dst[j], dst[i] })
}

func (s *Set) learn(i int, x, y []float32, _ *rand.Rand) float32 {
	copy(x, s.Window(i))
	y[0] = s.Targets[i]
	if s.Weights != nil {
		return s.Weights[i]
	}
	return 1
}

func (s *Set) show(from, n int, _ []float32) []float32 {
	return s.Windows[from*s.Length*s.Width : (from+n)*s.Length*s.Width]
}

func (s *Set) judge(said []float32) float64 { return meanSquare(said, s.Targets) }

// Check refuses a set that cannot be learned from.
func (s *Set) Check() error {
	if s.Len() == 0 {
		return fmt.Errorf("there are no windows")
	}
	if len(s.Windows) != s.Len()*s.Length*s.Width {
		return fmt.Errorf("%d windows of %d x %d need %d values, there are %d", s.Len(), s.Length, s.Width, s.Len()*s.Length*s.Width, len(s.Windows))
	}
	if s.Weights != nil && len(s.Weights) != s.Len() {
		return fmt.Errorf("%d windows have %d weights", s.Len(), len(s.Weights))
	}
	for i, w := range s.Weights {
		if !finite(w) || w <= 0 {
			return fmt.Errorf("the weight of window %d is %v", i, w)
		}
	}
	for i, x := range s.Windows {
		if !finite(x) {
			n := s.Length * s.Width
			return fmt.Errorf("window %d, slot %d, channel %d is %v", i/n, i%n/s.Width, i%s.Width, x)
		}
	}
	for i, y := range s.Targets {
		if !finite(y) {
			return fmt.Errorf("the target of window %d is %v", i, y)
		}
	}
	return nil
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }
