// Package surprise finds anomalies in a stream of one signal without training: how far its newest stretches, level and spread are from the nearest of its past, and how unlikely such distances are for this signal.
//
// A distance is that of nearest-neighbour discords (Keogh, Lin and Fu 2005, HOT SAX: Efficiently Finding the Most Unusual Time Series Subsequence, ICDM), against a bounded past; its likelihood that of Ahmad, Lavin,
// Purdy and Agha (2017, Unsupervised real-time anomaly detection for streaming data, Neurocomputing 262): the mean of the newest distances against the normal distribution of many. The score is the mean over several lengths,
// histories and speeds, so that none of them has to be chosen for a signal. A signal that alarms often has to say more for its next alarm, as a sense that is used to something (Harris 1943, Habituatory response decrement in the intact organism,
// Psychological Bulletin 40).
//
// A pipeline chooses it with `detector: {surprise: {}}` (processors/anomaly); bench/nab measures it.
package surprise

import (
	"math"
	"slices"
)

// enough is how many distances a distribution is made of at least.
const enough = 50

// leastSpread keeps a signal that repeats itself exactly from crying at its first rounding error: distances are in the signal's deviations.
const leastSpread = 0.003

// highest bounds what one distribution says of one mean, so that no sense outvotes the others by itself.
const highest = 3

// Detector watches one signal. What it holds is bounded by Config.Bytes. It is not safe for concurrent use.
type Detector struct {
	cfg Config
	// early holds the first values, until there are Warm of them.
	early []float32
	warm  bool
	// recent holds the newest values, the newest last: Slow of them, of which level and spread are.
	recent []float32
	senses []sense
	// rest counts the values until the score is whole again; used is how many alarms there were, each worth less with time.
	rest int
	used float64
}

// New makes a detector; the configuration must be valid.
func New(cfg Config) *Detector {
	d := &Detector{cfg: cfg}
	for _, n := range cfg.Lengths {
		d.senses = append(d.senses, newSense(&d.cfg, n, max(1, n/2), n))
	}
	if cfg.Slow > 0 {
		d.senses = append(d.senses, newSense(&d.cfg, 1, 1, cfg.Slow), newSense(&d.cfg, 1, 1, cfg.Slow)) // level, spread
	}
	return d
}

// Warm tells whether it has seen enough to say something.
func (d *Detector) Warm() bool { return d.warm }

// Gap tells it that values are missing between the last one and the next: no stretch reaches over the gap. What is known of the past stays.
func (d *Detector) Gap() {
	d.recent = d.recent[:0]
	for i := range d.senses {
		d.senses[i].tail = d.senses[i].tail[:0]
	}
}

// Update takes the next value and returns its score: 0 as usual, 1 as unlikely as one in ten thousand million, and no more than 3; 0 while it is warming up. NaN is skipped.
func (d *Detector) Update(x float64) (score float64) {
	if x != x {
		return 0
	}
	if d.warm {
		return d.say(d.take(float32(x)))
	}
	if d.early = append(d.early, float32(x)); len(d.early) < d.cfg.Warm {
		return 0
	}
	d.learn()
	return 0
}

// learn finds each sense's scale from the first values, and shows them to it.
func (d *Detector) learn() {
	seen := make([][]float32, len(d.senses))
	for _, x := range d.early {
		d.each(x, func(i int, y float32) { seen[i] = append(seen[i], y) })
	}
	for i := range d.senses {
		d.senses[i].scale = deviation(seen[i]) + 1e-9
	}
	d.recent = d.recent[:0]
	for _, x := range d.early {
		d.take(x)
	}
	d.early, d.warm = nil, true
}

// each tells of what each sense is shown with the next value; level and spread wait until there are enough values for them.
func (d *Detector) each(x float32, show func(sense int, y float32)) {
	n := len(d.cfg.Lengths)
	for i := range n {
		show(i, x)
	}
	if d.cfg.Slow == 0 {
		return
	}
	if len(d.recent) == d.cfg.Slow {
		copy(d.recent, d.recent[1:])
		d.recent[len(d.recent)-1] = x
	} else if d.recent = append(d.recent, x); len(d.recent) < d.cfg.Slow {
		return
	}
	show(n, float32(average(d.recent)))
	show(n+1, float32(deviation(d.recent)))
}

// take shows a value to all senses and returns how unlikely it is to them on average.
func (d *Detector) take(x float32) float64 {
	sum := 0.0
	d.each(x, func(i int, y float32) { sum += d.senses[i].take(y) })
	return sum / float64(len(d.senses))
}

// say makes the score that is told: less while it rests, and less the more alarms there were.
func (d *Detector) say(score float64) float64 {
	d.used *= math.Exp2(-1 / float64(d.cfg.Life))
	score /= 1 + d.cfg.Habit*d.used
	if d.rest > 0 {
		d.rest--
		return score / 20
	}
	if score >= d.cfg.Alarm {
		d.rest = d.cfg.Rest
		d.used++
	}
	return score
}

func average(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return sum / float64(max(len(x), 1))
}

func deviation(x []float32) float64 {
	mean, squares := average(x), 0.0
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	return math.Sqrt(squares / float64(max(len(x), 1)))
}

// sense is one way of looking at the signal: stretches of so many values of it, or of its level or spread.
type sense struct {
	cfg *Config
	// What is learned are stretches of length values, one of every stride, lag values old: so that the newest is not its own past.
	length, stride, lag int
	scale               float64
	n                   int // values so far
	// tail is the newest values, the newest last: length + lag of them.
	tail []float32
	// past holds stretches one after the other, the oldest at at*length once it is full.
	past []float32
	at   int
	// far is a ring of size distances, next where the next is put; sums and squares are over the newest of them, as many as each of cfg.Long says.
	far           []float32
	size, next    int
	told          int // distances in it
	sums, squares []float64
}

func newSense(cfg *Config, length, stride, lag int) sense {
	return sense{cfg: cfg, length: length, stride: stride, lag: lag, size: slices.Max(cfg.Long), sums: make([]float64, len(cfg.Long)), squares: make([]float64, len(cfg.Long))}
}

// stretches is how many of the past are remembered.
func (s *sense) stretches() int { return max(1, s.cfg.Past/s.stride) }

// take returns how unlikely the newest stretches are: 0 as usual, 1 as one in ten thousand million.
func (s *sense) take(x float32) float64 {
	keep := s.length + s.lag
	if len(s.tail) == keep {
		copy(s.tail, s.tail[1:])
		s.tail[keep-1] = x
	} else {
		s.tail = append(s.tail, x)
	}
	s.n++
	if len(s.tail) < s.length {
		return 0
	}
	score := s.unlikely(s.distance(s.tail[len(s.tail)-s.length:]))
	if len(s.tail) == keep && s.n%s.stride == 0 {
		s.learn(s.tail[:s.length])
	}
	return score
}

func (s *sense) learn(stretch []float32) {
	if len(s.past) < s.stretches()*s.length {
		s.past = append(s.past, stretch...)
		return
	}
	copy(s.past[s.at*s.length:], stretch)
	s.at = (s.at + 1) % s.stretches()
}

// distance returns how far a stretch is from the nearest of the past, in deviations of the signal a value, as a logarithm that grows slowly.
func (s *sense) distance(stretch []float32) float32 {
	m := len(stretch)
	best := math.Inf(1)
	if m == 1 { // a third of the general loop's time
		x := float64(stretch[0])
		for _, p := range s.past {
			e := x - float64(p)
			if e *= e; e < best {
				best = e
			}
		}
	} else {
		first := float64(stretch[0])
		for from := 0; from < len(s.past); from += m {
			p := s.past[from : from+m]
			e := first - float64(p[0])
			sum := e * e
			for i := 1; i < m && sum < best; i++ {
				e = float64(stretch[i]) - float64(p[i])
				sum += e * e
			}
			if sum < best {
				best = sum
			}
		}
	}
	if math.IsInf(best, 1) {
		return 0
	}
	return float32(math.Log1p(math.Sqrt(best/float64(m)) / s.scale))
}

// unlikely keeps a distance and returns how unlikely the newest are.
func (s *sense) unlikely(far float32) float64 {
	size := s.size
	for k, long := range s.cfg.Long {
		if s.told >= long {
			old := float64(s.far[(s.next-long+size)%size])
			s.sums[k] -= old
			s.squares[k] -= old * old
		}
		s.sums[k] += float64(far)
		s.squares[k] += float64(far) * float64(far)
	}
	if len(s.far) < size {
		s.far = append(s.far, far)
	} else {
		s.far[s.next] = far
	}
	s.next = (s.next + 1) % size
	if s.told = min(s.told+1, size); s.told < enough {
		return 0
	}
	total := 0.0
	for _, short := range s.cfg.Short {
		newest := 0.0
		for i := range short {
			newest += float64(s.far[(s.next-1-i+size)%size])
		}
		newest /= float64(short)
		for k, long := range s.cfg.Long {
			n := float64(min(s.told, long))
			mean := s.sums[k] / n
			spread := math.Sqrt(math.Max(0, s.squares[k]/n-mean*mean))
			p := math.Erfc((newest-mean)/(spread+leastSpread)/math.Sqrt2) / 2
			total += math.Min(math.Log(math.Max(p, 1e-300))/math.Log(1e-10), highest)
		}
	}
	return total / float64(len(s.cfg.Short)*len(s.cfg.Long))
}
