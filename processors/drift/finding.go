package drift

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"andon/event"
)

// Finding and Estimate are told outside as they are.
type (
	Finding  = event.Finding
	Estimate = event.Estimate
)

// The measures.
const (
	MeasurePlace   = "place"   // ranks have moved, on average
	MeasureSpread  = "spread"  // ranks lie closer together, or further apart
	MeasureKS      = "ks"      // the greatest difference of the distribution functions
	MeasureMissing = "missing" // values are missing more often, or less
	MeasureMean    = "mean"    // the mean has moved, of a loss
	MeasureMMD     = "mmd"     // the embeddings' distribution, by the maximum mean discrepancy
	MeasureKind    = "kind"    // a camera that the reference does not know is further from its cameras than they are from each other
)

// Add adds another sketch of the same version to s: of another group, or of another partition. Features that only one of them has are left out, since nothing can be said of the whole.
func Add(s, o *event.Sketch) {
	if s.Windows == 0 {
		group := s.Group
		*s = *o
		s.Group = group
		s.Features = make([]event.SketchFeature, len(o.Features))
		for j := range o.Features {
			f := o.Features[j]
			f.Counts, f.Expected, f.Weights = slices.Clone(f.Counts), slices.Clone(f.Expected), slices.Clone(f.Weights)
			s.Features[j] = f
		}
		return
	}
	s.Start, s.End = min(s.Start, o.Start), max(s.End, o.End)
	s.Windows += o.Windows
	s.Clusters += o.Clusters
	s.Blocks += o.Blocks
	s.Squares += o.Squares
	s.BlockSquares += o.BlockSquares
	s.TP, s.FP, s.FN, s.TN, s.Brier = s.TP+o.TP, s.FP+o.FP, s.FN+o.FN, s.TN+o.TN, s.Brier+o.Brier
	both := s.Features[:0]
	for j := range s.Features {
		f := &s.Features[j]
		k := slices.IndexFunc(o.Features, func(g event.SketchFeature) bool { return g.Name == f.Name && g.Role == f.Role })
		if k < 0 || len(f.Counts) != len(o.Features[k].Counts) {
			continue
		}
		g := &o.Features[k]
		for b := range f.Counts {
			f.Counts[b] += g.Counts[b]
			f.Expected[b] += g.Expected[b]
		}
		for b := range min(len(f.Weights), len(g.Weights)) {
			f.Weights[b] += g.Weights[b]
		}
		f.Missing += g.Missing
		f.ExpectedMissing += g.ExpectedMissing
		f.Sum += g.Sum
		f.ExpectedSum += g.ExpectedSum
		f.SquaredSum += g.SquaredSum
		for t := range f.Tests {
			f.Tests[t] = plus(f.Tests[t], g.Tests[t])
		}
		f.Furthest = slices.Concat(f.Furthest, g.Furthest)
		f.Vector = addVector(f.Vector, g.Vector)
		both = append(both, *f)
	}
	s.Features = both
}

func plus(a, b event.Sums) event.Sums {
	return event.Sums{Sum: a.Sum + b.Sum, Square: a.Square + b.Square, ClusterSquare: a.ClusterSquare + b.ClusterSquare, ClusterCross: a.ClusterCross + b.ClusterCross,
		BlockSquare: a.BlockSquare + b.BlockSquare, BlockCross: a.BlockCross + b.BlockCross, Noise: a.Noise + b.Noise, Between: a.Between + b.Between, Drift: a.Drift + b.Drift,
		References: a.References + b.References}
}

// Compare holds every feature of a sketch against its reference.
func Compare(s *event.Sketch) []Finding {
	out := make([]Finding, 0, len(s.Features))
	if s.Windows == 0 {
		return out
	}
	for j := range s.Features {
		out = append(out, compareFeature(s, &s.Features[j]))
	}
	return out
}

// spreadOf is the variance of a test's mean and its degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2).
func spreadOf(s *event.Sketch, t *event.Sums) (variance, freedom float64) {
	n := float64(s.Windows)
	references := t.References / n
	assets, of := byAsset(t, n, s.Squares, s.Clusters), float64(s.Clusters-1)
	// Few assets tell little of how assets differ: the reference may know more.
	if between := t.Between / (n * n); between > assets {
		assets, of = between, references-1
	}
	noise := t.Noise / n
	var sum, squares float64
	for _, part := range [4][2]float64{{assets, of}, {byTime(t, n, s.BlockSquares, s.Blocks), float64(s.Blocks - 1)}, {noise * noise, references - 1}, {t.Drift / n, referenceParts - 1}} {
		if v := part[0]; v > 0 {
			sum += v
			squares += v * v / math.Max(part[1], 1)
		}
	}
	if sum == 0 {
		return 0, 1
	}
	return sum, math.Max(sum*sum/squares, 1)
}

// student is the two-sided P value of a mean with its variance.
func student(mean, variance, freedom float64) float64 {
	if variance <= 0 {
		if mean == 0 {
			return 1
		}
		return 0
	}
	t := math.Abs(mean) / math.Sqrt(variance)
	return math.Min(2*distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}.Survival(t), 1)
}

func compareFeature(s *event.Sketch, f *event.SketchFeature) Finding {
	n := float64(s.Windows)
	out := Finding{Feature: f.Name, Role: f.Role, Group: s.Group, Windows: s.Windows, Assets: s.Clusters, P: 1, Q: 1, Furthest: f.Furthest, Counts: f.Counts, Expected: f.Expected, Measure: MeasureKS}
	values := n - float64(f.Missing)
	out.Missing = (float64(f.Missing) - f.ExpectedMissing) / n
	out.Before, out.Now, out.Deviation = f.ExpectedSum/values, f.Sum/values, math.Sqrt(f.SquaredSum/values)
	if values == 0 {
		out.Before, out.Now, out.Deviation = 0, 0, 0
	}
	take := func(p float64, measure string, size float64) {
		if p < out.P {
			out.P, out.Measure, out.Size = p, measure, size
		}
	}
	v, freedom := spreadOf(s, &f.Tests[testPlace])
	place := f.Tests[testPlace].Sum / n
	out.Place, out.Spread = place, f.Tests[testSpread].Sum/n
	if f.Role == event.RoleLoss {
		take(student(place, v, freedom), MeasureMean, out.Now-out.Before)
		out.Q = out.P
		return out
	}
	// What one independent row's rank varies by, over what the mean's does.
	if out.Effective = values; s.Stranger && v == 0 {
		out.Effective = 0 // nothing is said of it
	} else if v > 0 {
		out.Effective = math.Min(f.Tests[testPlace].Square/n/v, values)
	}
	if values > 0 {
		distances(f, values, &out)
	}
	sv, sf := spreadOf(s, &f.Tests[testSpread])
	mv, mf := spreadOf(s, &f.Tests[testMissing])
	out.Size = out.KS
	if s.Stranger { // how it is spread, and from where, is its own matter
		take(student(place, v, freedom), MeasureKind, place)
		if f.Vector != nil {
			size, p := discrepancy(s, f.Vector)
			take(p, MeasureMMD, size)
		}
		out.Q = out.P
		return out
	}
	take(student(place, v, freedom), MeasurePlace, place)
	take(student(f.Tests[testSpread].Sum/n, sv, sf), MeasureSpread, f.Tests[testSpread].Sum/n)
	// Kolmogorov's limit is of many rows: with few effective ones it is held to the tests' own tails.
	if out.Effective >= 20 {
		take(kolmogorov(out.KS*math.Sqrt(out.Effective)), MeasureKS, out.KS)
	}
	tried := 3.0
	if f.Vector != nil {
		tried++
		size, p := discrepancy(s, f.Vector)
		take(p, MeasureMMD, size)
	}
	if f.Missing > 0 || f.ExpectedMissing > 0 {
		tried++
		take(student(f.Tests[testMissing].Sum/n, mv, mf), MeasureMissing, out.Missing)
	}
	out.P = math.Min(out.P*tried, 1)
	out.Q = out.P
	return out
}

// distances are those of the two histograms.
func distances(f *event.SketchFeature, values float64, out *Finding) {
	var cdf, js, overlap, bins float64
	for b, count := range f.Counts {
		is, was := float64(count), float64(f.Expected[b])
		p, q := was/values, is/values
		cdf += q - p
		out.KS = math.Max(out.KS, math.Abs(cdf))
		overlap += math.Sqrt(p * q)
		mid := (p + q) / 2
		js += plogp(p, mid)/2 + plogp(q, mid)/2
		if is+was < 0.5 {
			continue
		}
		bins++
		ps, qs := math.Max(was, 0.5)/values, math.Max(is, 0.5)/values
		out.PSI += (qs - ps) * math.Log(qs/ps)
	}
	// Under no change PSI is about chi-squared with bins-1 degrees of freedom over the effective rows (Yurdakul 2018, Statistical Properties of the Population Stability Index).
	out.PSI = math.Max(out.PSI-math.Max(bins-1, 0)/math.Max(out.Effective, 1), 0)
	out.Hellinger = math.Sqrt(math.Max(1-overlap, 0))
	out.JS = math.Sqrt(math.Max(js/math.Ln2, 0))
}

// falseDiscovery corrects the P values of a round for their number (Benjamini and Hochberg 1995, JRSS B 57), into Q.
func falseDiscovery(all []*Finding) {
	slices.SortStableFunc(all, func(a, b *Finding) int { return cmp.Compare(a.P, b.P) })
	least := 1.0
	for i := len(all) - 1; i >= 0; i-- {
		least = math.Min(least, all[i].P*float64(len(all))/float64(i+1))
		all[i].Q = least
	}
}

// Estimates tells what is expected of the model on the windows of a sketch, before the truth is known.
func Estimates(s *event.Sketch) (all []Estimate) {
	n := float64(s.Windows)
	for j := range s.Features {
		f := &s.Features[j]
		if f.Role == event.RoleLoss && s.Windows > int(f.Missing) {
			v, freedom := spreadOf(s, &f.Tests[testPlace])
			values := n - float64(f.Missing)
			sd := math.Sqrt(f.SquaredSum / values)
			e := Estimate{Metric: "loss", Windows: s.Windows, Value: f.Sum / values, Before: f.ExpectedSum / values, Error: math.Sqrt(v) * sd}
			if v == 0 {
				e.Error = math.NaN() // of cameras that the reference cannot judge
			}
			// Upward only: that it has become better is no reason to do anything.
			e.P = student(f.Tests[testPlace].Sum/n, v, freedom) / 2
			if e.Value < e.Before {
				e.P = 1 - e.P
			}
			all = append(all, e)
		}
		if len(f.Weights) > 0 {
			var c curve
			for b, w := range f.Weights {
				c.add(w, float64(f.Counts[b])-w)
			}
			m := Confusion{TP: s.TP, FP: s.FP, FN: s.FN, TN: s.TN, Squares: s.Brier}
			p := m.Performance()
			nan := math.NaN()
			for _, e := range []struct {
				metric string
				value  float64
			}{{"accuracy", p.Accuracy}, {"f1", p.F1}, {"roc_auc", c.area()}, {"brier", p.Brier}} {
				if e.value == e.value {
					all = append(all, Estimate{Metric: e.metric, Windows: s.Windows, Value: e.value, Before: nan, Error: nan, P: nan})
				}
			}
		}
	}
	return all
}
