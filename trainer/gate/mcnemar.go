package gate

import "math"

// McNemar compares two classifiers on the same windows: onlyChampion and onlyChallenger are how many windows just the one had right; or how many blocks are for the one, where windows of a block depend on
// each other: then it is the sign test of blocks. It returns the one-sided P value of "the challenger is not better", exact at every number, also below 25 discordant pairs, where McNemar's own
// approximation is not to be used: the chance that a fair coin falls so often for the challenger (McNemar 1947, Psychometrika 12; Liddell 1983, Journal of Epidemiology and Community Health 37).
func McNemar(onlyChampion, onlyChallenger int) float64 {
	n := onlyChampion + onlyChallenger
	if n == 0 {
		return 1
	}
	// P(X >= onlyChallenger) for X of n tosses, summed from the far end, in logarithms.
	p, half := 0.0, float64(n)*math.Ln2
	for k := n; k >= onlyChallenger; k-- {
		p += math.Exp(choose(n, k) - half)
	}
	return math.Min(p, 1)
}

// choose is the logarithm of n over k.
func choose(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return lg(n) - lg(k) - lg(n-k)
}
