// Package gate holds the statistics by which a challenger is let through to the fleet, or is not: paired tests against the champion on the same windows, corrected for how many there are, and a
// confidence sequence for the canary that may be looked at as often as one likes.
//
// All of it is pure: the same numbers and seed give the same verdict, which can so be told again later.
package gate

import (
	"fmt"
	"math"
	"slices"
)

// Slice is one scenario or group of assets: how champion and challenger did on the same windows of it.
type Slice struct {
	Name string
	// Blocks holds one block an asset, or any other group of windows that may depend on each other.
	Blocks []Block
}

// Block sums up the paired losses of dependent windows. A loss is between 0, right, and 1, as wrong as can be.
type Block struct {
	// N is how many windows.
	N int
	// Champion and Challenger are sums of losses.
	Champion, Challenger float64
}

// Config says how sure the gate wants to be.
type Config struct {
	// Alpha is the chance of letting a challenger through that is no better, or of calling a slice worse that is not.
	Alpha float64
	// Margin is how much mean loss a slice may lose and still count as not worse; 0 counts every loss that is more than chance.
	Margin float64
	// MinBlocks is how many blocks a test needs; a slice with fewer is told and not judged.
	MinBlocks int
	// Draws is how often the bootstrap draws; Seed starts its lots.
	Draws int
	Seed  uint64
}

// Default returns the gate's settings.
func Default() Config {
	return Config{
		Alpha: 0.05, // one in twenty, over all slices together
		// A bootstrap of fewer assets than this is too sure of itself.
		MinBlocks: 8,
		// The P value 0.05 is then known to within 0.005.
		Draws: 2000,
		Seed:  1,
	}
}

// Finding is what is known of one slice.
type Finding struct {
	Slice string
	// Windows and Blocks are how many there were.
	Windows, Blocks int
	// Champion and Challenger are mean losses, Gain the first less the second, with its interval at the level 1-2*alpha.
	Champion, Challenger, Gain, Low, High float64
	// Worse is the P value of "the challenger is not worse by more than the margin", Better that of "it is not better"; corrected for the number of slices. NaN where
	// there is too little.
	Worse, Better float64
}

// Verdict is what the gate says.
type Verdict struct {
	Pass bool
	// Reason is for people.
	Reason   string
	Findings []Finding
}

// Judge lets a challenger through that is better over all and worse in no slice. overall holds all windows; slices may overlap it and each other.
func Judge(c Config, overall Slice, slices ...Slice) Verdict {
	v := Verdict{Findings: []Finding{c.find(overall)}}
	for _, s := range slices {
		v.Findings = append(v.Findings, c.find(s))
	}
	// Better is asked once, of all windows; worse of every slice.
	worse := make([]float64, 0, len(v.Findings))
	for _, f := range v.Findings {
		if !math.IsNaN(f.Worse) {
			worse = append(worse, f.Worse)
		}
	}
	corrected := Holm(worse)
	for i, n := 0, 0; i < len(v.Findings); i++ {
		if f := &v.Findings[i]; !math.IsNaN(f.Worse) {
			f.Worse = corrected[n]
			n++
		}
	}
	all := v.Findings[0]
	if math.IsNaN(all.Better) {
		v.Reason = fmt.Sprintf("too little to judge by: %d assets of %d that it takes", all.Blocks, c.MinBlocks)
		return v
	}
	for _, f := range v.Findings {
		if f.Worse <= c.Alpha {
			v.Reason = fmt.Sprintf("worse in %s: loss %.4g against the champion's %.4g (p %.2g, corrected for %d slices)", f.Slice, f.Challenger, f.Champion, f.Worse, len(worse))
			return v
		}
	}
	if all.Better > c.Alpha {
		v.Reason = fmt.Sprintf("not shown to be better: loss %.4g against the champion's %.4g, gain %.4g in [%.4g, %.4g] (p %.2g)", all.Challenger, all.Champion, all.Gain, all.Low,
			all.High, all.Better)
		return v
	}
	v.Pass = true
	v.Reason = fmt.Sprintf("better: loss %.4g against the champion's %.4g, gain %.4g in [%.4g, %.4g] (p %.2g), and worse in none of %d slices", all.Challenger, all.Champion, all.Gain,
		all.Low, all.High, all.Better, len(v.Findings))
	return v
}

// find looks at one slice, uncorrected.
func (c *Config) find(s Slice) Finding {
	f := Finding{Slice: s.Name, Blocks: len(s.Blocks), Worse: math.NaN(), Better: math.NaN(), Low: math.NaN(), High: math.NaN()}
	for _, b := range s.Blocks {
		f.Windows += b.N
		f.Champion += b.Champion
		f.Challenger += b.Challenger
	}
	if f.Windows == 0 {
		return f
	}
	f.Champion /= float64(f.Windows)
	f.Challenger /= float64(f.Windows)
	f.Gain = f.Champion - f.Challenger
	if len(s.Blocks) < c.MinBlocks {
		return f
	}
	gains := bootstrap(s.Blocks, c.Draws, c.Seed)
	f.Low, f.High = quantile(gains, c.Alpha), quantile(gains, 1-c.Alpha)
	// The drawn gains are spread around the gain as it is around the truth: moved to where nothing has changed, how many are as far out?
	f.Better = share(gains, func(g float64) bool { return g-f.Gain >= f.Gain })
	f.Worse = share(gains, func(g float64) bool { return g-f.Gain <= f.Gain+c.Margin })
	return f
}

// share is the share of those for which ok holds, counted with the sample itself, so that it is never 0.
func share(sorted []float64, ok func(float64) bool) float64 {
	n := 1
	for _, v := range sorted {
		if ok(v) {
			n++
		}
	}
	return float64(n) / float64(len(sorted)+1)
}

func quantile(sorted []float64, q float64) float64 {
	return sorted[min(max(int(q*float64(len(sorted))), 0), len(sorted)-1)]
}

// Holm corrects P values for their number: where one of them is at most alpha, the chance that any was so by luck is at most alpha (Holm 1979, Scandinavian Journal of Statistics 6).
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, len(p))
	most := 0.0
	for rank, i := range order {
		most = math.Max(most, math.Min(p[i]*float64(len(p)-rank), 1))
		out[i] = most
	}
	return out
}
