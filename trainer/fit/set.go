package fit

import (
	"fmt"
	"math"
)

// Set is windows with what a network should say of them.
type Set struct {
	Length, Width int
	// Windows holds the windows one after the other, each row-major [Length, Width] and scaled.
	Windows []float32
	// Targets holds one number a window, in the network's unit: around 1 in size.
	Targets []float32
}

// Len returns the number of windows.
func (s *Set) Len() int { return len(s.Targets) }

// Window returns the i-th window, which is part of Windows.
func (s *Set) Window(i int) []float32 {
	n := s.Length * s.Width
	return s.Windows[i*n : (i+1)*n]
}

// Check refuses a set that cannot be learned from.
func (s *Set) Check() error {
	if s.Len() == 0 {
		return fmt.Errorf("there are no windows")
	}
	if len(s.Windows) != s.Len()*s.Length*s.Width {
		return fmt.Errorf("%d windows of %d x %d need %d values, there are %d", s.Len(), s.Length, s.Width, s.Len()*s.Length*s.Width, len(s.Windows))
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
