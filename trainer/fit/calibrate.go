package fit

import (
	"math"
	"slices"
)

// Logistic is the probability 1/(1+exp(-(Slope*x+Offset))).
type Logistic struct{ Slope, Offset float64 }

// At returns the probability at x.
func (l Logistic) At(x float64) float64 { return 1 / (1 + math.Exp(-(l.Slope*x + l.Offset))) }

// Platt fits the probability of yes to x (Platt 1999, with Newton's method as in Lin, Lin and Weng 2007). It reports false if there is nothing to fit: all
// answers are the same, or they follow x in the wrong direction, a higher x meaning a higher probability.
func Platt(x []float64, yes []bool) (Logistic, bool) {
	var pos, neg float64
	for _, y := range yes {
		if y {
			pos++
		} else {
			neg++
		}
	}
	if pos == 0 || neg == 0 {
		return Logistic{}, false
	}
	high, low := (pos+1)/(pos+2), 1/(neg+2)
	// Newton's method runs on standardised x, so that its matrix is well conditioned.
	mean, sd := moments(x)
	if sd == 0 {
		return Logistic{}, false
	}
	l := Logistic{Offset: math.Log((pos + 1) / (neg + 1))}
	loss := func(l Logistic) float64 {
		sum := 0.0
		for i, v := range x {
			t := low
			if yes[i] {
				t = high
			}
			z := l.Slope*(v-mean)/sd + l.Offset
			sum += softplus(z) - t*z
		}
		return sum
	}
	now := loss(l)
	for range 100 {
		var g0, g1, h00, h01, h11 float64
		for i, v := range x {
			t, u := low, (v-mean)/sd
			if yes[i] {
				t = high
			}
			p := l.At(u)
			d, w := p-t, p*(1-p)
			g0, g1 = g0+d*u, g1+d
			h00, h01, h11 = h00+w*u*u, h01+w*u, h11+w
		}
		const ridge = 1e-9
		h00, h11 = h00+ridge, h11+ridge
		det := h00*h11 - h01*h01
		ds, do := (h11*g0-h01*g1)/det, (h00*g1-h01*g0)/det
		step, next, better := 1.0, l, false
		for ; step > 1e-8 && !better; step /= 2 {
			next = Logistic{Slope: l.Slope - step*ds, Offset: l.Offset - step*do}
			better = loss(next) < now
		}
		if !better {
			break
		}
		was := now
		l, now = next, loss(next)
		if was-now < 1e-10*math.Abs(was) {
			break
		}
	}
	l = Logistic{Slope: l.Slope / sd, Offset: l.Offset - l.Slope*mean/sd}
	return l, l.Slope < 0
}

func softplus(z float64) float64 { return math.Max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) }

func moments(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, math.Sqrt(sd)
}

// Quantile returns the smallest of x that at least the share q of x does not exceed. x must not be empty.
func Quantile(x []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(x))
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// Robust returns the median of x and its median absolute deviation, scaled to the standard deviation of normal numbers.
func Robust(x []float64) (center, spread float64) {
	center = Quantile(x, 0.5)
	dev := make([]float64, len(x))
	for i, v := range x {
		dev[i] = math.Abs(v - center)
	}
	return center, 1.4826 * Quantile(dev, 0.5)
}
