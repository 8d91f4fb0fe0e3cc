package replay

import (
	"container/heap"
	"sort"
	"time"
)

// mark is a place in the order of all rows: the pos-th row of an asset, counted over its lives. Rows are ordered by time, then asset, then position.
type mark struct {
	time  int64 // event time, shifted
	asset int
	pos   int64
}

// order gives the rows of all assets by event time; with loop, for ever: each asset begins again gap after its last row.
type order struct {
	rec  *recording
	loop bool
	gap  int64
	next marks // the next row of each asset
}

func newOrder(rec *recording, loop bool, gap time.Duration) *order {
	o := &order{rec: rec, loop: loop, gap: int64(gap)}
	for i := range rec.assets {
		o.push(i, 0)
	}
	heap.Init(&o.next)
	return o
}

// seek goes to the row after m.
func (o *order) seek(m mark) {
	o.next = o.next[:0]
	for i := range o.rec.assets {
		switch {
		case i == m.asset:
			o.push(i, m.pos+1)
		case i < m.asset:
			o.push(i, o.from(i, m.time+1))
		default:
			o.push(i, o.from(i, m.time))
		}
	}
	heap.Init(&o.next)
}

// from returns the position of an asset's first row at or after a time.
func (o *order) from(asset int, t int64) int64 {
	a := o.rec.assets[asset]
	life := int64(0)
	if period := o.period(a); o.loop && t > a.last() {
		life = (t - a.last() + period - 1) / period
	}
	shift := life * o.period(a)
	at := sort.Search(len(a.rows), func(i int) bool { return a.rows[i].time+shift >= t })
	return life*int64(len(a.rows)) + int64(at)
}

func (o *order) period(a *asset) int64 { return a.last() - a.first() + o.gap }

// row returns the row at a position and how far it is shifted; ok is false after the last.
func (o *order) row(asset int, pos int64) (w row, shift int64, ok bool) {
	a := o.rec.assets[asset]
	n := int64(len(a.rows))
	if pos >= n && !o.loop {
		return row{}, 0, false
	}
	return a.rows[pos%n], pos / n * o.period(a), true
}

// ends tells whether a position is the last of a life.
func (o *order) ends(m mark) bool {
	n := int64(len(o.rec.assets[m.asset].rows))
	return m.pos%n == n-1
}

func (o *order) push(asset int, pos int64) {
	if w, shift, ok := o.row(asset, pos); ok {
		o.next = append(o.next, mark{w.time + shift, asset, pos})
	}
}

// pop returns the next row's mark; ok is false after the last.
func (o *order) pop() (m mark, ok bool) {
	if len(o.next) == 0 {
		return mark{}, false
	}
	m = o.next[0]
	if w, shift, ok := o.row(m.asset, m.pos+1); ok {
		o.next[0] = mark{w.time + shift, m.asset, m.pos + 1}
		heap.Fix(&o.next, 0)
	} else {
		heap.Pop(&o.next)
	}
	return m, true
}

type marks []mark

func (m marks) Len() int      { return len(m) }
func (m marks) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m marks) Less(i, j int) bool {
	if m[i].time != m[j].time {
		return m[i].time < m[j].time
	}
	return m[i].asset < m[j].asset
}
func (m *marks) Push(x any) { *m = append(*m, x.(mark)) }
func (m *marks) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
