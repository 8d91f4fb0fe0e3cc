package gate

import (
	"encoding/json"
	"fmt"
	"math"
)

// Sequence is a confidence sequence for the mean of bounded numbers: with a chance of at least 1-alpha the true mean is within [Low, High] at every moment at once, so that looking often, and
// stopping when one likes, costs nothing. Either bound alone is wrong with a chance of at most alpha/2. It is the hedged capital sequence of Waudby-Smith and Ramdas 2023 (Estimating means of bounded
// random variables by betting, JRSS B 86, theorem 3): for every mean that might be true somebody bets that the numbers are higher, and somebody that they are lower, in a game that is fair if it is
// true; a mean is ruled out when one of them has become too rich for that. Nothing is assumed of the numbers but their bounds, and that each has the same mean given those before it.
//
// Where that mean changes, as with a fleet whose mix of machines does, this is what still holds: if no number was to be expected above a mean, given those before it, then that mean is ruled out from below
// with a chance of at most alpha/2, since he who bets on higher ones plays a game that is fair at best; and so from above. So a challenger that is at no time better is promoted with at most that chance,
// and one that is at no time worse rejected with at most that, however much what it gains or loses goes up and down. What does not hold is that [Low, High] has the mean so far in it: of one that
// was better at first and worse later it may say "better" for good. Running bounds the mean so far whatever it does.
//
// For a canary a number is the champion's loss less the challenger's on one asset's windows, both between 0 and 1: Low above 0 is proof that the challenger is better, High below 0 that it is worse.
type Sequence struct {
	s sequence
}

// points is how many means are held to the numbers, evenly from least to most, which are the first and the last. It is odd, so that the one in the middle, no difference, is among them.
const points = 401

type sequence struct {
	Alpha float64 `json:"alpha"`
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
	N     int     `json:"n"`
	// Sum and Squares are of the numbers and of squared deviations, of numbers moved to [0, 1].
	Sum     float64 `json:"sum"`
	Squares float64 `json:"squares"`
	// Spread is the sum of squared distances from what was the mean before each.
	Spread float64 `json:"spread"`
	// Higher and Lower are the capitals of those who bet on higher and on lower numbers than each mean; they began with 1.
	Higher [points]float64 `json:"higher"`
	Lower  [points]float64 `json:"lower"`
	// Low and High are the places of the outermost means that are not ruled out: what was ruled out once stays so.
	Low  int `json:"low"`
	High int `json:"high"`
}

// mostBet bounds a bet, as a share of the capital that the worst number would take.
const mostBet = 0.9

// NewSequence makes a sequence for numbers between least and most.
func NewSequence(alpha, least, most float64) *Sequence {
	q := &Sequence{sequence{Alpha: alpha, Least: least, Most: most, High: points - 1}}
	for i := range points {
		q.s.Higher[i], q.s.Lower[i] = 1, 1
	}
	return q
}

// Add takes the next number; one outside of the bounds is an error and is not taken.
func (q *Sequence) Add(x float64) error {
	s := &q.s
	if !(x >= s.Least && x <= s.Most) {
		return fmt.Errorf("%v is not between %v and %v", x, s.Least, s.Most)
	}
	x = (x - s.Least) / (s.Most - s.Least)
	n := float64(s.N)
	// From the numbers before, with one of a half among them: a bet must not know what it is on.
	variance := (0.25 + s.Squares) / (n + 1)
	guess := (0.5 + s.Sum) / (n + 1)
	s.Spread += (x - guess) * (x - guess)
	s.N++
	n++
	bet := math.Sqrt(2 * math.Log(2/s.Alpha) / (variance * n * math.Log(1+n)))
	for i := s.Low; i < points; i++ { // those below are ruled out already
		m := float64(i) / (points - 1)
		s.Higher[i] *= 1 + min(bet, mostBet/max(m, 1e-9))*(x-m)
	}
	for i := range s.High + 1 {
		m := float64(i) / (points - 1)
		s.Lower[i] *= 1 - min(bet, mostBet/max(1-m, 1e-9))*(x-m)
	}
	s.Sum += x
	now := (0.5 + s.Sum) / (n + 1)
	s.Squares += (x - now) * (x - now)
	// The capitals fall and rise with the mean, so the ruled out are at the ends.
	rich := 2 / s.Alpha
	for s.Low < s.High && s.Higher[s.Low] >= rich {
		s.Low++
	}
	for s.High > s.Low && s.Lower[s.High] >= rich {
		s.High--
	}
	return nil
}

// N returns how many numbers were taken.
func (q *Sequence) N() int { return q.s.N }

// Mean returns their mean, 0 before the first.
func (q *Sequence) Mean() float64 {
	if q.s.N == 0 {
		return 0
	}
	return q.s.Least + q.s.Sum/float64(q.s.N)*(q.s.Most-q.s.Least)
}

// Interval returns the bounds of the mean: the last means on either side that are ruled out, or a hair within them, so that a bound beyond 0 says that 0 is ruled out. They only come closer.
func (q *Sequence) Interval() (low, high float64) {
	s := &q.s
	at := func(i int) float64 { return s.Least + float64(i)/(points-1)*(s.Most-s.Least) }
	hair := (s.Most - s.Least) / (points - 1) / 1024
	low, high = s.Least, s.Most
	if s.Low > 0 {
		low = at(s.Low-1) + hair
	}
	if s.High < points-1 {
		high = at(s.High+1) - hair
	}
	return low, high
}

// Verdicts of a canary.
const (
	Continue = "continue"
	Promote  = "promote"
	Reject   = "reject"
)

// Canary says what the sequence of gains has shown.
func (q *Sequence) Canary() string {
	switch low, high := q.Interval(); {
	case low > 0:
		return Promote
	case high < 0:
		return Reject
	}
	return Continue
}

// MarshalJSON writes the state, UnmarshalJSON goes on from one.
func (q *Sequence) MarshalJSON() ([]byte, error) { return json.Marshal(q.s) }

// UnmarshalJSON goes on from a state.
func (q *Sequence) UnmarshalJSON(data []byte) error {
	var s sequence
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read a confidence sequence: %w", err)
	}
	if !(s.Alpha > 0 && s.Alpha < 1 && s.Most > s.Least && s.N >= 0 && s.Low >= 0 && s.High < points && s.Low <= s.High) {
		return fmt.Errorf("read a confidence sequence: it says alpha %v, %d numbers between %v and %v, places %d to %d, which is none", s.Alpha, s.N, s.Least, s.Most, s.Low, s.High)
	}
	q.s = s
	return nil
}
