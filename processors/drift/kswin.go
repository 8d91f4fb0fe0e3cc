package drift

import (
	"math"
	"slices"
)

// KSWINConfig are the settings of KSWIN.
type KSWINConfig struct {
	// Alpha is the significance level of each test. It is tested at every number: the default of the authors cries wolf once in a thousand steady numbers.
	Alpha float64
	// Window is how many numbers are kept, Recent how many of them are the newest that a sample of as many older ones is compared with.
	Window, Recent int64
	// Seed draws the samples.
	Seed uint64
}

// DefaultKSWIN returns the settings of the paper.
func DefaultKSWIN() KSWINConfig { return KSWINConfig{Alpha: 0.005, Window: 100, Recent: 30, Seed: 1} }

// KSWIN compares the newest numbers of a sliding window with a sample of the older ones by the test of Kolmogorov and Smirnov (Raab, Heusinger and Schleif 2020, Reactive Soft Prototype
// Computing for Concept Drift Streams, Neurocomputing 416). The newest are kept in order, the test's critical value is computed once from its exact distribution for samples of equal size
// (Gnedenko and Korolyuk 1951), and the lots are drawn by a generator that is part of the state.
type KSWIN struct {
	cfg      KSWINConfig
	critical int64 // the least difference, in numbers, that is significant
	s        kswin
	ring     []float64
	// recent is in order; old and index are space for a sample.
	recent, old []float64
	index       []int32
}

type kswin struct {
	At, N int64
	Lots  uint64
	Found bool
}

// NewKSWIN makes a detector.
func NewKSWIN(cfg KSWINConfig) *KSWIN {
	d := &KSWIN{cfg: cfg, critical: criticalKS(int(cfg.Recent), cfg.Alpha), ring: make([]float64, cfg.Window), recent: make([]float64, 0, cfg.Recent),
		old: make([]float64, cfg.Recent), index: make([]int32, cfg.Window-cfg.Recent)}
	// A difference of at most a tenth counts for nothing, however significant.
	d.critical = max(d.critical, cfg.Recent/10+1)
	d.Reset()
	return d
}

// criticalKS returns the least h for which two samples of n numbers whose distribution functions differ by h/n are significant at level alpha; n+1 if none is.
func criticalKS(n int, alpha float64) int64 {
	for h := 1; h <= n; h++ {
		// P(D >= h/n) = 2 sum_i (-1)^(i-1) C(2n, n-ih) / C(2n, n)
		p := 0.0
		for i := 1; i*h <= n; i++ {
			ratio := 1.0
			for j := range i * h {
				ratio *= float64(n-j) / float64(n+i*h-j)
			}
			if i%2 == 0 {
				ratio = -ratio
			}
			p += 2 * ratio
		}
		if p <= alpha {
			return int64(h)
		}
	}
	return int64(n) + 1
}

// Reset forgets all numbers; the lots go on.
func (d *KSWIN) Reset() {
	lots := d.s.Lots
	if lots == 0 {
		lots = d.cfg.Seed
	}
	d.s = kswin{Lots: lots}
	d.recent = d.recent[:0]
}

// Warned is always false.
func (d *KSWIN) Warned() bool { return false }

// Update takes the next number. After a change the newest numbers stay, as the new normal.
func (d *KSWIN) Update(x float64) bool {
	if x != x {
		return false
	}
	s := &d.s
	s.Found = false
	w, r := d.cfg.Window, d.cfg.Recent
	if s.N >= r { // the oldest of the recent ones becomes one of the older
		leaves := d.ring[(s.At-r+w)%w]
		i, _ := slices.BinarySearch(d.recent, leaves)
		d.recent = slices.Delete(d.recent, i, i+1)
	}
	d.ring[s.At] = x
	if s.At++; s.At == w {
		s.At = 0
	}
	s.N = min(s.N+1, w)
	i, _ := slices.BinarySearch(d.recent, x)
	d.recent = slices.Insert(d.recent, i, x)
	if s.N < w {
		return false
	}
	d.sample()
	if difference(d.old, d.recent) < d.critical {
		return false
	}
	s.Found = true
	s.N = r
	return true
}

// sample draws as many older numbers as there are recent ones, without putting any back, in order.
func (d *KSWIN) sample() {
	w, r, at := d.cfg.Window, d.cfg.Recent, d.s.At // the oldest is at at
	for i := range d.index {
		d.index[i] = int32(i)
	}
	for i := range r {
		j := i + int64(d.lot(uint64(w-r-i)))
		d.index[i], d.index[j] = d.index[j], d.index[i]
		p := at + int64(d.index[i])
		if p >= w {
			p -= w
		}
		d.old[i] = d.ring[p]
	}
	slices.Sort(d.old)
}

// lot draws a number below n (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators: SplitMix64), with a bias of n/2^32 at most.
func (d *KSWIN) lot(n uint64) uint64 {
	d.s.Lots += 0x9e3779b97f4a7c15
	z := d.s.Lots
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return z >> 32 * n >> 32
}

// difference returns the greatest difference of the distribution functions of two samples of equal size, in order, times their size.
func difference(a, b []float64) int64 {
	i, j, most := 0, 0, 0
	for i < len(a) && j < len(b) {
		v := math.Min(a[i], b[j])
		for i < len(a) && a[i] == v {
			i++
		}
		for j < len(b) && b[j] == v {
			j++
		}
		most = max(most, i-j, j-i)
	}
	return int64(most)
}

// AppendState appends the state.
func (d *KSWIN) AppendState(dst []byte) []byte { return floats(begin(dst, 'k', d.cfg, d.s), d.ring) }

// Restore goes on from a state.
func (d *KSWIN) Restore(state []byte) error {
	d.Reset()
	var s kswin
	rest, err := end(state, 'k', d.cfg, &s)
	if err != nil {
		return err
	}
	ring, rest, err := readFloats(rest, nil, len(d.ring))
	if err := done(rest, err); err != nil {
		return err
	}
	w := d.cfg.Window
	if len(ring) != len(d.ring) || s.At < 0 || s.At >= w || s.N < 0 || s.N > w {
		return errShort
	}
	d.s = s
	copy(d.ring, ring)
	for k := range min(s.N, d.cfg.Recent) {
		d.recent = append(d.recent, d.ring[(s.At-1-k+2*w)%w])
	}
	slices.Sort(d.recent)
	return nil
}
