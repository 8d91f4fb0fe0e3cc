// Package surprise finds anomalies in a stream of one signal without training: how far its newest stretch is from the nearest of its past, and how unlikely such a distance is for this signal.
//
// The distance is that of nearest-neighbour discords (Keogh, Lin and Fu 2005, HOT SAX: Efficiently Finding the Most Unusual Time Series Subsequence, ICDM), against a bounded past; its likelihood that of Ahmad, Lavin,
// Purdy and Agha (2017, Unsupervised real-time anomaly detection for streaming data, Neurocomputing 262): the mean of the newest distances against the normal distribution of many. No pipeline uses
// it yet; bench/nab measures it.
package surprise

import (
	"errors"
	"fmt"
	"math"
)

// Config are the settings.
type Config struct {
	// Warm is how many values come before anything is said; the signal's scale is learned from them.
	Warm int
	// Length is that of a stretch, in values.
	Length int
	// Past is how many stretches are remembered, one of every Stride values.
	Past, Stride int
	// Long is of how many distances the distribution is, Short how many of the newest are held against it.
	Long, Short int
	// Alarm is the score from which on something is said to be an anomaly; after it the score is cut for Rest values, so that one is told once.
	Alarm float64
	Rest  int
}

// Default returns the settings that were best on every second file of bench/nab, of fourteen that were tried. All fourteen were between 56 and 70 there.
func Default() Config {
	return Config{Warm: 500, Length: 6, Past: 700, Stride: 3, Long: 1000, Short: 2, Alarm: 0.5, Rest: 150}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	check(c.Length >= 1 && c.Length <= 1000, "length", c.Length, "between 1 and 1000")
	check(c.Warm >= 4*c.Length && c.Warm <= 1_000_000, "warm", c.Warm, "between four times length and 1000000")
	check(c.Past >= 1 && c.Past <= 100_000, "past", c.Past, "between 1 and 100000")
	check(c.Stride >= 1, "stride", c.Stride, "at least 1")
	check(c.Long >= enough && c.Long <= 1_000_000, "long", c.Long, fmt.Sprintf("between %d and 1000000", enough))
	check(c.Short >= 1 && c.Short <= c.Long, "short", c.Short, "between 1 and long")
	check(c.Alarm > 0, "alarm", c.Alarm, "above 0")
	check(c.Rest >= 0, "rest", c.Rest, "0 or more")
	return errors.Join(errs...)
}

// enough is how many distances a distribution is made of at least.
const enough = 50

// leastSpread keeps a signal that repeats itself exactly from crying at its first rounding error: distances are in the signal's deviations.
const leastSpread = 0.003

// Detector watches one signal. It holds Past*Length + Long numbers, and the first Warm until they have come. It is not safe for concurrent use.
type Detector struct {
	cfg   Config
	early []float64
	scale float64
	n     int // values since the scale is known
	// tail is the newest values, the newest last: two stretches.
	tail []float64
	// past holds stretches one after the other, the oldest at at*Length once it is full.
	past []float64
	at   int
	// far is a ring of distances.
	far  []float64
	next int
	// rest counts the values until the score is whole again.
	rest int
}

// New makes a detector; the configuration must be valid.
func New(cfg Config) *Detector { return &Detector{cfg: cfg} }

// Update takes the next value and returns its score: 0 as usual, 1 as unlikely as one in ten thousand million, and no more than 30; 0 while it is warming up. NaN is skipped.
func (d *Detector) Update(x float64) (score float64) {
	if x != x {
		return 0
	}
	if d.scale > 0 {
		return d.take(x, true)
	}
	if d.early = append(d.early, x); len(d.early) < d.cfg.Warm {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, v := range d.early {
		mean += v / float64(len(d.early))
	}
	for _, v := range d.early {
		squares += (v - mean) * (v - mean)
	}
	d.scale = math.Sqrt(squares/float64(len(d.early))) + 1e-9
	for _, v := range d.early {
		d.take(v, false)
	}
	d.early = nil
	return 0
}

func (d *Detector) take(x float64, tell bool) float64 {
	m := d.cfg.Length
	d.tail = append(d.tail, x)
	if len(d.tail) > 2*m {
		d.tail = append(d.tail[:0], d.tail[len(d.tail)-2*m:]...)
	}
	d.n++
	if len(d.tail) < 2*m {
		return 0
	}
	score := d.unlikely(d.distance(d.tail[m:]))
	// What is learned lags by one stretch, so that the newest is not its own past.
	if d.n%d.cfg.Stride == 0 {
		d.learn(d.tail[:m])
	}
	if !tell {
		return 0
	}
	if d.rest > 0 {
		d.rest--
		return score / 20
	}
	if score >= d.cfg.Alarm {
		d.rest = d.cfg.Rest
	}
	return score
}

func (d *Detector) learn(stretch []float64) {
	m := d.cfg.Length
	if len(d.past) < d.cfg.Past*m {
		d.past = append(d.past, stretch...)
		return
	}
	copy(d.past[d.at*m:], stretch)
	d.at = (d.at + 1) % d.cfg.Past
}

// distance returns how far a stretch is from the nearest of the past, in deviations of the signal a value, as a logarithm that grows slowly.
func (d *Detector) distance(stretch []float64) float64 {
	m := d.cfg.Length
	best := math.Inf(1)
	for from := 0; from < len(d.past); from += m {
		sum := 0.0
		for i, x := range stretch {
			e := (x - d.past[from+i]) / d.scale
			if sum += e * e; sum >= best {
				break
			}
		}
		best = min(best, sum)
	}
	if math.IsInf(best, 1) {
		return 0
	}
	return math.Log1p(math.Sqrt(best / float64(m)))
}

// unlikely keeps a distance and returns how unlikely the newest are.
func (d *Detector) unlikely(far float64) float64 {
	if len(d.far) < d.cfg.Long {
		d.far = append(d.far, far)
	} else {
		d.far[d.next] = far
	}
	d.next = (d.next + 1) % d.cfg.Long
	if len(d.far) < enough {
		return 0
	}
	n, mean, squares, newest := float64(len(d.far)), 0.0, 0.0, 0.0
	for _, v := range d.far {
		mean += v
	}
	mean /= n
	for _, v := range d.far {
		squares += (v - mean) * (v - mean)
	}
	for i := range d.cfg.Short {
		newest += d.far[(d.next-1-i+len(d.far))%len(d.far)]
	}
	z := (newest/float64(d.cfg.Short) - mean) / (math.Sqrt(squares/n) + leastSpread)
	p := math.Erfc(z/math.Sqrt2) / 2
	return math.Min(math.Log(math.Max(p, 1e-300))/math.Log(1e-10), 30)
}
