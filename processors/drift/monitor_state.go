package drift

import (
	"encoding/binary"
	"errors"
	"math"

	"andon/event"
)

var errMonitor = errors.New("restore a drift monitor: the state is of another profile or other groups, cut short or damaged")

// monitorState marks a state whose rows are counted by stratum once for all features.
const monitorState = 'N'

// AppendState appends the piece that is not done yet, and how many are. The same rows give the same bytes.
func (m *Monitor) AppendState(dst []byte) []byte {
	for _, p := range m.parts {
		if p != nil {
			m.count(p)
		}
	}
	dst = append(dst, stateVersion, monitorState)
	for _, v := range []int64{int64(m.n), m.pieces, m.last.Offset, int64(m.last.Partition)} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = appendText(dst, m.last.Topic)
	for _, p := range m.parts {
		if p == nil || p.windows == 0 {
			dst = binary.AppendVarint(dst, 0)
			continue
		}
		for _, v := range []int64{int64(p.windows), p.start, p.end, int64(len(p.assets))} {
			dst = binary.AppendVarint(dst, v)
		}
		for _, name := range sortedKeys(p.assets) {
			dst = binary.AppendVarint(appendText(dst, name), int64(p.assets[name]))
		}
		for _, name := range p.names {
			dst = appendText(dst, name)
		}
		c := p.clusters
		for _, x := range p.numbers() {
			dst = floats(dst, x)
		}
		dst = floats(floats(dst, c.n), c.assets)
	}
	return dst
}

// numbers are all of a portion's that have a fixed length.
func (p *portion) numbers() [][]float64 {
	c := p.clusters
	f := &p.confusion
	all := [][]float64{{f.TP, f.FP, f.FN, f.TN, f.Squares, c.squares, c.blockSquares}, c.blocks[:], c.times, c.square, p.strata, p.weights, p.missing, p.sum}
	return append(all, p.counts...)
}

// Restore goes on from a state of a monitor of the same profile and groups. After an error the monitor is empty.
func (m *Monitor) Restore(state []byte) (err error) {
	m.Reset()
	defer func() {
		if err != nil {
			m.Reset()
		}
	}()
	if len(state) < 2 || state[0] != stateVersion || state[1] != monitorState {
		return errMonitor
	}
	r := reader{rest: state[2:]}
	n := r.int()
	m.pieces = r.int()
	m.last = event.Position{Offset: r.int(), Partition: int32(r.int()), Topic: r.text()}
	total := int64(0)
	for g := range m.parts {
		windows := r.int()
		if windows == 0 {
			continue
		}
		p := m.portion(g)
		p.windows, p.start, p.end = int(windows), r.int(), r.int()
		total += windows
		assets := r.int()
		if assets < 1 || assets > windows {
			return errMonitor
		}
		clusters := 0
		for range assets {
			name := r.text()
			c := int(r.int())
			if r.failed || c < 0 || c >= mostClusters {
				return errMonitor
			}
			p.assets[name] = c
			clusters = max(clusters, c+1)
		}
		for range clusters {
			p.names = append(p.names, r.text())
		}
		all := p.numbers()
		for _, x := range all {
			r.floats(x)
		}
		f, c := &p.confusion, p.clusters
		f.TP, f.FP, f.FN, f.TN, f.Squares, c.squares, c.blockSquares = all[0][0], all[0][1], all[0][2], all[0][3], all[0][4], all[0][5], all[0][6]
		c.n = make([]float64, clusters)
		c.assets = make([]float64, clusters*c.features*tests)
		r.floats(c.n)
		r.floats(c.assets)
	}
	if r.failed || len(r.rest) > 0 || n < 0 || n >= int64(m.piece) || total != n {
		return errMonitor
	}
	m.n = int(n)
	return nil
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader reads a state; after its end it fails, and everything is zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(len(r.rest)-n) {
		r.failed, r.rest = true, nil
		return ""
	}
	s := string(r.rest[n : n+int(v)])
	r.rest = r.rest[n+int(v):]
	return s
}

// floats reads as many numbers as x has.
func (r *reader) floats(x []float64) {
	if len(r.rest) < 4 || int(binary.LittleEndian.Uint32(r.rest)) != len(x) || len(r.rest) < 4+8*len(x) {
		r.failed, r.rest = true, nil
		return
	}
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(r.rest[4+8*i:]))
	}
	r.rest = r.rest[4+8*len(x):]
}
