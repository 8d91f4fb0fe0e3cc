package drift

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Distance says how far a window of new values is from their reference. Distances of binned distributions; P values are chances of a difference as large where nothing
// has changed.
type Distance struct {
	// KS is the greatest difference of the distribution functions at the bins' edges, between 0 and 1 (Kolmogorov and Smirnov), and KSP its P value, asymptotic.
	KS, KSP float64
	// PSI is the population stability index: 0.1 counts as little, 0.25 as much. Empty bins count as half a value.
	PSI float64
	// JensenShannon is the square root of the divergence to base 2, Hellinger the distance of Hellinger; both between 0 and 1.
	JensenShannon, Hellinger float64
	// Wasserstein is the earth mover's distance, in units of the feature, between the means of the bins.
	Wasserstein float64
	// Chi2 is Pearson's statistic of homogeneity over bins with values, Chi2P its P value.
	Chi2, Chi2P float64
	// Missing is the share of values missing less that of the reference, MissingP the two-sided P value of the difference.
	Missing, MissingP float64
}

// Distance compares the window with its reference. A window without values is no distance away, but for what is missing.
func (w *Window) Distance() Distance {
	r := w.ref
	d := Distance{KSP: 1, Chi2P: 1}
	d.Missing, d.MissingP = proportions(w.missing, w.n+w.missing, r.missing, r.n+r.missing)
	if w.n == 0 {
		return d
	}
	var cdf, js, overlap, freedom float64
	total := r.n + w.n
	for i, was := range r.counts {
		is := w.counts[i]
		p, q := was/r.n, is/w.n
		cdf += q - p
		d.KS = math.Max(d.KS, math.Abs(cdf))
		overlap += math.Sqrt(p * q)
		mid := (p + q) / 2
		js += plogp(p, mid)/2 + plogp(q, mid)/2
		ps, qs := math.Max(was, 0.5)/r.n, math.Max(is, 0.5)/w.n
		if was+is > 0 {
			d.PSI += (qs - ps) * math.Log(qs/ps)
			freedom++
			for _, side := range [2][2]float64{{was, r.n}, {is, w.n}} {
				expected := (was + is) * side[1] / total
				d.Chi2 += (side[0] - expected) * (side[0] - expected) / expected
			}
		}
	}
	d.Hellinger = math.Sqrt(math.Max(1-overlap, 0))
	d.JensenShannon = math.Sqrt(math.Max(js/math.Ln2, 0))
	d.KSP = kolmogorov(d.KS * math.Sqrt(r.n*w.n/total))
	if freedom > 1 {
		d.Chi2P = mathext.GammaIncRegComp((freedom-1)/2, d.Chi2/2)
	}
	d.Wasserstein = w.wasserstein()
	return d
}

// plogp is p log(p/m), 0 for p = 0.
func plogp(p, m float64) float64 {
	if p == 0 {
		return 0
	}
	return p * math.Log(p/m)
}

// wasserstein is the area between the distribution functions, each a step at the mean of a bin's own values.
func (w *Window) wasserstein() float64 {
	r := w.ref
	// Both step functions' places are in order of bins: a bin's two means lie in the same bin.
	area, gap, last := 0.0, 0.0, math.NaN()
	step := func(at, by float64) {
		if last == last {
			area += math.Abs(gap) * (at - last)
		}
		gap += by
		last = at
	}
	for i, was := range r.counts {
		is, p := w.counts[i], was/r.n
		if is == 0 {
			if was > 0 {
				step(r.means[i], p)
			}
			continue
		}
		mean, q := w.sums[i]/is, is/w.n
		switch {
		case was == 0:
			step(mean, -q)
		case mean < r.means[i]:
			step(mean, -q)
			step(r.means[i], p)
		default:
			step(r.means[i], p)
			step(mean, -q)
		}
	}
	return area
}

// kolmogorov is the chance that the limit of the scaled statistic passes x (Kolmogorov 1933).
func kolmogorov(x float64) float64 {
	if x < 0.2 {
		return 1 // to within 1e-12
	}
	sum := 0.0
	for k := 1; k <= 100; k++ {
		term := math.Exp(-2 * float64(k*k) * x * x)
		if k%2 == 0 {
			term = -term
		}
		sum += term
		if math.Abs(term) < 1e-16 {
			break
		}
	}
	return math.Min(math.Max(2*sum, 0), 1)
}

// proportions compares a of n with b of m: the difference of the shares, and the two-sided P value of the pooled test.
func proportions(a, n, b, m float64) (difference, p float64) {
	if n == 0 || m == 0 {
		return 0, 1
	}
	difference = a/n - b/m
	pooled := (a + b) / (n + m)
	sd := math.Sqrt(pooled * (1 - pooled) * (1/n + 1/m))
	if sd == 0 {
		return difference, 1
	}
	return difference, math.Erfc(math.Abs(difference) / sd / math.Sqrt2)
}
