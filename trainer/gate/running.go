package gate

import "math"

// Running returns bounds of the mean so far of what the numbers were to be expected to be, given those before each. It may wander as it likes: with a chance of at least 1-alpha it is within the bounds at
// every moment at once. They are wider than Interval, which is of a mean that stays, and may grow again, since the mean so far moves.
//
// It is an empirical Bernstein sequence (Howard, Ramdas, McAuliffe and Sekhon 2021, Annals of Statistics 49, theorem 4): for every rate between 0 and 1, exp(rate * S - psi(rate) * V) with psi(rate) =
// -log(1-rate) - rate is no more than 1 to be expected, at any time, where S sums up how far the numbers, moved to [0, 1], were from what was to be expected and V their squared distances from a guess
// that was made before each (Fan, Grama and Liu 2015, Electronic Journal of Probability 20). A mean of such over several rates (Robbins 1970) exceeds 2/alpha ever with a chance of at most alpha/2.
func (q *Sequence) Running() (low, high float64) {
	s := &q.s
	if s.N == 0 {
		return s.Least, s.Most
	}
	n := float64(s.N)
	far := boundary(s.Spread, 2/s.Alpha) / n * (s.Most - s.Least)
	mean := q.Mean()
	return max(mean-far, s.Least), min(mean+far, s.Most)
}

// rates of the mixture: from bets for a handful of numbers to such for some millions.
const rates = 14

// boundary is the least sum of deviations at which the mixture exceeds limit, where the squared distances sum up to v.
func boundary(v, limit float64) float64 {
	exceeds := func(s float64) bool {
		sum := 0.0
		for k := range rates {
			rate := .8 * math.Pow(.6, float64(k))
			weight := (1 / float64(k+1)) - (1 / float64(k+2)) // they sum up to less than 1
			sum += weight * math.Exp(rate*s-(-math.Log1p(-rate)-rate)*v)
		}
		return sum >= limit
	}
	low, high := 0.0, 1.0
	for !exceeds(high) {
		low, high = high, 2*high
	}
	for range 30 {
		if mid := (low + high) / 2; exceeds(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
