package drift

import (
	"fmt"
	"math"
	"slices"

	"andon/event"
)

// profileVersion is of a Profile's file, packed: some 20 KB for 30 channels.
const profileVersion = 1

// profileFile is a Profile as its file holds it.
type profileFile struct {
	Profile
	Together *pcaFile  `json:"together_pca,omitempty"`
	Of       []int     `json:"of,omitempty"`
	Loss     *additive `json:"loss_estimator,omitempty"`
}

type pcaFile struct {
	Mean, Inverse, Components []float64
	K                         int
	Usual, Deviation          float64
}

// short is a number with as many digits as a reference can know.
func short(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(float32(x))
	}
	return out
}

// AppendBinary appends the profile's file. Shares are kept to seven digits; edges are exact, so that equal values stay in their bin.
func (p *Profile) AppendBinary(dst []byte) ([]byte, error) {
	f := profileFile{Profile: *p, Of: p.of, Loss: p.loss}
	f.Features = slices.Clone(p.Features)
	for j := range f.Features {
		g := &f.Features[j]
		shares := make([][]float64, len(g.P))
		for s := range shares {
			shares[s] = short(g.P[s])
		}
		g.P = shares
	}
	if t := p.together; t != nil {
		f.Together = &pcaFile{t.mean, t.inverse, short(t.components), t.k, t.Mean, t.Deviation}
	}
	dst, err := pack(dst, profileVersion, &f)
	if err != nil {
		return nil, fmt.Errorf("write a drift reference: %w", err)
	}
	return dst, nil
}

// ReadProfile reads a profile's file and checks it.
func ReadProfile(data []byte) (*Profile, error) {
	fault := func(format string, args ...any) (*Profile, error) {
		return nil, fmt.Errorf("read a drift reference: "+format, args...)
	}
	var f profileFile
	if err := unpack(data, profileVersion, &f); err != nil {
		return fault("%w", err)
	}
	p := &f.Profile
	p.of, p.loss = f.Of, f.Loss
	d, strata := len(p.Inputs), p.strata()
	if d == 0 || p.Kinds < 0 || p.Kinds > 0 && p.Kinds != strata-1 || p.Condition >= d || p.Risk >= d || !slices.IsSorted(p.Cuts) || p.Piece < parts || len(p.Calibration.Score) != len(p.Calibration.Probability) {
		return fault("it does not hold together")
	}
	for j := range p.Features {
		g := &p.Features[j]
		whole := g.Input < d && len(g.P) == strata && len(g.Means) == strata && len(g.Deviations) == strata && len(g.Missing) == strata && len(g.Edges) > 0 && len(g.Edges) <= mostEdges &&
			slices.IsSorted(g.Edges) && g.Std != 0
		for _, shares := range g.P {
			whole = whole && len(shares) == len(g.Edges)+1
		}
		for _, noise := range g.Noise {
			whole = whole && len(noise) == strata
		}
		if !whole {
			return fault("feature %q does not hold together", g.Name)
		}
		g.kinds = p.Kinds
		g.derive()
	}
	if t := f.Together; t != nil {
		k := len(p.of)
		if len(t.Mean) != k || len(t.Inverse) != k || len(t.Components) != t.K*k || slices.ContainsFunc(p.of, func(j int) bool { return j < 0 || j >= d }) {
			return fault("its components do not hold together")
		}
		p.together = &PCA{mean: t.Mean, inverse: t.Inverse, components: t.Components, k: t.K, Mean: t.Usual, Deviation: t.Deviation}
		p.together.pack()
	}
	if !(p.Guess >= 0) || math.IsInf(p.Guess, 0) {
		return fault("what it would lose by guessing does not hold together")
	}
	for j := range p.Features {
		if g := &p.Features[j]; g.Range != nil && (len(g.Range) != 2 || g.Input < 0 || !(g.Range[0] <= g.Range[1])) {
			return fault("the range of %q does not hold together", g.Name)
		} else if g.Range != nil {
			p.ranged++
		}
		switch g := &p.Features[j]; {
		case g.Input >= 0, g.Role == event.RoleTogether && p.together != nil, g.Role == event.RoleLoss && p.loss != nil:
		default:
			return fault("feature %q is made of nothing", g.Name)
		}
	}
	if p.loss != nil {
		if len(p.loss.Steps) > len(p.Features) || math.IsNaN(p.loss.Base) {
			return fault("its loss estimator does not hold together")
		}
		for j, steps := range p.loss.Steps {
			if g := &p.Features[j]; steps != nil && (g.Input < 0 || len(steps) != len(g.Edges)+2) {
				return fault("its loss estimator does not hold together")
			}
		}
	}
	return p, nil
}
