package features

// panes holds what was read of one asset in the panes that open windows share, in order of time; panes without values take no room.
//
// A window that slides by less than its size holds many panes, so they are not merged anew for each. Time is cut into blocks of a window's length: each window
// is the end of one block and the begin of the next. What is left of a block from each of its panes on is merged once for all, from its last pane to its
// first, and the begin of the next grows by a pane at a time; so a window costs three merges a signal, however many panes it has (M. van Herk, "A fast
// algorithm for local minimum and maximum filters on rectangular and octagonal kernels", 1992, and J. Gil and M. Werman, "Computing 2-D min, median, and max
// filters", 1993, here for any merge). Blocks lie at fixed times, so what a window tells follows from its panes alone and not from how it was come by.
type panes struct {
	// A ring in ascending order of time, its capacity a power of two: index is the pane's time in panes since 1970, acc what was read in it, one
	// accumulator a signal, and rest, for panes of the block that begins at block, that with all panes of the block after it.
	index     []int64
	acc, rest []float64
	head, n   int

	block  int64 // never while rest holds nothing of use
	begin  []float64
	begins int64 // the block that begin is of, or never
	// begin holds the panes of that block before to; the next may be the one that lies from panes after the head.
	to   int64
	from int
}

func (p *panes) reset() { p.head, p.n, p.block, p.begins = 0, 0, never, never }

func (p *panes) place(i int) int { return (p.head + i) & (len(p.index) - 1) }

// pane returns the accumulators of pane k, of size numbers together, making it if it is not there.
func (p *panes) pane(k int64, size int, rest bool) []float64 {
	i := p.n
	for i > 0 && p.index[p.place(i-1)] > k {
		i--
	}
	if i > 0 {
		if at := p.place(i - 1); p.index[at] == k {
			return p.acc[at*size : (at+1)*size]
		}
	}
	if p.n == len(p.index) {
		p.grow(size, rest)
	}
	for j := p.n; j > i; j-- {
		to, from := p.place(j), p.place(j-1)
		p.index[to] = p.index[from]
		copy(p.acc[to*size:(to+1)*size], p.acc[from*size:])
	}
	if i < p.n {
		p.touched()
	}
	p.n++
	at := p.place(i)
	p.index[at] = k
	acc := p.acc[at*size : (at+1)*size]
	clear(acc)
	return acc
}

func (p *panes) grow(size int, rest bool) {
	old := *p
	p.index = make([]int64, max(2*len(old.index), 2))
	p.acc = make([]float64, len(p.index)*size)
	if rest {
		p.rest = make([]float64, len(p.index)*size)
	}
	for i := range p.n {
		from, to := old.place(i), i
		p.index[to] = old.index[from]
		copy(p.acc[to*size:(to+1)*size], old.acc[from*size:])
	}
	p.head = 0
	p.touched()
}

// touched tells that panes changed that may be in rest or begin.
func (p *panes) touched() { p.block, p.begins = never, never }

// drop forgets the panes before k.
func (p *panes) drop(k int64) {
	for p.n > 0 && p.index[p.head] < k {
		p.head = p.place(1)
		p.n--
		p.from = max(p.from-1, 0)
	}
}

// lowest and highest return the first pane and the last, of which there must be one.
func (p *panes) lowest() int64  { return p.index[p.head] }
func (p *panes) highest() int64 { return p.index[p.place(p.n-1)] }

// window sets into to what the window of block panes from start on holds, one accumulator a signal; pane is a pane's length. All panes before the window were
// dropped, and it holds at least one.
func (p *panes) window(into []float64, m *moments, start, block, pane int64) {
	size := len(into)
	first := p.index[p.head]
	now := floorDiv(start, block) * block
	next := now + block
	if first < next && p.block != now {
		p.sum(m, next, size, pane)
		p.block = now
	}
	if start > now {
		p.extend(m, next, start+block, size, pane)
	}
	switch {
	case first >= next:
		copy(into, p.begin)
	case start == now:
		copy(into, p.rest[p.head*size:(p.head+1)*size])
	default:
		rest, shift := p.rest[p.head*size:(p.head+1)*size], float64((next-first)*pane)
		for at := 0; at < size; at += m.width {
			m.merge(into[at:], rest[at:], p.begin[at:], shift)
		}
	}
}

// sum merges the panes before next, each with those after it.
func (p *panes) sum(m *moments, next int64, size int, pane int64) {
	n := 0
	for n < p.n && p.index[p.place(n)] < next {
		n++
	}
	for i := n - 1; i >= 0; i-- {
		at := p.place(i)
		acc, rest := p.acc[at*size:(at+1)*size], p.rest[at*size:(at+1)*size]
		if i == n-1 {
			copy(rest, acc)
			continue
		}
		after := p.place(i + 1)
		shift := float64((p.index[after] - p.index[at]) * pane)
		for s := 0; s < size; s += m.width {
			m.merge(rest[s:], acc[s:], p.rest[after*size+s:], shift)
		}
	}
}

// extend lets begin hold the panes of the block next that lie before end.
func (p *panes) extend(m *moments, next, end int64, size int, pane int64) {
	if p.begins != next {
		if len(p.begin) < size {
			p.begin = make([]float64, size)
		}
		clear(p.begin)
		p.begins, p.to, p.from = next, next, 0
	}
	for ; p.from < p.n; p.from++ {
		at := p.place(p.from)
		k := p.index[at]
		if k >= end {
			break
		}
		if k < p.to {
			continue
		}
		shift := float64((k - next) * pane)
		for s := 0; s < size; s += m.width {
			m.merge(p.begin[s:], p.begin[s:], p.acc[at*size+s:], shift)
		}
	}
	p.to = end
}
