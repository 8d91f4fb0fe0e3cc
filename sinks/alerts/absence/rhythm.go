package absence

import (
	"math"
	"time"
)

// Of a rhythm: it is known after so many gaps; a gap shorter than a part of the usual belongs to the arrival before; the usual gap falls to 1/e within so many of its own; a gap that was too long is taken as usual
// when it has come so often.
const (
	known  = 8
	part   = 4
	fading = 20
	insist = 3
)

// rhythm is how often something comes: the longest gap of late. Who sends each hour sixty records at once is as regular as who sends one each minute.
type rhythm struct {
	last  int64 // when it came last, Unix nanoseconds by the wall clock
	usual int64 // the longest gap of late
	gaps  uint16
	long  uint8 // gaps that were too long to be usual, so far
}

// came takes in an arrival; learn is false where the gap says nothing, as while a backlog is read.
func (r *rhythm) came(now int64, c *Config, learn bool) {
	gap := now - r.last
	first := r.last == 0
	r.last = now
	if first || !learn || gap <= 0 {
		return
	}
	if r.known() && gap > r.patience(c) {
		if r.long++; r.long < insist {
			return // an outage, not a habit
		}
		r.long = 0
	}
	if gap*part >= r.usual && r.gaps < math.MaxUint16 {
		r.gaps++
	}
	if r.usual > 0 {
		r.usual = int64(float64(r.usual) * math.Exp(-float64(gap)/(fading*float64(r.usual))))
	}
	r.usual = max(r.usual, gap)
}

func (r *rhythm) known() bool { return r.gaps >= known }

// patience is how long it may be silent.
func (r *rhythm) patience(c *Config) int64 {
	return int64(max(float64(c.Floor), min(c.Times*float64(r.usual), math.MaxInt64/2)))
}

func (r *rhythm) silence(now int64) time.Duration { return time.Duration(now - r.last) }
