package drift

import (
	"encoding/binary"
	"math"
)

// SEEDConfig are the settings of SEED.
type SEEDConfig struct {
	// Delta is the confidence of a cut.
	Delta float64
	// Block is how many numbers a block takes in.
	Block int64
	// Epsilon times Alpha is how much more two neighbouring blocks may differ, with each block back from the newest, and still be made one.
	Epsilon, Alpha float64
	// Compress is how many blocks come between two compressions.
	Compress int64
	// Side says which way a change counts: the newer mean above the older, or below. The window is cut either way.
	Side Side
}

// DefaultSEED returns the settings of its authors.
func DefaultSEED() SEEDConfig {
	return SEEDConfig{Delta: 0.05, Block: 32, Epsilon: 0.01, Alpha: 0.8, Compress: 75}
}

// SEED looks for a cut, as ADWIN does, but only between blocks, from the newest back, and makes neighbouring blocks of like means one (Huang, Koh, Dobbie and Pears 2014, Detecting Volatility
// Shift in Data Streams, ICDM). Blocks are bounded by seedMost: beyond it the two oldest are made one.
type SEED struct {
	cfg    SEEDConfig
	s      seed
	blocks []seedBlock // the oldest first
}

const seedMost = 4096

type seed struct {
	Width, Total, Variance float64
	// Count is of numbers since the start, Since of blocks since the last compression, Blocks of blocks where the state is written down.
	Count, Since, Blocks int64
}

type seedBlock struct {
	Total, Variance float64
	N, Full         int64
}

// NewSEED makes a detector.
func NewSEED(cfg SEEDConfig) *SEED {
	d := &SEED{cfg: cfg}
	d.Reset()
	return d
}

// Reset forgets all numbers.
func (d *SEED) Reset() {
	d.s = seed{}
	d.blocks = append(d.blocks[:0], seedBlock{Full: d.cfg.Block})
}

// Warned is always false.
func (d *SEED) Warned() bool { return false }

// Update takes the next number. After a change the numbers from the cut on stay.
func (d *SEED) Update(x float64) bool {
	if x != x {
		return false
	}
	s := &d.s
	last := &d.blocks[len(d.blocks)-1]
	if last.N == last.Full {
		if s.Since > d.cfg.Compress && len(d.blocks) > 1 {
			s.Since = 0
			d.compress()
		}
		if len(d.blocks) == seedMost {
			d.merge(1)
		}
		d.blocks = append(d.blocks, seedBlock{Full: d.cfg.Block})
		s.Since++
		last = &d.blocks[len(d.blocks)-1]
	}
	if s.Width > 0 {
		// The same as in the window before, so that blocks can leave with their part of it.
		dev := x - s.Total/s.Width
		grown := s.Width * dev * dev / (s.Width + 1)
		s.Variance += grown
		last.Variance += grown
	}
	last.N++
	last.Total += x
	s.Total += x
	s.Width++
	s.Count++
	return s.Count%d.cfg.Block == 0 && len(d.blocks) > 1 && d.cut()
}

// cut looks for the newest cut between two blocks whose sides differ, and drops what is older.
func (d *SEED) cut() bool {
	s := &d.s
	confidence := math.Log(2 * math.Log(s.Width) / d.cfg.Delta)
	variance := max(s.Variance, 0) / s.Width
	n0, u0, n1, u1 := s.Width, s.Total, 0.0, 0.0
	for i := len(d.blocks) - 1; i > 0; i-- {
		b := &d.blocks[i]
		n0 -= float64(b.N)
		n1 += float64(b.N)
		u0 -= b.Total
		u1 += b.Total
		m := 1/n0 + 1/n1
		epsilon := math.Sqrt(2*m*variance*confidence) + float64(2.0/3*confidence*m)
		older, newer := u0/n0, u1/n1
		if math.Abs(newer-older) <= epsilon {
			continue
		}
		for _, gone := range d.blocks[:i] {
			s.Width -= float64(gone.N)
			s.Total -= gone.Total
			s.Variance -= gone.Variance
		}
		d.blocks = d.blocks[:copy(d.blocks, d.blocks[i:])]
		return d.cfg.Side == Both || d.cfg.Side == Up == (newer > older)
	}
	return false
}

// compress makes neighbours one that differ by less than what grows with their distance from the newest.
func (d *SEED) compress() {
	epsilon := 0.0
	for i := len(d.blocks) - 1; i > 0; i-- {
		epsilon += float64(d.cfg.Epsilon * d.cfg.Alpha)
		a, b := &d.blocks[i-1], &d.blocks[i]
		if math.Abs(a.Total/float64(a.N)-b.Total/float64(b.N)) < epsilon {
			d.merge(i)
		}
	}
}

// merge makes block i part of the one before it.
func (d *SEED) merge(i int) {
	a, b := &d.blocks[i-1], &d.blocks[i]
	a.Total += b.Total
	a.Variance += b.Variance
	a.N += b.N
	a.Full += b.Full
	d.blocks = append(d.blocks[:i], d.blocks[i+1:]...)
}

// AppendState appends the state.
func (d *SEED) AppendState(dst []byte) []byte {
	s := d.s
	s.Blocks = int64(len(d.blocks))
	dst = begin(dst, 'S', d.cfg, s)
	dst, _ = binary.Append(dst, binary.LittleEndian, d.blocks) // blocks have a fixed size
	return dst
}

// Restore goes on from a state.
func (d *SEED) Restore(state []byte) error {
	d.Reset()
	var s seed
	rest, err := end(state, 'S', d.cfg, &s)
	if err != nil {
		return err
	}
	if s.Blocks < 1 || s.Blocks > seedMost {
		return errShort
	}
	blocks := make([]seedBlock, s.Blocks)
	if n, err := binary.Decode(rest, binary.LittleEndian, blocks); err != nil || n != len(rest) {
		return errShort
	}
	for _, b := range blocks {
		if b.N < 0 || b.N > b.Full || b.N == 0 && len(blocks) > 1 {
			return errShort
		}
	}
	d.s, d.blocks = s, blocks
	return nil
}
