package drift

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Performance is what a classifier that says yes or no is expected to be worth on some rows; NaN where that cannot be said, as the area under the curve of rows that are all the same.
type Performance struct {
	// Accuracy is the share of right answers, F1 the harmonic mean of precision and recall of yes, ROCAUC the area under the curve of the score, Brier the mean squared error of the probability.
	Accuracy, F1, ROCAUC, Brier float64
	// AccuracyError is the standard deviation of the realised accuracy about the expected one, by the lots that rows of these probabilities are.
	AccuracyError float64
}

// CBPE estimates a classifier's performance before the truth is known, from the probability of yes of each row alone (confidence-based performance estimation, as in NannyML,
// https://nannyml.readthedocs.io; Guillory and others 2021, Predicting with Confidence on Unseen Distributions). It holds as long as the probabilities are calibrated on the rows: a shift of what is
// asked is seen, a change of what the answer should be is not. scores are the classifier's, which order the rows and say yes from threshold on; probabilities are the same, calibrated, of the
// same length.
func CBPE(scores, probabilities []float64, threshold float64) (Performance, error) {
	n := len(scores)
	if n == 0 || n != len(probabilities) {
		return Performance{}, fmt.Errorf("estimate performance: %d scores and %d probabilities", n, len(probabilities))
	}
	var m Confusion
	spread := 0.0
	for i, s := range scores {
		p := probabilities[i]
		if s != s || !(p >= 0 && p <= 1) {
			return Performance{}, fmt.Errorf("estimate performance: row %d has score %v and probability %v", i, s, p)
		}
		m.Add(p, s >= threshold)
		spread += p * (1 - p)
	}
	out := m.Performance()
	out.AccuracyError = math.Sqrt(spread) / float64(n)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	var c curve
	for i := 0; i < n; {
		var yes, no float64
		for at := scores[order[i]]; i < n && scores[order[i]] == at; i++ { // rows of one score are told apart by nobody
			p := probabilities[order[i]]
			yes, no = yes+p, no+1-p
		}
		c.add(yes, no)
	}
	out.ROCAUC = c.area()
	return out, nil
}

// Confusion is the expected table of right and wrong answers; those of several chunks add up.
type Confusion struct {
	TP, FP, FN, TN float64
	// Squares is the sum of p(1-p), the expected squared error of a calibrated probability.
	Squares float64
}

// Add takes one row: its probability of yes, and what was answered.
func (m *Confusion) Add(p float64, yes bool) {
	if yes {
		m.TP += p
		m.FP += 1 - p
	} else {
		m.FN += p
		m.TN += 1 - p
	}
	m.Squares += float64(p * (1 - p))
}

// Performance tells all but ROCAUC and AccuracyError, which need the rows.
func (m *Confusion) Performance() Performance {
	n := m.TP + m.FP + m.FN + m.TN
	nan := math.NaN()
	p := Performance{Accuracy: (m.TP + m.TN) / n, F1: m.TP / (m.TP + (m.FP+m.FN)/2), Brier: m.Squares / n, ROCAUC: nan, AccuracyError: nan}
	if m.TP+m.FP+m.FN == 0 {
		p.F1 = nan
	}
	return p
}

// curve adds up the area under the curve from the lowest score to the highest.
type curve struct{ yes, no, pairs float64 }

// add takes the rows of the next score: so many expected yes and no.
func (c *curve) add(yes, no float64) {
	c.pairs += float64(yes * (c.no + no/2))
	c.yes, c.no = c.yes+yes, c.no+no
}

func (c *curve) area() float64 {
	if c.yes == 0 || c.no == 0 {
		return math.NaN()
	}
	return c.pairs / (c.yes * c.no)
}

// Isotonic turns a score into a probability that never falls as the score rises: linear between knots, level beyond the first and the last. The zero Isotonic leaves scores as they are, held to 0..1.
type Isotonic struct {
	Score, Probability []float64
}

// FitIsotonic learns the probability of yes from scores and answers, of which there must be both kinds, by pooling adjacent violators (Ayer and others 1955, Annals of Mathematical Statistics 26;
// as a calibration Zadrozny and Elkan 2002, KDD). At most most knots are kept, 0 for all: those of the largest steps.
func FitIsotonic(scores []float64, yes []bool, most int) (Isotonic, error) {
	n, positives := len(scores), 0
	if n != len(yes) {
		return Isotonic{}, fmt.Errorf("calibrate: %d scores and %d answers", n, len(yes))
	}
	order := make([]int, n)
	for i := range order {
		if order[i] = i; scores[i] != scores[i] {
			return Isotonic{}, fmt.Errorf("calibrate: row %d has no score", i)
		}
		if yes[i] {
			positives++
		}
	}
	if positives == 0 || positives == n {
		return Isotonic{}, errors.New("calibrate: all answers are the same")
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	type pool struct{ low, high, sum, n float64 }
	var pools []pool
	for i := 0; i < n; {
		p := pool{low: scores[order[i]], high: scores[order[i]]}
		for ; i < n && scores[order[i]] == p.low; i++ {
			p.n++
			if yes[order[i]] {
				p.sum++
			}
		}
		pools = append(pools, p)
		for len(pools) > 1 {
			a, b := &pools[len(pools)-2], pools[len(pools)-1]
			if a.sum*b.n < b.sum*a.n {
				break
			}
			a.high, a.sum, a.n = b.high, a.sum+b.sum, a.n+b.n
			pools = pools[:len(pools)-1]
		}
	}
	for most > 0 && 2*len(pools) > most && len(pools) > 1 { // the two whose levels are closest become one
		at, least := 0, math.Inf(1)
		for i := range len(pools) - 1 {
			if gap := pools[i+1].sum/pools[i+1].n - pools[i].sum/pools[i].n; gap < least {
				at, least = i, gap
			}
		}
		a, b := &pools[at], pools[at+1]
		a.high, a.sum, a.n = b.high, a.sum+b.sum, a.n+b.n
		pools = append(pools[:at+1], pools[at+2:]...)
	}
	var c Isotonic
	for _, p := range pools {
		c.Score, c.Probability = append(c.Score, p.low), append(c.Probability, p.sum/p.n)
		if p.high > p.low {
			c.Score, c.Probability = append(c.Score, p.high), append(c.Probability, p.sum/p.n)
		}
	}
	return c, nil
}

// At returns the probability of a score.
func (c *Isotonic) At(score float64) float64 {
	n := len(c.Score)
	if n == 0 {
		return math.Min(math.Max(score, 0), 1)
	}
	i, _ := slices.BinarySearch(c.Score, score)
	switch {
	case i == 0:
		return c.Probability[0]
	case i == n:
		return c.Probability[n-1]
	}
	share := (score - c.Score[i-1]) / (c.Score[i] - c.Score[i-1])
	return c.Probability[i-1] + float64(share*(c.Probability[i]-c.Probability[i-1]))
}

// CalibrationError is the mean distance between probability and share of yes over bins of as many rows each (Naeini, Cooper and Hauskrecht 2015, AAAI).
func CalibrationError(probabilities []float64, yes []bool, bins int) float64 {
	n := len(probabilities)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(probabilities[a], probabilities[b]) })
	sum := 0.0
	for b := range bins {
		gap := 0.0
		for _, i := range order[b*n/bins : (b+1)*n/bins] {
			gap += probabilities[i]
			if yes[i] {
				gap--
			}
		}
		sum += math.Abs(gap) / float64(n)
	}
	return sum
}

// Calibrate fits an Isotonic if that makes the scores better probabilities on rows that it was not fitted to, and the zero one otherwise: half the rows, in turns of blocks, fit and the other
// half judge, both ways (NannyML does so on random splits). Rows are in the order in which they came.
func Calibrate(scores []float64, yes []bool, most int) Isotonic {
	const blocks, bins = 10, 10
	var part [2]struct {
		scores []float64
		yes    []bool
	}
	for i, s := range scores {
		p := &part[i*blocks/len(scores)%2]
		p.scores, p.yes = append(p.scores, s), append(p.yes, yes[i])
	}
	before, after := 0.0, 0.0
	for k := range part {
		fitted, err := FitIsotonic(part[k].scores, part[k].yes, most)
		if err != nil {
			return Isotonic{}
		}
		other := &part[1-k]
		var raw, calibrated []float64
		var none Isotonic
		for _, s := range other.scores {
			raw, calibrated = append(raw, none.At(s)), append(calibrated, fitted.At(s))
		}
		before += CalibrationError(raw, other.yes, bins)
		after += CalibrationError(calibrated, other.yes, bins)
	}
	if after >= before {
		return Isotonic{}
	}
	c, _ := FitIsotonic(scores, yes, most)
	return c
}
