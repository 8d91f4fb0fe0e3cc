// Package gate holds the statistics by which a challenger is let through to the fleet, or is not: paired tests against the champion on the same windows, corrected for how many there are, and a
// confidence sequence for the canary that may be looked at as often as one likes.
//
// All of it is pure: the same numbers and seed give the same verdict, which can so be told again later.
package gate

import (
	"math"
	"slices"
)

// Slice is one scenario or group of assets: how champion and challenger did on the same windows of it.
type Slice struct {
	Name string
	// Blocks holds one block an asset, or any other group of windows that may depend on each other.
	Blocks []Block
	// Classes tells that a window is right or wrong, and nothing between: then the blocks count pairs, and McNemar's test is asked beside the bootstrap.
	Classes bool
}

// Block sums up the paired losses of dependent windows. A loss is between 0, right, and 1, as wrong as can be.
type Block struct {
	// N is how many windows.
	N int
	// Champion and Challenger are sums of losses.
	Champion, Challenger float64
	// OnlyChampion and OnlyChallenger are how many windows just the one had right; for classes.
	OnlyChampion, OnlyChallenger int
}

// Config says how sure the gate wants to be.
type Config struct {
	// Alpha is the chance of letting any challenger through that is no better, of all that are judged together, or of calling a slice of one worse that is not.
	Alpha float64
	// Margin is how much mean loss a slice may lose and still count as not worse; 0 counts every loss that is more than chance.
	Margin float64
	// Golden is the rule of the golden set.
	Golden Golden
	// MinBlocks is how many blocks a test needs; a slice with fewer is told and not judged.
	MinBlocks int
	// Draws is how often the bootstrap draws; Seed starts its lots.
	Draws int
	Seed  uint64
}

// Default returns the gate's settings.
func Default() Config {
	return Config{
		Alpha: 0.05, // one in twenty, over all slices and candidates together
		// A person chose each golden case so that no model misses it again.
		Golden: Golden{Lost: 0, Right: 0.25},
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
	// Worse is the P value of "the challenger is not worse by more than the margin", corrected for the number of slices, Better that of "it is not better", corrected for the number of
	// candidates. NaN where there is too little. For classes each is the larger of the bootstrap's and McNemar's.
	Worse, Better float64
	// Of classes: OnlyChampion and OnlyChallenger are how many windows just the one had right, ForChampion and ForChallenger in how many blocks it had more of them; McNemar is the P value of
	// "it is not better" by those blocks alone, NaN where they are not classes.
	OnlyChampion, OnlyChallenger, ForChampion, ForChallenger int
	McNemar                                                  float64
}

// Verdict is what the gate says.
type Verdict struct {
	Pass bool
	// Reason is for people.
	Reason   string
	Findings []Finding
	// Golden is how many golden cases there were, Lost those that the champion has right and the challenger gets wrong.
	Golden int
	Lost   []string
	// TooLittle tells that nothing spoke against it, and that there was too little to show it better. Candidates is how many were judged together.
	TooLittle  bool
	Candidates int

	judged int
}

// Judge is Choose of one.
func Judge(c Config, overall Slice, slices ...Slice) Verdict {
	_, v := Choose(c, Candidate{Overall: overall, Slices: slices})
	return v[0]
}

// find looks at one slice, uncorrected.
func (c *Config) find(s Slice) Finding {
	f := Finding{Slice: s.Name, Blocks: len(s.Blocks), Worse: math.NaN(), Better: math.NaN(), Low: math.NaN(), High: math.NaN(), McNemar: math.NaN()}
	for _, b := range s.Blocks {
		f.Windows += b.N
		f.Champion += b.Champion
		f.Challenger += b.Challenger
		f.OnlyChampion += b.OnlyChampion
		f.OnlyChallenger += b.OnlyChallenger
		switch {
		case b.OnlyChampion > b.OnlyChallenger:
			f.ForChampion++
		case b.OnlyChallenger > b.OnlyChampion:
			f.ForChallenger++
		}
	}
	if f.Windows == 0 {
		return f
	}
	f.Champion /= float64(f.Windows)
	f.Challenger /= float64(f.Windows)
	f.Gain = f.Champion - f.Challenger
	if s.Classes {
		f.McNemar = McNemar(f.ForChampion, f.ForChallenger)
	}
	if len(s.Blocks) < c.MinBlocks {
		return f
	}
	g := bootstrap(s.Blocks, c.Draws, c.Seed)
	f.Low, f.High = g.interval(c.Alpha)
	f.Better, f.Worse = g.above(0), g.below(-c.Margin)
	if s.Classes {
		// Of few blocks that differ at all a bootstrap is too sure; McNemar's test is exact however few, and asks only which of the two more blocks are for, so it takes both (an intersection-union
		// test: Berger 1982, Technometrics 24).
		f.Better, f.Worse = math.Max(f.Better, f.McNemar), math.Max(f.Worse, McNemar(f.ForChallenger, f.ForChampion))
	}
	return f
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
