package surprise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The numbers of a state, before its lists; lengths are those of lists.
type (
	detectorNumbers struct {
		Used          float64
		Warm, Rest    int64
		Early, Recent int64
	}
	senseNumbers struct {
		Scale              float64
		N, At, Next, Told  int64
		TailN, PastN, FarN int64
	}
)

// AppendState appends what Restore makes the detector of again: numbers of eight bytes, then lists of values of four. The same state gives the same bytes.
func (d *Detector) AppendState(dst []byte) []byte {
	put := func(parts ...any) {
		for _, part := range parts {
			dst, _ = binary.Append(dst, binary.LittleEndian, part) // all are of a fixed size
		}
	}
	warm := int64(0)
	if d.warm {
		warm = 1
	}
	put(&detectorNumbers{d.used, warm, int64(d.rest), int64(len(d.early)), int64(len(d.recent))}, d.early, d.recent)
	for i := range d.senses {
		s := &d.senses[i]
		put(&senseNumbers{s.scale, int64(s.n), int64(s.at), int64(s.next), int64(s.told), int64(len(s.tail)), int64(len(s.past)), int64(len(s.far))}, s.sums, s.squares, s.tail, s.past, s.far)
	}
	return dst
}

// source takes a state apart; after the first fault it is bad and gives nothing.
type source struct {
	data []byte
	bad  error
}

func (r *source) take(into any) {
	if r.bad != nil {
		return
	}
	n, err := binary.Decode(r.data, binary.LittleEndian, into)
	if err != nil {
		r.bad = fmt.Errorf("restore a detector of surprise: the state is cut short: %w", err)
		return
	}
	r.data = r.data[n:]
}

func (r *source) check(ok bool) {
	if !ok && r.bad == nil {
		r.bad = errors.New("restore a detector of surprise: the state is damaged, or of other settings")
	}
}

// within checks a number, which is a length or a place.
func (r *source) within(x, most int64) { r.check(x >= 0 && x <= most) }

func (r *source) values(n int64) []float32 {
	if r.bad != nil || n == 0 {
		return nil
	}
	list := make([]float32, n)
	r.take(list)
	for _, x := range list {
		r.check(x == x)
	}
	return list
}

// finite checks numbers.
func (r *source) finite(all ...float64) {
	for _, x := range all {
		r.check(!math.IsNaN(x) && !math.IsInf(x, 0))
	}
}

// Restore makes a detector of a state, which must be of the same settings.
func Restore(data []byte, cfg Config) (*Detector, error) {
	d, r := New(cfg), &source{data: data}
	var n detectorNumbers
	r.take(&n)
	r.within(n.Warm, 1)
	r.within(n.Rest, int64(cfg.Rest))
	r.within(n.Early, int64(cfg.Warm)-1)
	r.within(n.Recent, int64(cfg.Slow))
	r.finite(n.Used)
	r.check(n.Used >= 0 && (n.Warm == 0 || n.Early == 0))
	d.used, d.warm, d.rest, d.early, d.recent = n.Used, n.Warm == 1, int(n.Rest), r.values(n.Early), r.values(n.Recent)
	size := int64(slices.Max(cfg.Long))
	for i := range d.senses {
		s, n := &d.senses[i], senseNumbers{}
		r.take(&n)
		length, full := int64(s.length), int64(s.stretches()*s.length)
		r.check(n.N >= 0 && n.Scale >= 0)
		r.within(n.At, int64(s.stretches())-1)
		r.within(n.Next, size-1)
		r.within(n.TailN, int64(s.length+s.lag))
		r.within(n.PastN, full)
		r.within(n.FarN, size)
		r.check(n.PastN%length == 0 && n.Told == n.FarN && (n.FarN == size || n.Next == n.FarN))
		r.take(s.sums)
		r.take(s.squares)
		r.finite(s.sums...)
		r.finite(s.squares...)
		r.finite(n.Scale)
		s.scale, s.n, s.at, s.next, s.told = n.Scale, int(n.N), int(n.At), int(n.Next), int(n.Told)
		s.tail, s.past, s.far = r.values(n.TailN), r.values(n.PastN), r.values(n.FarN)
	}
	if r.check(len(r.data) == 0); r.bad != nil {
		return nil, r.bad
	}
	return d, nil
}
