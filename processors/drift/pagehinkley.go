package drift

import "math"

// Side says which way of a change counts.
type Side int8

// The sides. For errors Up alone means harm.
const (
	Both Side = iota
	Up
	Down
)

// PageHinkleyConfig are the settings of PageHinkley.
type PageHinkleyConfig struct {
	// MinInstances is how many numbers come before a change may be found.
	MinInstances int64
	// Delta is the change of the mean that is tolerated, Threshold what the sum of what goes beyond must pass, both in the unit of the numbers.
	Delta, Threshold float64
	// Alpha is the weight of the past in the sums.
	Alpha float64
	Side  Side
}

// DefaultPageHinkley returns River's settings.
func DefaultPageHinkley() PageHinkleyConfig {
	return PageHinkleyConfig{MinInstances: 30, Delta: 0.005, Threshold: 50, Alpha: 1 - 0.0001}
}

// PageHinkley compares the sum of the deviations from the running mean with its extreme (Page 1954, Biometrika 41; Hinkley 1971, Biometrika 58), with fading sums.
type PageHinkley struct {
	cfg PageHinkleyConfig
	s   pageHinkley
}

type pageHinkley struct {
	Mean                           mean
	Increase, Least, Decrease, Top float64
	Found                          bool
}

// NewPageHinkley makes a detector.
func NewPageHinkley(cfg PageHinkleyConfig) *PageHinkley {
	d := &PageHinkley{cfg: cfg}
	d.Reset()
	return d
}

// Reset forgets all numbers.
func (d *PageHinkley) Reset() { d.s = pageHinkley{Least: math.Inf(1), Top: -1} }

// Warned is always false.
func (d *PageHinkley) Warned() bool { return false }

// Update takes the next number.
func (d *PageHinkley) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s, c := &d.s, &d.cfg
	s.Mean.add(x)
	dev := x - s.Mean.Mean
	s.Increase = float64(c.Alpha*s.Increase) + dev - c.Delta
	s.Decrease = float64(c.Alpha*s.Decrease) + dev + c.Delta
	s.Least = min(s.Least, s.Increase)
	s.Top = max(s.Top, s.Decrease)
	if s.Mean.N < float64(c.MinInstances) {
		return false
	}
	s.Found = c.Side != Down && s.Increase-s.Least > c.Threshold || c.Side != Up && s.Top-s.Decrease > c.Threshold
	return s.Found
}

// AppendState appends the state.
func (d *PageHinkley) AppendState(dst []byte) []byte { return begin(dst, 'p', d.cfg, d.s) }

// Restore goes on from a state.
func (d *PageHinkley) Restore(state []byte) error {
	d.Reset()
	return restore(state, 'p', d.cfg, &d.s)
}
