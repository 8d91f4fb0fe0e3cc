package evaluate

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// The kinds of perturbations. The first six are of rows, Noise and those after Skew of frames.
const (
	Noise   = "noise"   // normal noise of Size standard deviations of the signal; of frames, of Size of the brightest
	Dropout = "dropout" // a Share of rows is lost; with Signals, of their values
	Stuck   = "stuck"   // from somewhere in the middle half of a life on, a signal keeps its value
	Unit    = "unit"    // a signal comes as value*Scale + Offset
	Skew    = "skew"    // the asset's clock is By ahead

	Dark      = "dark"      // light falls to Size of what it was
	Exposure  = "exposure"  // Size times the light, clipped at white
	Blur      = "blur"      // a box of 2*Size+1 pixels a side, thrice, which is near a Gaussian one; pixels of the smallest picture that one of the models takes
	Occlusion = "occlusion" // a grey square over a Share of the frame, somewhere
)

// Perturbation is one fault. It is pure: the same rows, signals and seed give the same rows.
type Perturbation struct {
	Kind string `yaml:"kind"`
	// Signals it befalls; none: all for noise and dropout, one by lot for each asset for stuck and unit.
	Signals []string `yaml:"signals"`
	// Size, Share, Scale, Offset and By are as the kinds say; 0 takes their default.
	Size   float64       `yaml:"size"`
	Share  float64       `yaml:"share"`
	Scale  float64       `yaml:"scale"`
	Offset float64       `yaml:"offset"`
	By     time.Duration `yaml:"by"`
}

// ofFrames lists the kinds for frames, ofRows those for rows.
var (
	ofRows   = []string{Noise, Dropout, Stuck, Unit, Skew}
	ofFrames = []string{Noise, Dark, Exposure, Blur, Occlusion}
)

// Validate reports every fault with its key.
func (p *Perturbation) Validate() error {
	var errs []error
	if !slices.Contains(ofRows, p.Kind) && !slices.Contains(ofFrames, p.Kind) {
		errs = append(errs, fmt.Errorf("kind: %q is none of %s, %s", p.Kind, strings.Join(ofRows, ", "), strings.Join(ofFrames[1:], ", ")))
	}
	if p.Size < 0 {
		errs = append(errs, fmt.Errorf("size: %v is negative", p.Size))
	}
	if p.Kind == Blur && p.Size != math.Trunc(p.Size) {
		errs = append(errs, fmt.Errorf("size: %v is not a whole number of pixels", p.Size))
	}
	if !(p.Share >= 0 && p.Share < 1) {
		errs = append(errs, fmt.Errorf("share: %v is not 0 or more and less than 1", p.Share))
	}
	return errors.Join(errs...)
}

// bearable tells faults that a model should bear, so that one that bears them worse than the champion is refused, from those that make any model wrong.
func (p *Perturbation) bearable() bool { return p.Kind != Stuck && p.Kind != Unit && p.Kind != Skew }

// filled returns the perturbation with its defaults.
func (p Perturbation) filled() Perturbation {
	or := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	switch p.Kind {
	case Noise:
		or(&p.Size, 0.1)
	case Dropout:
		or(&p.Share, 0.1)
	case Unit:
		if p.Scale == 0 && p.Offset == 0 { // Celsius that comes as Fahrenheit
			p.Scale, p.Offset = 1.8, 32
		}
		or(&p.Scale, 1)
	case Skew:
		if p.By == 0 {
			p.By = time.Hour
		}
	case Dark:
		or(&p.Size, 0.3)
	case Exposure:
		or(&p.Size, 1.8)
	case Blur:
		or(&p.Size, 2)
	case Occlusion:
		or(&p.Share, 0.1)
	}
	return p
}

// String says what it does, for people.
func (p *Perturbation) String() string {
	f := p.filled()
	what := ""
	switch f.Kind {
	case Noise:
		what = fmt.Sprintf("noise of %g deviations", f.Size)
	case Dropout:
		what = fmt.Sprintf("%g %% lost", 100*f.Share)
	case Stuck:
		what = "a signal keeps its value"
	case Unit:
		what = fmt.Sprintf("a signal times %g plus %g", f.Scale, f.Offset)
	case Skew:
		what = fmt.Sprintf("clocks %v ahead", f.By)
	case Dark:
		what = fmt.Sprintf("%g of the light", f.Size)
	case Exposure:
		what = fmt.Sprintf("%g times the light", f.Size)
	case Blur:
		what = fmt.Sprintf("blur of %g pixels", f.Size)
	case Occlusion:
		what = fmt.Sprintf("%g %% covered", 100*f.Share)
	}
	if len(f.Signals) > 0 {
		what += " (" + strings.Join(f.Signals, ", ") + ")"
	}
	return what
}

// lots returns the random numbers of one perturbation of one asset or frame.
func (p *Perturbation) lots(seed uint64, of string) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, p.Kind, "\x00", of)
	return rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // lots, not secrets
}

// rows returns an asset's rows as the fault shows them; what it is given stays as it is. sd holds the signals' standard deviations. shift is by how much event time is off.
func (p *Perturbation) rows(rows []event.Row, asset string, signals []string, sd []float64, seed uint64) (out []event.Row, shift int64, err error) {
	f := p.filled()
	rng := p.lots(seed, asset)
	out = make([]event.Row, len(rows))
	arena := make([]float64, 0, len(rows)*len(signals))
	for i, r := range rows {
		arena = append(arena, r.Values...)
		out[i] = r
		out[i].Values = arena[len(arena)-len(r.Values):]
	}
	var columns []int
	for _, name := range f.Signals {
		c := slices.Index(signals, name)
		if c < 0 {
			return nil, 0, fmt.Errorf("perturb.signals: the models read no %q: they read %v", name, signals)
		}
		columns = append(columns, c)
	}
	named := len(columns) > 0
	if !named {
		for c := range signals {
			columns = append(columns, c)
		}
		if f.Kind == Stuck || f.Kind == Unit {
			columns = columns[rng.IntN(len(columns)):][:1]
		}
	}
	switch f.Kind {
	case Noise:
		for i := range out {
			for _, c := range columns {
				out[i].Values[c] += f.Size * sd[c] * rng.NormFloat64()
			}
		}
	case Dropout:
		if !named {
			return slices.DeleteFunc(out, func(event.Row) bool { return rng.Float64() < f.Share }), 0, nil
		}
		for i := range out {
			for _, c := range columns {
				if rng.Float64() < f.Share {
					out[i].Values[c] = math.NaN()
				}
			}
		}
	case Stuck:
		from := len(out)/4 + rng.IntN(len(out)/2+1)
		for i := from + 1; i < len(out); i++ {
			for _, c := range columns {
				out[i].Values[c] = out[from].Values[c]
			}
		}
	case Unit:
		for i := range out {
			for _, c := range columns {
				out[i].Values[c] = out[i].Values[c]*f.Scale + f.Offset
			}
		}
	case Skew:
		shift = int64(f.By)
		for i := range out {
			out[i].Time += shift
		}
	default:
		return nil, 0, fmt.Errorf("perturb.kind: %s is for frames, and these models read windows", f.Kind)
	}
	return out, shift, nil
}
