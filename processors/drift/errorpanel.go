package drift

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrorPanelConfig are the settings of an ErrorPanel.
type ErrorPanelConfig struct {
	DDM   DDMConfig
	CUSUM CUSUMConfig
	STEPD STEPDConfig
	ADWIN ADWINConfig
	SEED  SEEDConfig
	// Agree is how many of the five must have found a change within the last Span errors.
	Agree, Span int64
	// Cooldown is how many errors come after a change, or the begin, before one may be found: a model that was just made has still to learn.
	Cooldown int64
}

// DefaultErrorPanel returns settings that were chosen on SEA streams of other seeds than those that bench/README.md reports. The members are let loose, DDM at 2.5 deviations for 3, CUSUM at 25
// for 50, ADWIN at 0.05 for 0.002, because three must agree: each alone cries wolf, and at different times.
func DefaultErrorPanel() ErrorPanelConfig {
	c := ErrorPanelConfig{DDM: DefaultDDM(), CUSUM: DefaultCUSUM(), STEPD: DefaultSTEPD(), ADWIN: DefaultADWIN(), SEED: DefaultSEED(), Agree: 3, Span: 1000, Cooldown: 200}
	c.DDM.Drift = 2.5
	c.CUSUM.Threshold = 25
	c.ADWIN.Delta = 0.05
	c.STEPD.Side, c.ADWIN.Side, c.SEED.Side = Up, Up, Up
	return c
}

// Validate reports every fault.
func (c ErrorPanelConfig) Validate() error {
	var errs []error
	if c.Agree < 1 || c.Agree > members {
		errs = append(errs, fmt.Errorf("agree: %d is not between 1 and %d", c.Agree, members))
	}
	if c.Span < 1 {
		errs = append(errs, fmt.Errorf("span: %d is less than 1", c.Span))
	}
	if c.Cooldown < 0 {
		errs = append(errs, fmt.Errorf("cooldown: %d is negative", c.Cooldown))
	}
	return errors.Join(errs...)
}

// members is the number of detectors in an ErrorPanel.
const members = 5

// ErrorPanel finds a rise of an error rate where several detectors of different kinds agree on it: DDM looks at the rate's least, CUSUM at what goes beyond its mean, STEPD at the newest 30, ADWIN and SEED
// for the best cut. It is itself a Detector. An error that falls, as that of a model that learns, is no change; errors are 1 for a wrong prediction and 0 for a right one.
type ErrorPanel struct {
	cfg ErrorPanelConfig
	of  [members]Detector
	s   errorPanel
}

type errorPanel struct {
	N     int64 // errors since the begin
	Found bool
	// Last is the number of the error at which each member found a change last, 0 for never.
	Last [members]int64
}

// NewErrorPanel makes a panel.
func NewErrorPanel(cfg ErrorPanelConfig) *ErrorPanel {
	return &ErrorPanel{cfg: cfg, of: [members]Detector{NewDDM(cfg.DDM), NewCUSUM(cfg.CUSUM), NewSTEPD(cfg.STEPD), NewADWIN(cfg.ADWIN), NewSEED(cfg.SEED)}}
}

// Reset forgets all errors.
func (p *ErrorPanel) Reset() {
	p.s = errorPanel{}
	for _, d := range p.of {
		d.Reset()
	}
}

// Warned tells that all but one of those that must agree do.
func (p *ErrorPanel) Warned() bool { return !p.s.Found && p.s.N > 0 && p.votes() == p.cfg.Agree-1 }

// votes counts the members that found a change within the span.
func (p *ErrorPanel) votes() (n int64) {
	for _, at := range p.s.Last {
		if at > 0 && p.s.N-at < p.cfg.Span {
			n++
		}
	}
	return n
}

// Update takes 1 for a wrong prediction and 0 for a right one.
func (p *ErrorPanel) Update(x float64) bool {
	if x != x {
		return false
	}
	if p.s.Found {
		p.Reset()
	}
	p.s.N++
	for i, d := range p.of {
		if d.Update(x) {
			p.s.Last[i] = p.s.N
		}
	}
	p.s.Found = p.s.N > p.cfg.Cooldown && p.votes() >= p.cfg.Agree
	return p.s.Found
}

// AppendState appends the state.
func (p *ErrorPanel) AppendState(dst []byte) []byte {
	dst = begin(dst, 'P', p.cfg, p.s)
	for _, d := range p.of {
		at := len(dst)
		dst = d.AppendState(binary.LittleEndian.AppendUint32(dst, 0))
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}

// Restore goes on from a state.
func (p *ErrorPanel) Restore(state []byte) (err error) {
	defer func() {
		if err != nil {
			p.Reset()
		}
	}()
	rest, err := end(state, 'P', p.cfg, &p.s)
	if err != nil {
		return err
	}
	for _, d := range p.of {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.LittleEndian.Uint32(rest)) {
			return errShort
		}
		n := binary.LittleEndian.Uint32(rest)
		if err := d.Restore(rest[4 : 4+n]); err != nil {
			return err
		}
		rest = rest[4+n:]
	}
	if len(rest) > 0 {
		return errShort
	}
	return nil
}
