package features

import (
	"fmt"
	"math/bits"
	"slices"

	"andon/event"
)

// Aggregates is the state of one partition's assets whose values are told in windows of event time. It is not safe for concurrent use; after warm-up a row
// allocates nothing.
//
// A window of an asset closes when the asset's own watermark, its newest event time less the allowed lateness, reaches the window's end, or when the asset is
// forgotten, by the rule of the package comment. What it then tells follows from the rows before that. A row counts in those of its windows that are open; with
// none open it is late. A window without values is not told.
//
// An asset that comes back after it was forgotten, with rows of a window that closed then, has that window told again, for those rows: horizon is for longer
// silences than any that are made up for later.
type Aggregates struct {
	cfg Aggregate
	// columns says where in a row the signals are; nil when the row has just these.
	columns []int
	columnN int
	names   []string

	pane, lateness, horizon int64
	// A window holds length panes, and the next one begins stride panes later.
	length, stride int64
	moments        moments
	size           int // of all signals' accumulators

	lives
	assets map[string]*paned
	spare  []*paned

	window     []float64
	mask, full []uint64
}

// paned is an asset with the panes of its open windows.
type paned struct {
	life
	// next is the first pane of the first open window, due the event time that closes that.
	next, due int64
	// Top is the newest row's pane: topAcc, nil if nothing was read in it, begins at topTime.
	topTime int64
	topAcc  []float64
	panes   panes
	mem     memory
}

// NewAggregates makes the state of a partition whose rows hold the named signals in this order.
func NewAggregates(cfg Aggregate, signals []string) (*Aggregates, error) {
	p := &Aggregates{cfg: cfg.Settled(signals), columnN: len(signals), lives: lives{clock: never}, assets: map[string]*paned{}}
	if err := p.cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make aggregates: %w", err)
	}
	if !slices.Equal(p.cfg.Signals, signals) {
		for _, s := range p.cfg.Signals {
			i := slices.Index(signals, s)
			if i < 0 {
				return nil, fmt.Errorf("make aggregates: signals: %q is none of the rows' %q", s, signals)
			}
			p.columns = append(p.columns, i)
		}
	}
	p.names = p.cfg.Names(signals)
	p.lateness, p.horizon = int64(p.cfg.Lateness), int64(p.cfg.Horizon)
	p.pane = int64(p.cfg.pane())
	p.length, p.stride = int64(p.cfg.Size)/p.pane, int64(p.cfg.Every)/p.pane
	p.moments = newMoments(p.cfg.Functions)
	p.size = len(p.cfg.Signals) * p.moments.width
	p.window = make([]float64, p.size)
	p.mask, p.full = make([]uint64, (len(signals)+63)/64), make([]uint64, (len(signals)+63)/64)
	for i := range signals {
		p.full[i/64] |= 1 << (i % 64)
	}
	return p, nil
}

// Names returns the names of a window's values. They must not be changed.
func (p *Aggregates) Names() []string { return p.names }

// Assets returns how many assets are known.
func (p *Aggregates) Assets() int { return len(p.assets) }

// Newest returns the event time of an asset's newest row; false for an unknown asset.
func (p *Aggregates) Newest(name string) (int64, bool) {
	a := p.assets[name]
	if a == nil {
		return 0, false
	}
	return a.newest, true
}

// Row takes one row, with one value for each of the signals that NewAggregates was told, and appends the windows that close by it to into, which has Names; a
// nil into takes none.
func (p *Aggregates) Row(row *event.Row, into *event.Features) (Outcome, error) {
	t := row.Time
	if len(row.Values) != p.columnN {
		return Late, fmt.Errorf("row of %s at offset %d has %d values for %d signals", row.Asset, row.Offset, len(row.Values), p.columnN)
	}
	if t > latest || t < earliest {
		return Late, nil
	}
	clock := p.clock
	if t > clock {
		p.clock = t
		for a := p.quietest; a != nil && a.touched < t-p.horizon; a = p.quietest {
			p.forget(p.assets[a.name], row.Offset, into)
		}
	}
	a := p.assets[row.Asset]
	if a == nil {
		a = p.birth(row, clock)
	} else {
		p.touch(&a.life)
	}
	if t <= a.newest {
		return p.older(a, row), nil
	}
	a.newest = t
	if p.cfg.Remember > 0 {
		a.mem.add(t, p.read(row.Values))
	}
	if t >= a.due {
		p.close(a, floorDiv(t-p.lateness, p.pane), row.Offset, into)
	}
	if uint64(t-a.topTime) >= uint64(p.pane) {
		a.topTime, a.topAcc = floorDiv(t, p.pane)*p.pane, nil
	}
	if a.topAcc == nil {
		if !p.has(row.Values) {
			return Taken, nil
		}
		a.topAcc = a.panes.pane(a.topTime/p.pane, p.size, p.length > 1)
	}
	p.put(a.topAcc, row.Values, t-a.topTime)
	return Taken, nil
}

// older takes a row that is not newer than all of its asset's rows.
func (p *Aggregates) older(a *paned, row *event.Row) Outcome {
	t := row.Time
	if p.cfg.Remember > 0 {
		mask := p.read(row.Values)
		if a.mem.covers(t, mask) {
			return Duplicate
		}
		if k := floorDiv(t, p.pane); p.last(k) < a.next {
			return Late
		}
		a.mem.add(t, mask)
	}
	k := floorDiv(t, p.pane)
	if p.last(k) < a.next {
		return Late
	}
	if !p.has(row.Values) {
		return Taken
	}
	if k < floorDiv(a.newest-p.lateness, p.pane) {
		a.panes.touched() // it is later than allowed, but some of its windows are open
	}
	p.put(a.panes.pane(k, p.size, p.length > 1), row.Values, t-k*p.pane)
	a.topAcc = nil // the ring may have moved
	return Taken
}

// last returns the begin of the last window with pane k, in panes.
func (p *Aggregates) last(k int64) int64 { return floorDiv(k, p.stride) * p.stride }

// first returns the begin of the first window whose end lies after pane k begins, in panes.
func (p *Aggregates) first(k int64) int64 { return p.last(k - p.length + p.stride) }

// read returns which of the row's signals have readings.
func (p *Aggregates) read(values []float64) []uint64 {
	for i, v := range values {
		if usable(v) {
			continue
		}
		clear(p.mask)
		for j, v := range values {
			if j < i || usable(v) {
				p.mask[j/64] |= 1 << (j % 64)
			}
		}
		return p.mask
	}
	return p.full
}

// has tells whether the row has a value of the signals that are told of.
func (p *Aggregates) has(values []float64) bool {
	if p.columns == nil {
		return slices.ContainsFunc(values, usable)
	}
	return slices.ContainsFunc(p.columns, func(i int) bool { return usable(values[i]) })
}

// put adds the row's values, read at nanoseconds after the pane's begin.
func (p *Aggregates) put(acc []float64, values []float64, at int64) {
	width, m, when := p.moments.width, &p.moments, float64(at)
	if p.columns == nil {
		for s, v := range values {
			if usable(v) {
				m.add(acc[s*width:(s+1)*width:(s+1)*width], v, when)
			}
		}
		return
	}
	for s, i := range p.columns {
		if v := values[i]; usable(v) {
			m.add(acc[s*width:(s+1)*width:(s+1)*width], v, when)
		}
	}
}

// close closes the windows of an asset that end at or before pane now.
func (p *Aggregates) close(a *paned, now, offset int64, into *event.Features) {
	panes := &a.panes
	for start := a.next; start+p.length <= now; start += p.stride {
		panes.drop(start)
		if panes.n == 0 {
			break
		}
		// Windows before that of the lowest pane are empty.
		if start = max(start, p.first(panes.lowest())); start+p.length > now {
			break
		}
		if into != nil {
			p.tell(a, start, offset, into)
		}
	}
	a.next = p.first(now)
	a.due = (a.next+p.length)*p.pane + p.lateness
	panes.drop(a.next)
	a.topAcc = nil
}

// tell appends the window that begins with pane start.
func (p *Aggregates) tell(a *paned, start, offset int64, into *event.Features) {
	sums := p.window
	if p.length == 1 {
		sums = a.panes.acc[a.panes.head*p.size : (a.panes.head+1)*p.size]
	} else {
		a.panes.window(sums, &p.moments, start, p.length, p.pane)
	}
	values := into.Append(a.name, start*p.pane, (start+p.length)*p.pane, offset)
	width, n := p.moments.width, len(p.moments.functions)
	for at := 0; at < p.size; at += width {
		p.moments.tell(values[:n:n], sums[at:at+width:at+width])
		values = values[n:]
	}
}

// birth makes an unknown asset known by its first row.
func (p *Aggregates) birth(row *event.Row, clock int64) *paned {
	var a *paned
	if n := len(p.spare); n > 0 {
		a, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		a = p.newAsset()
	}
	a.name, a.born, a.bornClock = clone(row.Asset), row.Offset, clock
	a.newest = never
	p.settle(a, row.Time)
	a.panes.reset()
	a.mem.reset()
	p.assets[a.name] = a
	p.append(&a.life)
	return a
}

// settle says which windows are open by an asset's newest time.
func (p *Aggregates) settle(a *paned, newest int64) {
	a.next = p.first(floorDiv(newest-p.lateness, p.pane))
	a.due = (a.next+p.length)*p.pane + p.lateness
	a.topTime, a.topAcc = floorDiv(newest, p.pane)*p.pane, nil
}

func (p *Aggregates) newAsset() *paned {
	a := &paned{}
	if p.cfg.Remember > 0 {
		a.mem = newMemory(1<<bits.Len(uint(p.cfg.Remember-1)), len(p.full))
	}
	return a
}

// forget closes an asset's windows and makes it unknown.
func (p *Aggregates) forget(a *paned, offset int64, into *event.Features) {
	if a.panes.n > 0 {
		p.close(a, p.last(a.panes.highest())+p.length, offset, into)
	}
	p.remove(&a.life)
	delete(p.assets, a.name)
	a.name = ""
	// Enough for a churn of assets; more would keep the memory of a crowd that has left.
	if len(p.spare) < 256 {
		p.spare = append(p.spare, a)
	}
}
