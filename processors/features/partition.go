package features

import (
	"fmt"
	"math/bits"
	"slices"

	"andon/event"
	"andon/model"
)

// Outcome says what became of a row.
type Outcome uint8

// The outcomes.
const (
	// Taken: in a slot, or not needed there because a newer reading is.
	Taken Outcome = iota
	// Surplus: in order, but its slot is closed because it was complete. Many of them mean that the asset sends more often than the grid.
	Surplus
	// Duplicate: all its readings were taken before, at the same time.
	Duplicate
	// Late: its slot is closed, or its time is outside the years 1685 to 2255.
	Late
)

// Emit is told of each window as it is made. An error ends the row's handling, and with it the Partition's use.
type Emit func(*Window) error

// Partition is the state of one partition's assets. It is not safe for concurrent use; after warm-up a row allocates nothing.
type Partition struct {
	cfg    Config
	recipe model.Recipe
	// columns says where in a row the recipe's signals are; nil when the row has just these.
	columns []int
	columnN int

	grid, lateness, horizon int64
	maxGap, stride          int64
	signals, width          int
	complete                bool
	// lasting assets are forgotten by the horizon only, and forgot is told of each that is, after its last window. See NewSlots.
	lasting bool
	forgot  func(asset string)

	lives
	assets map[string]*asset
	spare  []*asset

	window Window
	values []float64 // a row's values of the recipe's signals
	mask   []uint64
	full   []uint64
}

// New makes the state of a partition whose rows hold the named signals in this order.
func New(cfg Config, signals []string) (*Partition, error) {
	p := &Partition{cfg: cfg, recipe: cfg.Recipe, columnN: len(signals), lives: lives{clock: never}, assets: map[string]*asset{}}
	r := &p.recipe
	if len(r.Signals) == 0 {
		r.Signals = signals
	}
	p.cfg.Recipe = *r
	if err := p.cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make features: %w", err)
	}
	if !slices.Equal(r.Signals, signals) {
		for _, s := range r.Signals {
			i := slices.Index(signals, s)
			if i < 0 {
				return nil, fmt.Errorf("make features: signals: the recipe needs %q, the rows have %q", s, signals)
			}
			p.columns = append(p.columns, i)
		}
		p.values = make([]float64, len(r.Signals))
	}
	p.grid, p.lateness, p.horizon = int64(r.Grid), int64(cfg.Lateness), int64(cfg.Horizon)
	p.maxGap, p.stride = int64(r.MaxGap), int64(cfg.Stride)
	p.signals, p.width = len(r.Signals), r.Width()
	p.complete = cfg.Close == Complete
	p.mask, p.full = make([]uint64, (len(signals)+63)/64), make([]uint64, (len(signals)+63)/64)
	for i := range signals {
		p.full[i/64] |= 1 << (i % 64)
	}
	p.window.width = p.width
	return p, nil
}

// NewSlots makes the state of a partition whose windows are single slots: for what remembers by itself what was before. So that it may, an asset is forgotten by the horizon only, and not by a gap in its rows; forgot is
// told of each that is, after its last window. Of the recipe the signals, grid, gap and smoothing count.
func NewSlots(cfg Config, signals []string, forgot func(asset string)) (*Partition, error) {
	cfg.Recipe.Length, cfg.Recipe.Baseline, cfg.Recipe.Age, cfg.Stride = 1, 0, false, 1
	p, err := New(cfg, signals)
	if err != nil {
		return nil, err
	}
	p.lasting, p.forgot = true, forgot
	return p, nil
}

// Recipe returns the recipe in use, with its signals. It must not be changed.
func (p *Partition) Recipe() *model.Recipe { return &p.recipe }

// Assets returns how many assets are known.
func (p *Partition) Assets() int { return len(p.assets) }

// Newest returns the event time of an asset's newest row; false for an unknown asset.
func (p *Partition) Newest(name string) (int64, bool) {
	a := p.assets[name]
	if a == nil {
		return 0, false
	}
	return a.newest, true
}

// Row takes one row, with one value for each of the signals that New was told, and tells emit of the windows that close by it; a nil emit
// makes none.
func (p *Partition) Row(row *event.Row, emit Emit) (Outcome, error) {
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
			if err := p.forget(p.assets[a.name], emit); err != nil {
				return Late, err
			}
		}
	}
	a := p.assets[row.Asset]
	if a != nil && !p.lasting && t >= (a.top+p.maxGap+2)*p.grid+p.lateness {
		if err := p.forget(a, emit); err != nil {
			return Late, err
		}
		a = nil
	}
	if a == nil {
		a = p.birth(row, clock)
	} else {
		p.touch(&a.life)
	}
	mask, values, read := p.split(row)

	if t <= a.newest {
		return p.older(a, t, mask, values, read, emit)
	}
	a.newest = t
	a.mem.add(t, mask)
	if uint64(t-a.next*p.grid) < uint64(p.grid) {
		a.top = a.next
		if read == p.signals && p.complete && a.cells.open == 0 {
			return Taken, p.closeSlot(a, a.next, values, nil, emit)
		}
	} else {
		a.top = floorDiv(t, p.grid)
		if t-p.lateness >= (a.next+1)*p.grid {
			if err := p.advance(a, floorDiv(t-p.lateness, p.grid), emit); err != nil {
				return Late, err
			}
		}
		if a.top < a.next {
			return Surplus, nil
		}
	}
	if read == 0 {
		return Taken, nil
	}
	a.cells.put(a.top, t, values)
	return Taken, p.closeComplete(a, emit)
}

// older takes a row that is not newer than all of its asset's rows.
func (p *Partition) older(a *asset, t int64, mask []uint64, values []float64, read int, emit Emit) (Outcome, error) {
	if a.mem.covers(t, mask) {
		return Duplicate, nil
	}
	k := floorDiv(t, p.grid)
	if k < a.next {
		if t < a.newest {
			return Late, nil
		}
		a.mem.add(t, mask)
		return Surplus, nil
	}
	a.mem.add(t, mask)
	if read == 0 {
		return Taken, nil
	}
	a.cells.put(k, t, values)
	return Taken, p.closeComplete(a, emit)
}

// split returns which signals of the row have readings, its values of the recipe's signals, and how many of these are readings.
func (p *Partition) split(row *event.Row) (mask []uint64, values []float64, read int) {
	mask, values = p.full, row.Values
	for _, v := range values {
		if usable(v) {
			read++
		}
	}
	if read < len(values) {
		mask = p.mask
		clear(mask)
		for i, v := range values {
			if usable(v) {
				mask[i/64] |= 1 << (i % 64)
			}
		}
	}
	if p.columns == nil {
		return mask, values, read
	}
	read, values = 0, p.values
	for s, i := range p.columns {
		values[s] = row.Values[i]
		if usable(values[s]) {
			read++
		}
	}
	return mask, values, read
}

// birth makes an unknown asset known by its first row.
func (p *Partition) birth(row *event.Row, clock int64) *asset {
	var a *asset
	if n := len(p.spare); n > 0 {
		a, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		a = p.newAsset()
	}
	a.name, a.born, a.bornClock = clone(row.Asset), row.Offset, clock
	a.newest, a.last = never, never
	// Rows before the first one's slot may come while lateness allows.
	a.next = floorDiv(row.Time-p.lateness, p.grid)
	a.age, a.head, a.gaps, a.unknown = 0, 0, true, p.signals
	for s := range a.gap {
		a.gap[s] = int32(p.maxGap) + 1
	}
	a.mem.reset()
	p.assets[a.name] = a
	p.append(&a.life)
	return a
}

func (p *Partition) newAsset() *asset {
	state := make([]float64, 3*p.signals)
	remember := 1 << bits.Len(uint(p.cfg.Remember-1))
	return &asset{
		gap: make([]int32, p.signals), prev: state[:p.signals:p.signals], ema: state[p.signals : 2*p.signals : 2*p.signals], base: state[2*p.signals:],
		ring: make([]float32, p.recipe.Length*p.width),
		mem:  newMemory(remember, len(p.full)),
	}
}

// forget closes an asset's open slots and makes it unknown.
func (p *Partition) forget(a *asset, emit Emit) error {
	for a.cells.open > 0 {
		if err := p.closeLowest(a, emit); err != nil {
			return err
		}
	}
	p.remove(&a.life)
	delete(p.assets, a.name)
	if p.forgot != nil {
		p.forgot(a.name)
	}
	a.name = ""
	// Enough for a churn of assets; more would keep the memory of a crowd that has left.
	if len(p.spare) < 256 {
		p.spare = append(p.spare, a)
	}
	return nil
}

// Finish forgets all assets, the longest quiet first: what is done at the end of recorded rows.
func (p *Partition) Finish(emit Emit) error {
	for p.quietest != nil {
		if err := p.forget(p.assets[p.quietest.name], emit); err != nil {
			return err
		}
	}
	return nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
