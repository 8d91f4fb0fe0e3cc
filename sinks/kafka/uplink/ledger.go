package uplink

import (
	"math/bits"
	"slices"
)

// ledger holds which offsets of one local partition were seen in the central cluster, and what their headers say of their order. It takes a bit an offset, and more only
// for those that do not follow the one before.
type ledger struct {
	pages   map[int64]*[pageWords]uint64
	jumps   map[int64]int64 // after, where it is not the offset before
	last    map[int32]int64 // the last offset seen in each central partition
	records int64
	doubles int64
	twice   []int64 // the first of them
	turned  int64   // records that came after one of a higher offset in their central partition
	lost    int64   // as their headers say
	refused int64
	cut     int64
}

const (
	pageWords = 1024
	pageSize  = pageWords * 64
	listMost  = 10
)

func newLedger() *ledger {
	return &ledger{pages: map[int64]*[pageWords]uint64{}, jumps: map[int64]int64{}, last: map[int32]int64{}}
}

func (l *ledger) add(o origin, central int32) {
	page := l.pages[o.offset/pageSize]
	if page == nil {
		page = new([pageWords]uint64)
		l.pages[o.offset/pageSize] = page
	}
	word, bit := &page[o.offset%pageSize/64], uint64(1)<<(o.offset%64)
	l.records++
	if *word&bit != 0 {
		l.doubles++
		if len(l.twice) < listMost {
			l.twice = append(l.twice, o.offset)
		}
		return
	}
	*word |= bit
	if o.after != o.offset-1 {
		l.jumps[o.offset] = o.after
	}
	if last, ok := l.last[central]; ok && o.offset < last {
		l.turned++
	}
	l.last[central] = o.offset
	l.lost += max(o.lost, 0)
	if o.refused {
		l.refused++
	}
	if o.cut {
		l.cut++
	}
}

func (l *ledger) has(offset int64) bool {
	page := l.pages[offset/pageSize]
	return page != nil && page[offset%pageSize/64]&(1<<(offset%64)) != 0
}

// each calls f with the offsets in ascending order.
func (l *ledger) each(f func(offset int64)) {
	var ids []int64
	for id := range l.pages {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for w, word := range l.pages[id] {
			for ; word != 0; word &= word - 1 {
				f(id*pageSize + int64(w)*64 + int64(bits.TrailingZeros64(word)))
			}
		}
	}
}

// chain follows the records from the first to the last. first is -1 when there is none, begun tells that the first says that there is none before it; gaps are stretches
// of which records are missing, and forks counts records that name another one before them than the one that is.
func (l *ledger) chain() (first, last int64, begun bool, gaps []Range, forks int64) {
	first, last = -1, -1
	l.each(func(offset int64) {
		after, jumps := l.jumps[offset]
		if !jumps {
			after = offset - 1
		}
		switch {
		case first < 0:
			first, begun = offset, after < 0
		case after > last:
			gaps = append(gaps, Range{last + 1, after + 1})
		case after < last:
			forks++
		}
		last = offset
	})
	return first, last, begun, gaps, forks
}
