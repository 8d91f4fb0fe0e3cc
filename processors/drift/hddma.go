package drift

import "math"

// HDDMAConfig are the settings of HDDMA.
type HDDMAConfig struct {
	// Drift and Warning are the confidences: the chance of a false one at a test.
	Drift, Warning float64
	// Both also finds falls.
	Both bool
}

// DefaultHDDMA returns the settings of the paper, which are River's.
func DefaultHDDMA() HDDMAConfig { return HDDMAConfig{Drift: 0.001, Warning: 0.005} }

// HDDMA compares the mean of all losses, between 0 and 1, with that up to the best cut, by Hoeffding's bound (Frías-Blanco and others 2015, Online and Non-Parametric Drift Detection
// Methods Based on Hoeffding's Bounds, IEEE TKDE 27(3), the A-test).
type HDDMA struct {
	cfg HDDMAConfig
	// The logarithms of the confidences, which every test needs.
	bound, drift, warning float64
	s                     hddma
}

type hddma struct {
	All, Low, High mean
	// LowSum and HighSum are the means of Low and High plus and less their bounds.
	LowSum, HighSum float64
	Warning, Found  bool
}

// NewHDDMA makes a detector.
func NewHDDMA(cfg HDDMAConfig) *HDDMA {
	return &HDDMA{cfg: cfg, bound: math.Log(1 / cfg.Drift), drift: math.Log(2 / cfg.Drift), warning: math.Log(2 / cfg.Warning)}
}

// Reset forgets all numbers.
func (d *HDDMA) Reset() { d.s = hddma{} }

// Warned tells of the warning level.
func (d *HDDMA) Warned() bool { return d.s.Warning }

// Update takes the next loss, between 0 and 1.
func (d *HDDMA) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	s.All.add(x)
	eps := math.Sqrt(1 / float64(2*s.All.N) * d.bound)
	if s.Low.N == 0 || s.LowSum >= s.All.Mean+eps {
		s.Low, s.LowSum = s.All, s.All.Mean+eps
	}
	if s.High.N == 0 || s.HighSum <= s.All.Mean-eps {
		s.High, s.HighSum = s.All, s.All.Mean-eps
	}
	s.Found, s.Warning = false, false
	if s.Low.N != s.All.N {
		s.Found, s.Warning = d.test(&s.Low, s.All.Mean-s.Low.Mean)
	}
	if d.cfg.Both && s.High.N != s.All.N {
		found, warning := d.test(&s.High, s.High.Mean-s.All.Mean)
		s.Found, s.Warning = s.Found || found, s.Warning || warning
	}
	return s.Found
}

// test compares a difference with the bound for it.
func (d *HDDMA) test(cut *mean, difference float64) (found, warning bool) {
	if difference <= 0 {
		return false, false // no bound is less than zero
	}
	n := d.s.All.N
	m := (n - cut.N) / cut.N * (1 / n)
	if difference >= math.Sqrt(m/2*d.drift) {
		return true, false
	}
	return false, difference >= math.Sqrt(m/2*d.warning)
}

// AppendState appends the state.
func (d *HDDMA) AppendState(dst []byte) []byte { return begin(dst, 'a', d.cfg, d.s) }

// Restore goes on from a state.
func (d *HDDMA) Restore(state []byte) error {
	d.Reset()
	return restore(state, 'a', d.cfg, &d.s)
}
