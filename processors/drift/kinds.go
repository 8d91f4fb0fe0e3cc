package drift

import (
	"math"

	"andon/event"
)

// Cameras differ by nature: what one shows says little of what another does. So each that a reference knows is a stratum of its own, a kind, and compared with itself.
//
// One that comes later is a stranger. It is held against what the kinds have in common, each of which counts once, and it may stray from that as far as they stray from each other: its mean is one more draw
// from where theirs came from, so that its test has the variance between kinds, and once more what that leaves unknown of their own mean, with one degree of freedom less than there are kinds (the predictive
// distribution of a normal sample, as in Hahn and Meeker 1991, Statistical Intervals). Of one kind nothing is known of how kinds differ, and of two as good as nothing: their strangers are shown, and not judged.
// Values are taken for it and not ranks, which cannot tell what lies beyond all that was seen from what lies far beyond.

// Newcomer ends the name of a stranger's group, beside which there may be one of its own name, where it is held against itself.
const Newcomer = " (new)"

// leastKinds is of how many kinds something can be said of another.
const leastKinds = 3

// leastKind is how many rows of a feature a kind needs to be held against itself in it.
const leastKind = 20

// noRank is the standard deviation of a rank of which nothing is known.
const noRank = 0.29

// strange tells whether a stratum is that of strangers.
func (f *Feature) strange(s int) bool { return f.kinds > 0 && s == f.kinds }

// pool makes the stratum of strangers of the kinds, have rows of which have the feature; one with too few takes what all have in common.
func (b *profiler) pool(f *Feature, have []float64) {
	last := b.Kinds
	f.kinds = last
	p, n := make([]float64, len(f.P[last])), 0.0
	var means, squares, missing float64
	for s := range last {
		if have[s] < leastKind {
			continue
		}
		n++
		for k, share := range f.P[s] {
			p[k] += share
		}
		means += f.Means[s]
		squares += f.Deviations[s]*f.Deviations[s] + f.Means[s]*f.Means[s]
		missing += f.Missing[s]
	}
	if n == 0 {
		return // what feature has made of no rows is what all have
	}
	for k := range p {
		p[k] /= n
	}
	mean := means / n
	take := func(s int) {
		f.P[s], f.Means[s], f.Deviations[s], f.Missing[s] = append([]float64(nil), p...), mean, math.Sqrt(math.Max(squares/n-mean*mean, 0)), missing/n
	}
	take(last)
	for s := range last {
		if have[s] < leastKind {
			take(s)
		}
	}
}

// strangers learns what kinds' means are uncertain by, each by the parts of its own time, and how far they lie apart. rows are in order of time.
func (b *profiler) strangers(f *Feature, rows []int, residual [][tests]float64) {
	f.References, f.Between = referenceParts, [tests]float64{}
	of := make([][]int, b.Kinds+1)
	for k, i := range rows {
		of[b.stratum[i]] = append(of[b.stratum[i]], k)
	}
	last := b.Kinds
	var kinds, squares float64
	for s, own := range of[:last] {
		n := len(own)
		if n < leastKind {
			for t := range tests {
				f.Noise[t][s] = noRank
			}
			continue
		}
		groups := min(referenceParts, n/2)
		sums := make([][tests]float64, groups)
		for at, k := range own {
			for t, r := range residual[k] {
				sums[at*groups/n][t] += r
			}
		}
		for t := range tests {
			sum := 0.0
			for g := range sums {
				sum += float64(sums[g][t] * sums[g][t])
			}
			f.Noise[t][s] = math.Sqrt(sum*float64(groups)/float64(groups-1)) / float64(n)
		}
		kinds++
		z := (f.Means[s] - f.Means[last]) / math.Max(f.Deviations[last], 1e-12)
		squares += float64(z * z)
	}
	for t := range tests {
		f.Noise[t][last] = 0
	}
	// What is learned of these very kinds, as how they go together is, fits another less well by nature.
	if f.Strange, f.Known = 0, 0; kinds > 1 && f.Role != event.RoleTogether {
		f.Strange, f.Known = squares/(kinds-1), int(kinds)
	}
}

// estranged makes the sums of a test those of a stranger's: one more kind.
func (p *Profile) estranged(f *Feature, t int, sums *event.Sums, n, squares float64) {
	if t != testPlace || f.Known < leastKinds { // nothing is said
		*sums = event.Sums{References: 2 * n}
		return
	}
	kinds := float64(f.Known)
	// What its own pieces stray by is of ranks, whose variance is a twelfth. It is known well, but where the kinds are alike by chance it must not be all that speaks.
	sums.Between, sums.Drift, sums.References = f.Strange*(1+1/kinds)*squares+12*f.Drift[t]*n*n, 0, kinds*n
}
