package drift

import "math"

// DDMConfig are the settings of DDM.
type DDMConfig struct {
	// WarmStart is how many predictions come before a change may be found.
	WarmStart int64
	// Warning and Drift are how many standard deviations the error must be above its least.
	Warning, Drift float64
}

// DefaultDDM returns the settings of the paper, which are River's.
func DefaultDDM() DDMConfig { return DDMConfig{WarmStart: 30, Warning: 2, Drift: 3} }

// DDM finds a rise of an error rate above its least one (Gama, Medas, Castillo and Rodrigues 2004, Learning with Drift Detection, SBIA).
type DDM struct {
	cfg DDMConfig
	s   ddm
}

type ddm struct {
	P              mean
	PMin, SMin, PS float64
	Warning, Found bool
}

// NewDDM makes a detector.
func NewDDM(cfg DDMConfig) *DDM {
	d := &DDM{cfg: cfg}
	d.Reset()
	return d
}

// Reset forgets all predictions.
func (d *DDM) Reset() { d.s = ddm{PS: math.Inf(1)} }

// Warned tells of the warning level.
func (d *DDM) Warned() bool { return d.s.Warning }

// Update takes 1 for a wrong prediction and 0 for a right one.
func (d *DDM) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	s.P.add(x)
	if s.P.N <= float64(d.cfg.WarmStart) {
		return false
	}
	p := s.P.Mean
	dev := math.Sqrt(p * (1 - p) / s.P.N)
	if p+dev <= s.PS {
		s.PMin, s.SMin = p, dev
		s.PS = p + dev
	}
	s.Found = p+dev > s.PMin+float64(d.cfg.Drift*s.SMin)
	s.Warning = !s.Found && p+dev > s.PMin+float64(d.cfg.Warning*s.SMin)
	return s.Found
}

// AppendState appends the state.
func (d *DDM) AppendState(dst []byte) []byte { return begin(dst, 'd', d.cfg, d.s) }

// Restore goes on from a state.
func (d *DDM) Restore(state []byte) error {
	d.Reset()
	return restore(state, 'd', d.cfg, &d.s)
}
