// Package baseline tells when several signals leave the way in which they were while they were learned, and when they change from one way to another. It needs a stretch of usual rows, and no labels.
//
// A signal's newest mean is held against those of the learned stretch, as on a moving average chart (Roberts 1959, Control chart tests based on geometric moving averages, Technometrics 1), with limits from the median and the
// median absolute deviation (Hampel 1974, The influence curve and its role in robust estimation, JASA 69), so that a disturbance in the learned stretch does not widen them. A signal that drifted
// while it was learned, by the ratio of von Neumann (1941, Distribution of the ratio of the mean square successive difference to the variance, Annals of Mathematical Statistics 12), has wider ones. A
// change is told from two neighbouring windows (Kifer, Ben-David and Gehrke 2004, Detecting change in data streams, VLDB), by the difference of their means.
//
// A pipeline chooses it with `detector: {baseline: {}}` (processors/anomaly); bench/skab measures it.
package baseline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// Config are the settings.
type Config struct {
	// Smooth is how many rows a mean is of.
	Smooth int `yaml:"smooth"`
	// Limit is how many deviations of such means, as they were learned, are usual.
	Limit float64 `yaml:"limit"`
	// Quick is the least ratio of the mean square of a signal's steps to its variance with which it does not count as drifting: noise has 2, a slow drift next to 0. The limit of one that drifts is Slow times as wide.
	Quick float64 `yaml:"quick"`
	Slow  float64 `yaml:"slow"`
	// Release ends a departure: the level is below this part of its highest. What remains then is taken for usual, if it does not grow to Raise times as much; the floor sinks again with the level.
	Release float64 `yaml:"release"`
	Raise   float64 `yaml:"raise"`
	// Steps are how many rows lie on each side of a change: a short one finds what is sudden, a long one what is small. Jump is how many deviations of the differences of such means are usual, and for Rest rows after a
	// change no other is told.
	Steps []int   `yaml:"steps"`
	Jump  float64 `yaml:"jump"`
	Rest  int     `yaml:"rest"`
}

// Default returns the settings that were best on the even-numbered files of bench/skab, of 360 that were tried, with false alarms below 13 %; Steps and Jump those in the middle of the region that was best there for changes, of 432.
func Default() Config {
	return Config{Smooth: 20, Limit: 5, Quick: 0.5, Slow: 5, Release: 0.35, Raise: 1.5, Steps: []int{10, 30}, Jump: 3.5, Rest: 30}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v is not %s", key, value, want))
		}
	}
	finite := func(x, least float64) bool { return x >= least && !math.IsInf(x, 1) }
	check(c.Smooth >= 1 && c.Smooth <= 100_000, "smooth", c.Smooth, "between 1 and 100000")
	check(finite(c.Limit, 0) && c.Limit > 0, "limit", c.Limit, "a number above 0")
	check(finite(c.Quick, 0), "quick", c.Quick, "a number of 0 or more")
	check(finite(c.Slow, 1), "slow", c.Slow, "a number of 1 or more")
	check(c.Release >= 0 && c.Release < 1, "release", c.Release, "at least 0 and below 1")
	check(finite(c.Raise, 1), "raise", c.Raise, "a number of 1 or more")
	steps := len(c.Steps) > 0 && len(c.Steps) <= 8
	for _, n := range c.Steps {
		steps = steps && n >= 1 && n <= 100_000
	}
	check(steps, "steps", c.Steps, "one to eight numbers between 1 and 100000")
	check(finite(c.Jump, 0) && c.Jump > 0, "jump", c.Jump, "a number above 0")
	check(c.Rest >= 0, "rest", c.Rest, "0 or more")
	return errors.Join(errs...)
}

// back is how many rows are kept.
func (c *Config) back() int { return max(c.Smooth, 2*c.Longest()) }

// Longest returns the longest of Steps.
func (c *Config) Longest() int { return slices.Max(c.Steps) }

// Least returns how many rows must be learned from at least.
func (c *Config) Least() int { return 4 * c.back() }

// Detector watches the signals of one asset. It holds the newest rows, twice the longest of Steps or Smooth of them, whichever is more. It is not safe for concurrent use.
type Detector struct {
	cfg Config
	state
}

// state is what a detector is but for its settings, as it is written.
type state struct {
	// Centre is the median of a signal's means; Level, and Jump for each of Steps, are by what a distance from it and a difference are multiplied: 1 is the limit. 0 is of a signal that stood still, which is not heeded.
	Centre, Level []float64
	Jump          [][]float64
	// Rows are the newest, the newest last.
	Rows        [][]float64
	Out         bool
	Peak, Floor float64
	Rest        int
}

// Learn makes a detector from usual rows, in the order in which they came. There must be four times as many as it keeps, of equally many signals; the configuration must be valid.
func Learn(rows [][]float64, cfg Config) (*Detector, error) {
	if want := cfg.Least(); len(rows) < want {
		return nil, fmt.Errorf("learn a baseline: %d rows are too few; means of %d and steps of %d want %d", len(rows), cfg.Smooth, cfg.Longest(), want)
	}
	d := &Detector{cfg: cfg, state: state{Floor: 1, Jump: make([][]float64, len(cfg.Steps))}}
	signals := len(rows[0])
	for i, r := range rows {
		if len(r) != signals || signals == 0 {
			return nil, fmt.Errorf("learn a baseline: row %d has %d signals, the first has %d", i, len(r), signals)
		}
		for j, x := range r {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("learn a baseline: row %d has %v for signal %d", i, x, j)
			}
		}
	}
	signal := make([]float64, len(rows))
	for j := range signals {
		for i, r := range rows {
			signal[i] = r[j]
		}
		d.learn(signal)
	}
	for _, r := range rows[len(rows)-cfg.back():] {
		d.Rows = append(d.Rows, slices.Clone(r))
	}
	return d, nil
}

// Signals returns how many signals a row has.
func (d *Detector) Signals() int { return len(d.Centre) }

// learn adds a signal.
func (d *Detector) learn(signal []float64) {
	mean, squares, jumps := average(signal), 0.0, 0.0
	var means []float64
	steps := make([][]float64, len(d.cfg.Steps))
	for i, x := range signal {
		squares += (x - mean) * (x - mean)
		if i > 0 {
			jumps += (x - signal[i-1]) * (x - signal[i-1])
		}
		if n := d.cfg.Smooth; i+1 >= n {
			means = append(means, average(signal[i+1-n:i+1]))
		}
		for k, n := range d.cfg.Steps {
			if i+1 >= 2*n {
				steps[k] = append(steps[k], average(signal[i+1-n:i+1])-average(signal[i+1-2*n:i+1-n]))
			}
		}
	}
	centre := median(means)
	limit := d.cfg.Limit * deviation(means, centre)
	if jumps < d.cfg.Quick*squares {
		limit *= d.cfg.Slow
	}
	still := 1e-12 * math.Max(1, math.Abs(mean))
	inverse := func(x float64) float64 {
		if x <= still {
			return 0
		}
		return 1 / x
	}
	d.Centre, d.Level = append(d.Centre, centre), append(d.Level, inverse(limit))
	for k := range steps {
		d.Jump[k] = append(d.Jump[k], inverse(d.cfg.Jump*deviation(steps[k], 0)))
	}
}

func average(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[len(x)/2] + x[(len(x)-1)/2]) / 2
}

// deviation is the standard one of a normal distribution with this median absolute deviation; where that is 0, since most are alike, the greatest distance.
func deviation(x []float64, centre float64) float64 {
	far := make([]float64, len(x))
	for i, v := range x {
		far[i] = math.Abs(v - centre)
	}
	if m := median(far); m > 0 {
		return 1.4826 * m
	}
	return slices.Max(far)
}

// mean is that of signal j over n rows, of which the newest is back rows old.
func (d *Detector) mean(j, n, back int) float64 {
	sum := 0.0
	for _, r := range d.Rows[len(d.Rows)-back-n : len(d.Rows)-back] {
		sum += r[j]
	}
	return sum / float64(n)
}

// Verdict is of one row.
type Verdict struct {
	// Level is how far the signal that is furthest off is from its baseline, Jump how much the one that changed most has changed within two steps; 1 is the limit.
	Level, Jump float64
	// Signal is that signal's index.
	Signal int
	// Out tells that the signals have departed, Change that they changed here, or that a departure began or ended.
	Out, Change bool
}

// Update takes the next row; it must have the signals that were learned. A number that is none stands for the one before it.
func (d *Detector) Update(row []float64) Verdict {
	if len(row) != len(d.Centre) {
		panic(fmt.Sprintf("a row of %d signals for a baseline of %d", len(row), len(d.Centre)))
	}
	oldest := d.Rows[0]
	before := d.Rows[len(d.Rows)-1]
	copy(d.Rows, d.Rows[1:])
	for j, x := range row {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			x = before[j]
		}
		oldest[j] = x
	}
	d.Rows[len(d.Rows)-1] = oldest
	var v Verdict
	for j := range row {
		if level := math.Abs(d.mean(j, d.cfg.Smooth, 0)-d.Centre[j]) * d.Level[j]; level > v.Level {
			v.Level, v.Signal = level, j
		}
		for k, n := range d.cfg.Steps {
			v.Jump = max(v.Jump, math.Abs(d.mean(j, n, 0)-d.mean(j, n, n))*d.state.Jump[k][j])
		}
	}
	was := d.Out
	switch {
	case d.Out:
		d.Peak = max(d.Peak, v.Level)
		if v.Level < max(d.Floor, d.cfg.Release*d.Peak) {
			d.Out, d.Floor = false, max(d.Floor, d.cfg.Raise*v.Level)
		}
	case v.Level >= d.Floor:
		d.Out, d.Peak = true, v.Level
	default:
		d.Floor = max(1, min(d.Floor, d.cfg.Raise*v.Level))
	}
	if d.state.Rest > 0 {
		d.state.Rest--
	}
	if (d.Out != was || v.Jump >= 1) && d.state.Rest == 0 {
		v.Change, d.state.Rest = true, d.cfg.Rest
	}
	v.Out = d.Out
	return v
}

// written is a state with the settings to which it belongs.
type written struct {
	Config Config
	State  state
}

// AppendState appends what Restore makes the detector of again.
func (d *Detector) AppendState(dst []byte) ([]byte, error) {
	text, err := json.Marshal(written{d.cfg, d.state})
	if err != nil {
		return nil, fmt.Errorf("write a baseline: %w", err)
	}
	return append(dst, text...), nil
}

// Restore makes a detector of a state, whose settings must be these.
func Restore(data []byte, cfg Config) (*Detector, error) {
	var w written
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("restore a baseline: the state is damaged: %w", err)
	}
	if !reflect.DeepEqual(w.Config, cfg) {
		return nil, fmt.Errorf("restore a baseline: the state has other settings: %+v, not %+v; learn it anew", w.Config, cfg)
	}
	n := len(w.State.Centre)
	ok := n > 0 && len(w.State.Level) == n && len(w.State.Jump) == len(cfg.Steps) && len(w.State.Rows) == cfg.back() && w.State.Floor >= 1
	for _, r := range w.State.Jump {
		ok = ok && len(r) == n
	}
	for _, r := range w.State.Rows {
		ok = ok && len(r) == n
	}
	if !ok {
		return nil, errors.New("restore a baseline: the state is cut short or damaged; learn it anew")
	}
	return &Detector{cfg: cfg, state: w.State}, nil
}
