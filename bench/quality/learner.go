package main

import "math"

// bayes is River's GaussianNB: a normal distribution for each class and feature. A variance of 0, or of one row, gives no density, as there.
type bayes struct {
	classes  int
	features int
	total    float64
	n        []float64
	mean, m2 []float64 // by class, then feature
}

func newBayes(classes, features int) *bayes {
	return &bayes{classes: classes, features: features, n: make([]float64, classes), mean: make([]float64, classes*features), m2: make([]float64, classes*features)}
}

const halfLogTau = 0.9189385332046727

// predict returns the likeliest class, -1 before the first row.
func (b *bayes) predict(x []float64) int {
	best, most := -1, math.Inf(-1)
	for c := range b.classes {
		if b.n[c] == 0 {
			continue
		}
		ll := math.Log(b.n[c] / b.total)
		for i, v := range x {
			if v != v {
				continue
			}
			at := c*b.features + i
			variance := 0.0
			if b.n[c] > 1 {
				variance = b.m2[at] / (b.n[c] - 1)
			}
			if variance <= 0 {
				ll = math.Inf(-1)
				break
			}
			d := v - b.mean[at]
			ll += d*d/(-2*variance) - halfLogTau - 0.5*math.Log(variance)
		}
		if best < 0 || ll > most {
			best, most = c, ll
		}
	}
	return best
}

func (b *bayes) learn(x []float64, class int) {
	b.n[class]++
	b.total++
	for i, v := range x {
		if v != v {
			continue
		}
		at := class*b.features + i
		d := v - b.mean[at]
		b.mean[at] += d / b.n[class]
		b.m2[at] += d * (v - b.mean[at])
	}
}
