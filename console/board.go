package console

import (
	"slices"
	"strings"
	"sync"

	"andon/event"
)

// trendPoints is how many of an asset's newest risks the board keeps, for the small chart of its line in the fleet.
const trendPoints = 32

// board keeps the newest score and row of each asset.
type board struct {
	mu        sync.RWMutex
	fleets    map[string]*fleet
	maxAssets int
}

// fleet is one pipeline's assets, linked by how recently they changed: the front is what a delta holds, the back is what makes room.
type fleet struct {
	assets         map[string]*asset
	newest, oldest *asset
	// version counts changes; each asset holds the version of its own last change.
	version uint64
}

type asset struct {
	name       string
	changed    uint64
	prev, next *asset

	scored bool
	score  event.Score
	// time and values are of the newest row, in event time; values are in the pipeline's order of signals.
	time   int64
	values []float32
	trend  []float32
}

func newBoard(maxAssets int) *board {
	return &board{fleets: map[string]*fleet{}, maxAssets: maxAssets}
}

// apply takes in what was watched.
func (b *board) apply(w *watched) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.fleetLocked(w.pipeline)
	f.version++
	for i := range w.rows {
		r := &w.rows[i]
		a := f.touch(w.asset(r.asset), b.maxAssets)
		if r.time >= a.time {
			a.time = r.time
			a.values = append(a.values[:0], w.values[r.values.from:r.values.to]...)
		}
	}
	for i := range w.scores {
		s := &w.scores[i]
		f.touch(w.asset(s.asset), b.maxAssets).take(&s.Score)
	}
}

// restore takes in scores that the store remembers, oldest first, where nothing newer has been watched.
func (b *board) restore(pipeline string, scores []event.Score) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.fleetLocked(pipeline)
	f.version++
	watched := map[string]bool{}
	for name, a := range f.assets {
		watched[name] = a.scored
	}
	for i := range scores {
		s := &scores[i]
		if watched[s.Asset] || f.assets[s.Asset] == nil && len(f.assets) >= b.maxAssets {
			continue
		}
		f.touch([]byte(s.Asset), b.maxAssets).take(s)
	}
}

func (b *board) fleetLocked(pipeline string) *fleet {
	f := b.fleets[pipeline]
	if f == nil {
		f = &fleet{assets: map[string]*asset{}}
		b.fleets[strings.Clone(pipeline)] = f
	}
	return f
}

// take makes s the newest score, unless a newer window was already scored (partitions and restarts may tell out of order).
func (a *asset) take(s *event.Score) {
	if a.scored && s.End < a.score.End {
		return
	}
	if !a.scored || s.End > a.score.End {
		if len(a.trend) == trendPoints {
			a.trend = append(a.trend[:0], a.trend[1:]...)
		}
		a.trend = append(a.trend, s.Risk)
	} else {
		a.trend[len(a.trend)-1] = s.Risk
	}
	version, topic := a.score.Version, a.score.Topic
	a.score, a.scored = *s, true
	a.score.Asset = a.name
	// Names repeat for hours: keep one copy, and none of the caller's.
	a.score.Version = sameOrClone(version, s.Version)
	a.score.Topic = sameOrClone(topic, s.Topic)
	a.score.Pipeline = ""
}

func sameOrClone(have, s string) string {
	if have == s {
		return have
	}
	return strings.Clone(s)
}

// touch returns the asset, moved to the front, made if need be.
func (f *fleet) touch(name []byte, maxAssets int) *asset {
	a := f.assets[string(name)]
	if a == nil {
		if len(f.assets) >= maxAssets {
			last := f.oldest
			f.unlink(last)
			delete(f.assets, last.name)
		}
		a = &asset{name: string(name), trend: make([]float32, 0, trendPoints)}
		f.assets[a.name] = a
	} else {
		f.unlink(a)
	}
	a.changed = f.version
	a.next = f.newest
	if f.newest != nil {
		f.newest.prev = a
	}
	f.newest = a
	if f.oldest == nil {
		f.oldest = a
	}
	return a
}

func (f *fleet) unlink(a *asset) {
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		f.newest = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		f.oldest = a.prev
	}
	a.prev, a.next = nil, nil
}

// version returns the pipeline's count of changes.
func (b *board) version(pipeline string) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if f := b.fleets[pipeline]; f != nil {
		return f.version
	}
	return 0
}

// standing is an asset as others may keep it.
type standing struct {
	Asset  string
	Scored bool
	Score  event.Score
	// Time is the newest row's event time, 0 where none was seen yet.
	Time   int64
	Values []float32
	Trend  []float32
}

// since returns the assets that changed after the version, newest first, and the version now. With whole, rows' values and trends are copied too.
func (b *board) since(pipeline string, version uint64, whole bool) (list []standing, now uint64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	f := b.fleets[pipeline]
	if f == nil {
		return nil, 0
	}
	for a := f.newest; a != nil && a.changed > version; a = a.next {
		list = append(list, a.standing(whole))
	}
	return list, f.version
}

// asset returns one asset as it stands.
func (b *board) asset(pipeline, name string) (standing, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if f := b.fleets[pipeline]; f != nil {
		if a := f.assets[name]; a != nil {
			return a.standing(true), true
		}
	}
	return standing{}, false
}

func (a *asset) standing(whole bool) standing {
	s := standing{Asset: a.name, Scored: a.scored, Score: a.score, Time: a.time}
	if whole {
		s.Values, s.Trend = slices.Clone(a.values), slices.Clone(a.trend)
	}
	return s
}
