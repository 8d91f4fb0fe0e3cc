package drift

import "math"

// FHDDMConfig are the settings of FHDDM.
type FHDDMConfig struct {
	// Window is how many predictions are looked back on.
	Window int64
	// Confidence is the chance of a false alarm at a test.
	Confidence float64
}

// DefaultFHDDM returns River's settings.
func DefaultFHDDM() FHDDMConfig { return FHDDMConfig{Window: 100, Confidence: 1e-6} }

// FHDDM finds a fall of the share of right predictions in a sliding window below its greatest, by Hoeffding's bound (Pesaranghader and Viktor 2016, Fast Hoeffding Drift Detection Method for
// Evolving Data Streams, ECML PKDD).
type FHDDM struct {
	cfg     FHDDMConfig
	epsilon float64
	s       fhddm
	ring    []float64
}

type fhddm struct {
	Top   float64
	Ones  float64
	At, N int64
	Found bool
}

// NewFHDDM makes a detector.
func NewFHDDM(cfg FHDDMConfig) *FHDDM {
	return &FHDDM{cfg: cfg, epsilon: math.Sqrt(math.Log(1/cfg.Confidence) / float64(2*cfg.Window)), ring: make([]float64, cfg.Window)}
}

// Reset forgets all predictions.
func (d *FHDDM) Reset() { d.s = fhddm{} }

// Warned is always false.
func (d *FHDDM) Warned() bool { return false }

// Update takes 1 for a right prediction and 0 for a wrong one.
func (d *FHDDM) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	if s.N == d.cfg.Window {
		s.Ones -= d.ring[s.At]
	} else {
		s.N++
	}
	d.ring[s.At] = x
	if s.At++; s.At == d.cfg.Window {
		s.At = 0
	}
	s.Ones += x
	if s.N < d.cfg.Window {
		return false
	}
	share := s.Ones / float64(d.cfg.Window)
	s.Top = max(s.Top, share)
	s.Found = s.Top-share > d.epsilon
	return s.Found
}

// AppendState appends the state.
func (d *FHDDM) AppendState(dst []byte) []byte { return floats(begin(dst, 'f', d.cfg, d.s), d.ring) }

// Restore goes on from a state.
func (d *FHDDM) Restore(state []byte) error {
	d.Reset()
	var s fhddm
	rest, err := end(state, 'f', d.cfg, &s)
	if err != nil {
		return err
	}
	ring, rest, err := readFloats(rest, nil, len(d.ring))
	if err := done(rest, err); err != nil {
		return err
	}
	if len(ring) != len(d.ring) || s.At < 0 || s.At >= d.cfg.Window || s.N < 0 || s.N > d.cfg.Window {
		return errShort
	}
	d.s = s
	copy(d.ring, ring)
	return nil
}
