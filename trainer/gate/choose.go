package gate

import (
	"fmt"
	"math"
)

// Candidate is one challenger: how it did beside the champion.
type Candidate struct {
	// Overall holds all windows; Slices may overlap it and each other.
	Overall Slice
	Slices  []Slice
	Golden  []Case
}

// Choose judges several challengers of one champion on the same data, and returns the place of the best that passes, -1 where none does, and what is said of each.
//
// One passes that is better than the champion over all, worse in no slice, and loses no more golden cases than the rule lets it. Of k that are no better the luckiest looks better more often than one
// alone, and they are alike, since they saw the same data and stand against the same champion: so the P values of "better" are corrected by Holm's method, which holds however they depend on each other.
// The chance that any is let through that is no better is at most alpha, and among those that are let through one may choose as one likes (it is the family-wise error that is held): the one that loses
// least. The order by the validation part, from which all k come, needs no correction: the exam's rows were not in it. "Worse" is a veto, and is corrected for the slices of each challenger alone.
func Choose(c Config, all ...Candidate) (best int, verdicts []Verdict) {
	best = -1
	var better []float64
	for i := range all {
		v := c.look(&all[i])
		v.Candidates = len(all)
		verdicts = append(verdicts, v)
		if p := v.Findings[0].Better; !math.IsNaN(p) {
			better = append(better, p)
		}
	}
	corrected, n := Holm(better), 0
	for i := range verdicts {
		v := &verdicts[i]
		if f := &v.Findings[0]; !math.IsNaN(f.Better) {
			f.Better = corrected[n]
			n++
		}
		c.rule(v, len(better))
		if v.Pass && (best < 0 || v.Findings[0].Challenger < verdicts[best].Findings[0].Challenger) {
			best = i
		}
	}
	return best, verdicts
}

// look finds what is known of a candidate, before it is known how many others there are.
func (c *Config) look(a *Candidate) (v Verdict) {
	v.Findings = []Finding{c.find(a.Overall)}
	for _, s := range a.Slices {
		v.Findings = append(v.Findings, c.find(s))
	}
	// Better is asked once, of all windows; worse of every slice.
	var worse []float64
	for _, f := range v.Findings {
		if !math.IsNaN(f.Worse) {
			worse = append(worse, f.Worse)
		}
	}
	corrected := Holm(worse)
	v.judged = len(worse)
	for i, n := 0, 0; i < len(v.Findings); i++ {
		if f := &v.Findings[i]; !math.IsNaN(f.Worse) {
			f.Worse = corrected[n]
			n++
		}
	}
	v.Golden, v.Lost = len(a.Golden), c.Golden.lost(a.Golden, c.Margin)
	return v
}

// rule says whether a candidate of so many that were judged passes, and why.
func (c *Config) rule(v *Verdict, candidates int) {
	all := &v.Findings[0]
	for i := range v.Findings {
		if f := &v.Findings[i]; f.Worse <= c.Alpha {
			v.Reason = fmt.Sprintf("worse in %s: loss %.4g against the champion's %.4g (p %.2g, corrected for %d slices%s)", f.Slice, f.Challenger, f.Champion, f.Worse, v.judged, f.pairs())
			return
		}
	}
	if c.Golden.Lost >= 0 && len(v.Lost) > c.Golden.Lost {
		v.Reason = fmt.Sprintf("it gets wrong %d of %d golden cases that the champion has right (of which %d may be lost): %s", len(v.Lost), v.Golden, c.Golden.Lost, list(v.Lost))
		return
	}
	golden := ""
	switch {
	case len(v.Lost) > 0:
		golden = fmt.Sprintf("; of %d golden cases %d are lost, as the rule lets it: %s", v.Golden, len(v.Lost), list(v.Lost))
	case v.Golden > 0:
		golden = fmt.Sprintf("; of %d golden cases none is lost", v.Golden)
	}
	if v.TooLittle = math.IsNaN(all.Better); v.TooLittle {
		v.Reason = fmt.Sprintf("too little to judge by: %d assets of %d that it takes%s", all.Blocks, c.MinBlocks, golden)
		return
	}
	p := fmt.Sprintf("p %.2g", all.Better)
	if candidates > 1 {
		p += fmt.Sprintf(", corrected for %d candidates", candidates)
	}
	p += all.pairs()
	if all.Better > c.Alpha {
		v.Reason = fmt.Sprintf("not shown to be better: loss %.4g against the champion's %.4g, gain %.4g in [%.4g, %.4g] (%s)", all.Challenger, all.Champion, all.Gain, all.Low, all.High, p)
		return
	}
	v.Pass = true
	v.Reason = fmt.Sprintf("better: loss %.4g against the champion's %.4g, gain %.4g in [%.4g, %.4g] (%s), and worse in none of %d slices%s", all.Challenger, all.Champion, all.Gain, all.Low, all.High, p,
		len(v.Findings), golden)
}

// pairs tells of the windows that only one had right.
func (f *Finding) pairs() string {
	if math.IsNaN(f.McNemar) {
		return ""
	}
	return fmt.Sprintf("; only the champion has %d right, only the challenger %d, McNemar's exact test by blocks, %d to %d: p %.2g", f.OnlyChampion, f.OnlyChallenger, f.ForChampion, f.ForChallenger, f.McNemar)
}
