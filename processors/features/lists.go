package features

import (
	"cmp"
	"slices"
	"strings"
)

// clone keeps an asset's name apart from the record that it was read from.
func clone(name string) string { return strings.Clone(name) }

// life is what each kind of state keeps of an asset since it was last unknown.
type life struct {
	name string

	// Its neighbours in the partition's lists: by last row, and by first.
	quieter, louder *life
	elder, younger  *life

	// born is the offset of its first row, bornClock the partition's clock before it, touched the clock after its last row.
	born, bornClock, touched int64

	// newest is the event time of its newest row.
	newest int64
}

// lives are the assets that a partition knows, in order, and its clock: the newest event time of all its rows.
type lives struct {
	clock int64
	// The ends of the lists: the longest quiet and the last heard; the first born and the last.
	quietest, loudest *life
	eldest, youngest  *life
}

// NoClock is the clock before the first row.
const NoClock = never

// Fold returns the smallest offset from which rows must be read again to get this state back, and the clock to begin with; next is the offset
// after the last row handled.
func (p *lives) Fold(next int64) (offset, clock int64) {
	if p.eldest == nil {
		return next, p.clock
	}
	return p.eldest.born, p.eldest.bornClock
}

// SetClock sets the clock that Fold told, before the first row.
func (p *lives) SetClock(clock int64) { p.clock = clock }

// append puts a new asset at the end of both lists.
func (p *lives) append(a *life) {
	a.elder, a.younger = p.youngest, nil
	if p.youngest != nil {
		p.youngest.younger = a
	} else {
		p.eldest = a
	}
	p.youngest = a
	p.appendLoudest(a)
}

func (p *lives) appendLoudest(a *life) {
	a.touched = p.clock
	a.quieter, a.louder = p.loudest, nil
	if p.loudest != nil {
		p.loudest.louder = a
	} else {
		p.quietest = a
	}
	p.loudest = a
}

// touch moves an asset to the end of the list by last row.
func (p *lives) touch(a *life) {
	if a == p.loudest {
		a.touched = p.clock
		return
	}
	p.unlinkQuiet(a)
	p.appendLoudest(a)
}

func (p *lives) unlinkQuiet(a *life) {
	if a.quieter != nil {
		a.quieter.louder = a.louder
	} else {
		p.quietest = a.louder
	}
	if a.louder != nil {
		a.louder.quieter = a.quieter
	} else {
		p.loudest = a.quieter
	}
}

// inherit puts assets that were read from a snapshot into the list by first row, and tells whether no two were born at one offset.
func (p *lives) inherit(births []*life) bool {
	slices.SortFunc(births, func(a, b *life) int { return cmp.Compare(a.born, b.born) })
	for i, a := range births {
		if i > 0 && births[i-1].born == a.born {
			return false
		}
		a.elder, p.youngest = p.youngest, a
		if a.elder != nil {
			a.elder.younger = a
		} else {
			p.eldest = a
		}
	}
	return true
}

// remove takes an asset out of both lists.
func (p *lives) remove(a *life) {
	p.unlinkQuiet(a)
	if a.elder != nil {
		a.elder.younger = a.younger
	} else {
		p.eldest = a.younger
	}
	if a.younger != nil {
		a.younger.elder = a.elder
	} else {
		p.youngest = a.elder
	}
	a.quieter, a.louder, a.elder, a.younger = nil, nil, nil, nil
}
