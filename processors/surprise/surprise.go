// Package surprise finds anomalies in a stream of one signal without training: how far its newest stretch is from the nearest of its past, and how unlikely such a distance is for this signal.
//
// The distance is that of nearest-neighbour discords (Keogh, Lin and Fu 2005, HOT SAX: Efficiently Finding the Most Unusual Time Series Subsequence, ICDM), against a bounded past; its likelihood that of Ahmad, Lavin,
// Purdy and Agha (2017, Unsupervised real-time anomaly detection for streaming data, Neurocomputing 262): the mean of the newest distances against the normal distribution of many. A
// pipeline chooses it with `detector: {surprise: {}}` (processors/anomaly); bench/nab measures it.
package surprise

import (
	"errors"
	"fmt"
	"math"
)

// Config are the settings.
type Config struct {
	// Warm is how many values come before anything is said; the signal's scale is learned from them.
	Warm int `yaml:"warm"`
	// Length is that of a stretch, in values.
	Length int `yaml:"length"`
	// Past is how many stretches are remembered, one of every Stride values.
	Past   int `yaml:"past"`
	Stride int `yaml:"stride"`
	// Long is of how many distances the distribution is, Short how many of the newest are held against it.
	Long  int `yaml:"long"`
	Short int `yaml:"short"`
	// Alarm is the score from which on something is said to be an anomaly; after it the score is cut for Rest values, so that one is told once.
	Alarm float64 `yaml:"alarm"`
	Rest  int     `yaml:"rest"`
}

// Default returns the settings that were best on every second file of bench/nab, of fourteen that were tried. All fourteen were between 56 and 70 there.
func Default() Config {
	return Config{Warm: 500, Length: 6, Past: 700, Stride: 3, Long: 1000, Short: 2, Alarm: 0.5, Rest: 150}
}

// UnmarshalYAML reads a section over the defaults.
func (c *Config) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Config
	*c = Config(Default())
	return unmarshal((*plain)(c))
}

// most bounds what a detector remembers, in values: 400 KB.
const most = 100_000

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	check(c.Length >= 1 && c.Length <= 1000, "length", c.Length, "between 1 and 1000")
	check(c.Warm >= 4*c.Length && c.Warm <= most, "warm", c.Warm, fmt.Sprintf("between four times length and %d", most))
	check(c.Past >= 1 && c.Past <= most/max(c.Length, 1), "past", c.Past, fmt.Sprintf("between 1 and %d, as %d values are remembered at most", most/max(c.Length, 1), most))
	check(c.Stride >= 1 && c.Stride <= most, "stride", c.Stride, fmt.Sprintf("between 1 and %d", most))
	check(c.Long >= enough && c.Long <= most, "long", c.Long, fmt.Sprintf("between %d and %d", enough, most))
	check(c.Short >= 1 && c.Short <= c.Long, "short", c.Short, "between 1 and long")
	check(c.Alarm > 0, "alarm", c.Alarm, "above 0")
	check(c.Rest >= 0 && c.Rest <= most, "rest", c.Rest, fmt.Sprintf("between 0 and %d", most))
	return errors.Join(errs...)
}

// enough is how many distances a distribution is made of at least.
const enough = 50

// leastSpread keeps a signal that repeats itself exactly from crying at its first rounding error: distances are in the signal's deviations.
const leastSpread = 0.003

// Detector watches one signal. It holds Past*Length values and Long distances, in single precision the values, and the first Warm values until they have come. It is not safe for concurrent use.
type Detector struct {
	cfg   Config
	early []float32
	scale float64
	n     int // values since the scale is known
	// tail is the newest values, the newest last: two stretches.
	tail []float32
	// past holds stretches one after the other, the oldest at at*Length once it is full.
	past []float32
	at   int
	// far is a ring of distances.
	far  []float64
	next int
	// rest counts the values until the score is whole again.
	rest int
}

// New makes a detector; the configuration must be valid.
func New(cfg Config) *Detector { return &Detector{cfg: cfg} }

// Warm tells whether it has seen enough to say something.
func (d *Detector) Warm() bool { return d.scale > 0 }

// Gap tells it that values are missing between the last one and the next: no stretch reaches over the gap. What is known of the past stays.
func (d *Detector) Gap() { d.tail = d.tail[:0] }

// Update takes the next value and returns its score: 0 as usual, 1 as unlikely as one in ten thousand million, and no more than 30; 0 while it is warming up. NaN is skipped.
func (d *Detector) Update(x float64) (score float64) {
	if x != x {
		return 0
	}
	if d.scale > 0 {
		return d.take(float32(x), true)
	}
	if d.early = append(d.early, float32(x)); len(d.early) < d.cfg.Warm {
		return 0
	}
	mean, squares := 0.0, 0.0
	for _, v := range d.early {
		mean += float64(v) / float64(len(d.early))
	}
	for _, v := range d.early {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	d.scale = math.Sqrt(squares/float64(len(d.early))) + 1e-9
	for _, v := range d.early {
		d.take(v, false)
	}
	d.early = nil
	return 0
}

func (d *Detector) take(x float32, tell bool) float64 {
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

func (d *Detector) learn(stretch []float32) {
	m := d.cfg.Length
	if len(d.past) < d.cfg.Past*m {
		d.past = append(d.past, stretch...)
		return
	}
	copy(d.past[d.at*m:], stretch)
	d.at = (d.at + 1) % d.cfg.Past
}

// distance returns how far a stretch is from the nearest of the past, in deviations of the signal a value, as a logarithm that grows slowly.
func (d *Detector) distance(stretch []float32) float64 {
	m := d.cfg.Length
	best := math.Inf(1)
	for from := 0; from < len(d.past); from += m {
		sum := 0.0
		for i, x := range stretch {
			e := (float64(x) - float64(d.past[from+i])) / d.scale
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
