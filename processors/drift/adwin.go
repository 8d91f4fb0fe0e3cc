package drift

import (
	"encoding/binary"
	"math"
)

// ADWINConfig are the settings of ADWIN.
type ADWINConfig struct {
	// Delta is the confidence: the chance of a false cut.
	Delta float64
	// Clock is how many numbers come between two looks for a cut.
	Clock int64
	// MinWindow is the least number of numbers on either side of a cut, Grace how many come before the first look.
	MinWindow, Grace int64
	// Side says which way a change counts: the newer mean above the older, or below. The window is cut either way.
	Side Side
}

// DefaultADWIN returns River's settings.
func DefaultADWIN() ADWINConfig { return ADWINConfig{Delta: 0.002, Clock: 32, MinWindow: 5, Grace: 10} }

// ADWIN keeps a window of the newest numbers in which no cut separates two means that differ by more than chance allows (Bifet and Gavaldà 2007, Learning from Time-Changing Data with
// Adaptive Windowing, SDM). The window is kept as an exponential histogram with the variance of each bucket (Babcock, Datar, Motwani and O'Callaghan 2003, PODS), in O(log n) numbers.
type ADWIN struct {
	cfg ADWINConfig
	s   adwin
	// rows[i] holds buckets of 2^i numbers each, the oldest first.
	rows []adwinRow
}

// adwinPer is the most buckets of one size; a further one makes the two oldest one of twice the size.
const adwinPer = 5

type adwinRow struct {
	N        int64
	Total    [adwinPer + 1]float64
	Variance [adwinPer + 1]float64
}

// drop removes the oldest n buckets.
func (r *adwinRow) drop(n int64) {
	copy(r.Total[:], r.Total[n:r.N])
	copy(r.Variance[:], r.Variance[n:r.N])
	r.N -= n
}

func (r *adwinRow) add(total, variance float64) {
	r.Total[r.N], r.Variance[r.N] = total, variance
	r.N++
}

type adwin struct {
	// Width is how many numbers the window holds, Total their sum, Variance the sum of their squared deviations.
	Width, Total, Variance float64
	Tick                   int64
	Found                  bool
}

// NewADWIN makes a detector.
func NewADWIN(cfg ADWINConfig) *ADWIN {
	d := &ADWIN{cfg: cfg, rows: make([]adwinRow, 1, 16)}
	return d
}

// Reset forgets all numbers.
func (d *ADWIN) Reset() {
	d.s = adwin{}
	d.rows = append(d.rows[:0], adwinRow{})
}

// Warned is always false.
func (d *ADWIN) Warned() bool { return false }

// Mean returns the mean of the window, 0 when it is empty.
func (d *ADWIN) Mean() float64 {
	if d.s.Width == 0 {
		return 0
	}
	return d.s.Total / d.s.Width
}

// Width returns how many numbers the window holds.
func (d *ADWIN) Width() int { return int(d.s.Width) }

// Update takes the next number.
func (d *ADWIN) Update(x float64) bool {
	if x != x {
		return false
	}
	if d.s.Found {
		d.Reset()
	}
	s := &d.s
	d.rows[0].add(x, 0)
	s.Width++
	if s.Width > 1 {
		dev := x - s.Total/(s.Width-1)
		s.Variance += (s.Width - 1) * dev * dev / s.Width
	}
	s.Total += x
	if d.rows[0].N > adwinPer {
		d.compress()
	}
	s.Tick++
	if s.Tick%d.cfg.Clock == 0 && s.Width > float64(d.cfg.Grace) {
		s.Found = d.shrink()
	}
	return s.Found
}

// compress makes two buckets one where there are too many of a size.
func (d *ADWIN) compress() {
	size := 1.0
	for i := 0; i < len(d.rows) && d.rows[i].N > adwinPer; i++ {
		if i+1 == len(d.rows) {
			d.rows = append(d.rows, adwinRow{})
		}
		r := &d.rows[i]
		gap := r.Total[0]/size - r.Total[1]/size
		d.rows[i+1].add(r.Total[0]+r.Total[1], r.Variance[0]+r.Variance[1]+float64(size*size*gap*gap/(size+size)))
		r.drop(2)
		size *= 2
	}
}

// shrink drops the oldest buckets while a cut shows that they differ from the rest, and tells whether a cut that counts was found.
func (d *ADWIN) shrink() bool {
	found := false
	for {
		older, newer, ok := d.cut()
		if !ok {
			return found
		}
		if d.cfg.Side == Both || d.cfg.Side == Up == (newer > older) {
			found = true
		}
		d.oldest()
	}
}

// cut looks for a place where the window's two parts differ, the oldest first, and returns their means.
func (d *ADWIN) cut() (older, newer float64, ok bool) {
	s := &d.s
	least := float64(d.cfg.MinWindow)
	confidence := math.Log(2 * math.Log(s.Width) / d.cfg.Delta)
	variance := s.Variance / s.Width
	n0, u0, n1, u1 := 0.0, 0.0, s.Width, s.Total
	for i := len(d.rows) - 1; i >= 0; i-- {
		size := float64(int64(1) << i)
		r := &d.rows[i]
		for k := range r.N {
			n0 += size
			n1 -= size
			u0 += r.Total[k]
			u1 -= r.Total[k]
			if n0 < least || n1 < least {
				continue
			}
			older, newer = u0/n0, u1/n1
			m := 1/(n0-least+1) + 1/(n1-least+1)
			epsilon := math.Sqrt(2*m*variance*confidence) + float64(2.0/3*confidence*m)
			if math.Abs(older-newer) > epsilon {
				return older, newer, true
			}
		}
	}
	return 0, 0, false
}

// oldest drops the oldest bucket.
func (d *ADWIN) oldest() {
	s := &d.s
	last := len(d.rows) - 1
	r := &d.rows[last]
	n := float64(int64(1) << last)
	u, v := r.Total[0], r.Variance[0]
	s.Width -= n
	s.Total -= u
	gap := u/n - s.Total/s.Width
	s.Variance -= v + float64(n*s.Width*gap*gap/(n+s.Width))
	if r.drop(1); r.N == 0 && last > 0 {
		d.rows = d.rows[:last]
	}
}

// AppendState appends the state.
func (d *ADWIN) AppendState(dst []byte) []byte {
	dst = append(begin(dst, 'A', d.cfg, d.s), byte(len(d.rows)))
	dst, _ = binary.Append(dst, binary.LittleEndian, d.rows) // rows have a fixed size
	return dst
}

// Restore goes on from a state.
func (d *ADWIN) Restore(state []byte) error {
	d.Reset()
	var s adwin
	rest, err := end(state, 'A', d.cfg, &s)
	if err != nil {
		return err
	}
	if len(rest) == 0 || rest[0] == 0 || rest[0] > 60 {
		return errShort
	}
	rows := make([]adwinRow, rest[0])
	if n, err := binary.Decode(rest[1:], binary.LittleEndian, rows); err != nil || 1+n != len(rest) {
		return errShort
	}
	for i := range rows {
		if rows[i].N < 0 || rows[i].N > adwinPer {
			return errShort
		}
	}
	d.s, d.rows = s, rows
	return nil
}
