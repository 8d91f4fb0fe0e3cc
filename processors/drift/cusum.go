package drift

// CUSUMConfig are the settings of CUSUM.
type CUSUMConfig struct {
	// MinInstances is how many numbers come before a change may be found.
	MinInstances int64
	// Delta is the rise of the mean that is tolerated, Threshold what the sum of what goes beyond must pass, both in the unit of the numbers.
	Delta, Threshold float64
}

// DefaultCUSUM returns the settings of MOA (https://moa.cms.waikato.ac.nz).
func DefaultCUSUM() CUSUMConfig { return CUSUMConfig{MinInstances: 30, Delta: 0.005, Threshold: 50} }

// CUSUM finds a rise: the sum of what goes beyond the running mean, which never falls below zero (Page 1954, Biometrika 41), passes a threshold.
type CUSUM struct {
	cfg CUSUMConfig
	s   cusum
}

type cusum struct {
	Mean  mean
	Sum   float64
	Found bool
}

// NewCUSUM makes a detector.
func NewCUSUM(cfg CUSUMConfig) *CUSUM { return &CUSUM{cfg: cfg} }

// Reset forgets all numbers.
func (d *CUSUM) Reset() { d.s = cusum{} }

// Warned is always false.
func (d *CUSUM) Warned() bool { return false }

// Update takes the next number.
func (d *CUSUM) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	s.Mean.add(x)
	s.Sum = max(0, s.Sum+x-s.Mean.Mean-d.cfg.Delta)
	s.Found = s.Mean.N >= float64(d.cfg.MinInstances) && s.Sum > d.cfg.Threshold
	return s.Found
}

// AppendState appends the state.
func (d *CUSUM) AppendState(dst []byte) []byte { return begin(dst, 'c', d.cfg, d.s) }

// Restore goes on from a state.
func (d *CUSUM) Restore(state []byte) error {
	d.Reset()
	return restore(state, 'c', d.cfg, &d.s)
}
