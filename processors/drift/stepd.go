package drift

import "math"

// STEPDConfig are the settings of STEPD.
type STEPDConfig struct {
	// Window is how many recent predictions are compared with all before them.
	Window int64
	// Drift and Warning are significance levels of the two-sided test.
	Drift, Warning float64
	// Side says which way counts; the paper's test knows both.
	Side Side
}

// DefaultSTEPD returns the settings of the paper.
func DefaultSTEPD() STEPDConfig { return STEPDConfig{Window: 30, Drift: 0.003, Warning: 0.05} }

// STEPD compares the share of right predictions in a recent window with that before it, by a test of equal proportions with continuity correction (Nishida and Yamauchi 2007, Detecting
// Concept Drift Using Statistical Testing, Discovery Science, LNCS 4755).
type STEPD struct {
	cfg STEPDConfig
	s   stepd
	// ring holds the recent errors.
	ring []float64
}

type stepd struct {
	Old, New       float64 // errors
	NOld, NNew, At int64
	Warning, Found bool
}

// NewSTEPD makes a detector.
func NewSTEPD(cfg STEPDConfig) *STEPD { return &STEPD{cfg: cfg, ring: make([]float64, cfg.Window)} }

// Reset forgets all predictions.
func (d *STEPD) Reset() { d.s = stepd{} }

// Warned tells of the warning level.
func (d *STEPD) Warned() bool { return d.s.Warning }

// Update takes 1 for a wrong prediction and 0 for a right one.
func (d *STEPD) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	if s.NNew == d.cfg.Window {
		s.Old += d.ring[s.At]
		s.New -= d.ring[s.At]
		s.NOld++
	} else {
		s.NNew++
	}
	d.ring[s.At] = x
	if s.At++; s.At == d.cfg.Window {
		s.At = 0
	}
	s.New += x
	s.Warning = false
	if s.NOld < d.cfg.Window {
		return false
	}
	old, recent := s.Old/float64(s.NOld), s.New/float64(s.NNew)
	if d.cfg.Side == Up && recent <= old || d.cfg.Side == Down && recent >= old {
		return false
	}
	both := 1/float64(s.NOld) + 1/float64(s.NNew)
	p := (s.Old + s.New) / float64(s.NOld+s.NNew)
	z := (math.Abs(old-recent) - both/2) / math.Sqrt(p*(1-p)*both)
	if !(z > 0) { // closer than the correction, or no error at all
		return false
	}
	level := math.Erfc(z / math.Sqrt2)
	s.Found = level < d.cfg.Drift
	s.Warning = !s.Found && level < d.cfg.Warning
	return s.Found
}

// AppendState appends the state.
func (d *STEPD) AppendState(dst []byte) []byte { return floats(begin(dst, 's', d.cfg, d.s), d.ring) }

// Restore goes on from a state.
func (d *STEPD) Restore(state []byte) error {
	d.Reset()
	var s stepd
	rest, err := end(state, 's', d.cfg, &s)
	if err != nil {
		return err
	}
	ring, rest, err := readFloats(rest, nil, len(d.ring))
	if err := done(rest, err); err != nil {
		return err
	}
	if len(ring) != len(d.ring) || s.At < 0 || s.At >= d.cfg.Window || s.NNew < 0 || s.NNew > d.cfg.Window {
		return errShort
	}
	d.s = s
	copy(d.ring, ring)
	return nil
}
