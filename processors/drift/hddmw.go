package drift

import "math"

// HDDMWConfig are the settings of HDDMW.
type HDDMWConfig struct {
	// Drift and Warning are the confidences: the chance of a false one at a test.
	Drift, Warning float64
	// Lambda is the weight of the newest loss in the averages.
	Lambda float64
	// Both also finds falls.
	Both bool
}

// DefaultHDDMW returns the settings of the paper, which are River's.
func DefaultHDDMW() HDDMWConfig { return HDDMWConfig{Drift: 0.001, Warning: 0.005, Lambda: 0.05} }

// HDDMW compares an exponentially weighted average of the losses, between 0 and 1, up to the best cut with that since, by McDiarmid's bound (Frías-Blanco and others 2015, as HDDMA, the
// W-test).
type HDDMW struct {
	cfg            HDDMWConfig
	drift, warning float64 // half the logarithms of the confidences
	keep           float64 // what a step leaves of the sum of squared weights
	s              hddmw
}

// weighted is an average and the sum of its squared weights.
type weighted struct {
	Mean, Squares float64
	Any           bool
}

type hddmw struct {
	All              weighted
	UpOld, UpNew     weighted
	DownOld, DownNew weighted
	UpCut, DownCut   float64
	Warning, Found   bool
}

// NewHDDMW makes a detector.
func NewHDDMW(cfg HDDMWConfig) *HDDMW {
	d := &HDDMW{cfg: cfg, drift: math.Log(1 / cfg.Drift), warning: math.Log(1 / cfg.Warning), keep: (1 - cfg.Lambda) * (1 - cfg.Lambda)}
	d.Reset()
	return d
}

// Reset forgets all numbers.
func (d *HDDMW) Reset() {
	fresh := weighted{Squares: 1}
	d.s = hddmw{All: fresh, UpOld: fresh, UpNew: fresh, DownOld: fresh, DownNew: fresh, UpCut: math.Inf(1), DownCut: math.Inf(-1)}
}

// Warned tells of the warning level.
func (d *HDDMW) Warned() bool { return d.s.Warning }

func (d *HDDMW) add(w *weighted, x float64) {
	if w.Any {
		w.Mean = float64(d.cfg.Lambda*x) + float64((1-d.cfg.Lambda)*w.Mean)
	} else {
		w.Mean, w.Any = x, true
	}
	w.Squares = float64(d.cfg.Lambda*d.cfg.Lambda) + float64(d.keep*w.Squares)
}

// Update takes the next loss, between 0 and 1.
func (d *HDDMW) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	d.add(&s.All, x)
	eps := math.Sqrt(s.All.Squares * d.drift / 2)
	if s.All.Mean+eps < s.UpCut {
		s.UpCut, s.UpOld, s.UpNew = s.All.Mean+eps, s.All, weighted{Squares: 1}
	} else {
		d.add(&s.UpNew, x)
	}
	s.Found, s.Warning = d.test(&s.UpOld, &s.UpNew)
	if d.cfg.Both {
		if s.All.Mean-eps > s.DownCut {
			s.DownCut, s.DownOld, s.DownNew = s.All.Mean-eps, s.All, weighted{Squares: 1}
		} else {
			d.add(&s.DownNew, x)
		}
		found, warning := d.test(&s.DownNew, &s.DownOld)
		s.Found, s.Warning = s.Found || found, s.Warning || warning
	}
	return s.Found
}

// test tells whether high is above low.
func (d *HDDMW) test(low, high *weighted) (found, warning bool) {
	if !low.Any || !high.Any || high.Mean <= low.Mean {
		return false, false
	}
	sum := low.Squares + high.Squares
	if high.Mean-low.Mean > math.Sqrt(sum*d.drift/2) {
		return true, false
	}
	return false, high.Mean-low.Mean > math.Sqrt(sum*d.warning/2)
}

// AppendState appends the state.
func (d *HDDMW) AppendState(dst []byte) []byte { return begin(dst, 'w', d.cfg, d.s) }

// Restore goes on from a state.
func (d *HDDMW) Restore(state []byte) error {
	d.Reset()
	return restore(state, 'w', d.cfg, &d.s)
}
