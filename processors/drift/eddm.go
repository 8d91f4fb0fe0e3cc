package drift

import "math"

// EDDMConfig are the settings of EDDM.
type EDDMConfig struct {
	// WarmStart is how many predictions, and how many wrong ones, come before a change may be found.
	WarmStart int64
	// Warning and Drift are shares of the greatest distance between errors.
	Warning, Drift float64
}

// DefaultEDDM returns the settings of the paper, which are River's.
func DefaultEDDM() EDDMConfig { return EDDMConfig{WarmStart: 30, Warning: 0.95, Drift: 0.9} }

// EDDM finds errors that come closer together (Baena-García and others 2006, Early Drift Detection Method). With its own settings it cries wolf on steady streams,
// dozens of times in 20,000 predictions: it is here to be compared with, and part of no panel by default.
type EDDM struct {
	cfg EDDMConfig
	s   eddm
}

type eddm struct {
	N, Last, Errors int64
	Distance        mean
	Squares, Top    float64
	Warning, Found  bool
}

// NewEDDM makes a detector.
func NewEDDM(cfg EDDMConfig) *EDDM {
	d := &EDDM{cfg: cfg}
	d.Reset()
	return d
}

// Reset forgets all predictions.
func (d *EDDM) Reset() { d.s = eddm{Top: -1} }

// Warned tells of the warning level.
func (d *EDDM) Warned() bool { return d.s.Warning }

// Update takes 1 for a wrong prediction and 0 for a right one.
func (d *EDDM) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	s.N++
	if x < 0.5 {
		return false
	}
	s.Errors++
	distance := float64(s.N - s.Last)
	before := s.Distance.Mean
	s.Distance.add(distance)
	s.Squares += float64((distance - before) * (distance - s.Distance.Mean))
	s.Last = s.N
	if s.N <= d.cfg.WarmStart {
		return false
	}
	variance := 0.0
	if s.Distance.N > 1 {
		variance = s.Squares / (s.Distance.N - 1)
	}
	level := s.Distance.Mean + float64(2*math.Sqrt(variance))
	if level > s.Top {
		s.Top = level
		return false
	}
	if s.Errors > d.cfg.WarmStart {
		share := level / s.Top
		s.Found = share < d.cfg.Drift
		s.Warning = !s.Found && share < d.cfg.Warning
	}
	return s.Found
}

// AppendState appends the state.
func (d *EDDM) AppendState(dst []byte) []byte { return begin(dst, 'e', d.cfg, d.s) }

// Restore goes on from a state.
func (d *EDDM) Restore(state []byte) error {
	d.Reset()
	return restore(state, 'e', d.cfg, &d.s)
}
