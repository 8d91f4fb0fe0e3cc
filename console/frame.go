package console

import (
	"encoding/binary"
	"math"
	"slices"
)

// Points travel in binary frames, columns whole, little-endian, so that the page reads them in place:
//
//	0   u8   kind: frameRows or frameScores
//	1   u8   flags: frameSnapshot
//	2   u16  columns
//	4   u32  subscription
//	8   u32  sequence number
//	12  u32  points
//	16  f64  times, Unix milliseconds of event time, one a point
//	..  f32  one column after the other, NaN where there is no value
//
// Rows have one column a signal in the pipeline's order. Scores have two: value, risk.
const (
	frameRows   = 1
	frameScores = 2

	frameSnapshot = 1

	frameHead = 16
)

// points are columns of equal length in order of time.
type points struct {
	times []float64
	cols  [][]float32
}

func newPoints(columns int) points { return points{cols: make([][]float32, columns)} }

func (p *points) add(time float64, values ...float32) {
	p.times = append(p.times, time)
	for i := range p.cols {
		v := float32(math.NaN())
		if i < len(values) {
			v = values[i]
		}
		p.cols[i] = append(p.cols[i], v)
	}
}

func (p *points) len() int { return len(p.times) }

// cut drops the first n points.
func (p *points) cut(n int) {
	p.times = append(p.times[:0], p.times[n:]...)
	for i := range p.cols {
		p.cols[i] = append(p.cols[i][:0], p.cols[i][n:]...)
	}
}

// sort puts the points in order of time and keeps the last of those with the same time.
func (p *points) sort() {
	ordered := true
	for i := 1; i < len(p.times); i++ {
		ordered = ordered && p.times[i-1] < p.times[i]
	}
	if ordered {
		return
	}
	order := make([]int, len(p.times))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p.times[a] < p.times[b]:
			return -1
		case p.times[a] > p.times[b]:
			return 1
		}
		return 0
	})
	kept := order[:0]
	for i, at := range order {
		if i+1 == len(order) || p.times[order[i+1]] != p.times[at] {
			kept = append(kept, at)
		}
	}
	sorted := points{times: make([]float64, len(kept)), cols: make([][]float32, len(p.cols))}
	for i, at := range kept {
		sorted.times[i] = p.times[at]
	}
	for c := range p.cols {
		sorted.cols[c] = make([]float32, len(kept))
		for i, at := range kept {
			sorted.cols[c][i] = p.cols[c][at]
		}
	}
	*p = sorted
}

// appendFrame appends the points as one frame.
func appendFrame(dst []byte, kind, flags uint8, sub, seq uint32, p *points) []byte {
	n := len(p.times)
	dst = slices.Grow(dst, frameHead+8*n+4*n*len(p.cols))
	dst = append(dst, kind, flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(p.cols)))
	dst = binary.LittleEndian.AppendUint32(dst, sub)
	dst = binary.LittleEndian.AppendUint32(dst, seq)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	for _, t := range p.times {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(t))
	}
	for _, col := range p.cols {
		for _, v := range col {
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		}
	}
	return dst
}

// join appends those points of more that are at from or later, and puts all in order.
func (p *points) join(more *points, from float64) {
	for i, t := range more.times {
		if t < from {
			continue
		}
		p.times = append(p.times, t)
		for c := range p.cols {
			p.cols[c] = append(p.cols[c], more.cols[c][i])
		}
	}
	p.sort()
}
