package gate

import (
	"encoding/json"
	"fmt"
	"math"
)

// Sequence is a confidence sequence for the mean of bounded numbers: with a chance of at least 1-alpha the true mean is within [Low, High] at every moment at once, so that looking often, and
// stopping when one likes, costs nothing (Waudby-Smith and Ramdas 2023, Estimating means of bounded random variables by betting, JRSS B 86: the predictable plug-in empirical Bernstein
// sequence). The numbers may depend on the past, as long as each has the same mean given it.
//
// For a canary a number is the champion's loss less the challenger's on one asset's windows of a period, both between 0 and 1: Low above 0 is proof that the challenger is better, High
// below 0 that it is worse.
type Sequence struct {
	s sequence
}

type sequence struct {
	Alpha float64 `json:"alpha"`
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
	N     int     `json:"n"`
	// Sums of bets, of bets times numbers, of what they cost, of the numbers and of squared deviations, all of numbers moved to [0, 1].
	Bets    float64 `json:"bets"`
	Won     float64 `json:"won"`
	Cost    float64 `json:"cost"`
	Sum     float64 `json:"sum"`
	Squares float64 `json:"squares"`
	// The closest bounds so far: what was ruled out once stays so.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// mostBet bounds a bet: a bet of 1 could lose all.
const mostBet = 0.5

// NewSequence makes a sequence for numbers between least and most.
func NewSequence(alpha, least, most float64) *Sequence {
	return &Sequence{sequence{Alpha: alpha, Least: least, Most: most, Low: 0, High: 1}}
}

// Add takes the next number; one outside of the bounds is an error and is not taken.
func (q *Sequence) Add(x float64) error {
	s := &q.s
	if !(x >= s.Least && x <= s.Most) {
		return fmt.Errorf("%v is not between %v and %v", x, s.Least, s.Most)
	}
	x = (x - s.Least) / (s.Most - s.Least)
	n := float64(s.N)
	// Both from the numbers before, with one of a half among them.
	mean, variance := (0.5+s.Sum)/(n+1), (0.25+s.Squares)/(n+1)
	s.N++
	n++
	bet := math.Min(math.Sqrt(2*math.Log(2/s.Alpha)/(variance*n*math.Log(1+n))), mostBet)
	surprise := 4 * (x - mean) * (x - mean)
	s.Bets += bet
	s.Won += bet * x
	s.Cost += surprise * (-math.Log1p(-bet) - bet) / 4
	s.Sum += x
	now := (0.5 + s.Sum) / (n + 1)
	s.Squares += (x - now) * (x - now)
	center, radius := s.Won/s.Bets, (math.Log(2/s.Alpha)+s.Cost)/s.Bets
	s.Low, s.High = math.Max(s.Low, center-radius), math.Min(s.High, center+radius)
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

// Interval returns the bounds of the mean. They only come closer.
func (q *Sequence) Interval() (low, high float64) {
	width := q.s.Most - q.s.Least
	return q.s.Least + q.s.Low*width, q.s.Least + q.s.High*width
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
	if !(s.Alpha > 0 && s.Alpha < 1 && s.Most > s.Least && s.N >= 0 && s.Bets >= 0) {
		return fmt.Errorf("read a confidence sequence: %+v is none", s)
	}
	q.s = s
	return nil
}
