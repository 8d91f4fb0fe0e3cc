package trainer

import (
	"hash/fnv"
	"math"
	"slices"
	"strconv"
)

// keptFrom is how many blocks of time there must be before some are kept for good: of fewer all are needed to learn from.
const keptFrom = 20

// missedSpare is how many other blocks a class must have to learn from before one with a frame that was missed may be kept from it.
const missedSpare = 4

// division says which examples are learned from, which stop the training, and which are kept for good.
type division struct{ train, val, held []int }

// part cuts the examples by blocks of a camera's time, so that near copies are on one side. Blocks are held for good by their name alone, the same in every run, once there are enough; golden frames always are. Of the
// others some validate: by their names, too, as many as the share says, with every class that has blocks to spare, and none that has not. Frames to learn from that lie beside one of another part are left out.
//
// A block with a frame that somebody marked as missed is learned from, golden or not: it would help nobody to be told again and again that it is missed. Only where its classes have enough other blocks to learn from
// (missedSpare) may it be held or validate as others do, so that what is learned of a new kind of defect is judged by some that were not learned from.
func (g *gallery) part(s *Spec) division {
	p := s.Picture
	type block struct {
		camera string
		number int64
		order  uint64
		rows   []int
		held   bool
		missed bool
	}
	at := map[string]*block{}
	var blocks []*block
	for i := range g.all {
		e := &g.all[i]
		number := e.captured / int64(p.Block)
		key := e.camera + "\x00" + strconv.FormatInt(number, 10)
		b := at[key]
		if b == nil {
			b = &block{camera: e.camera, number: number, order: hashOf(key)}
			at[key] = b
			blocks = append(blocks, b)
		}
		b.rows = append(b.rows, i)
		b.missed = b.missed || e.missed
	}
	var out division
	place := make([]int, len(g.all)) // 1 validates, 2 held, 3 neither and not learned from
	left := map[int]int{}            // blocks that a class has in training
	count := func(b *block, n int) {
		for c := range g.classes(b.rows) {
			left[c] += n
		}
	}
	var rest []*block
	for _, b := range blocks {
		if b.held = len(blocks) >= keptFrom && float64(b.order) < s.Holdout*math.MaxUint64; !b.held {
			count(b, 1)
		}
	}
	few := func(b *block, least int) bool {
		for c := range g.classes(b.rows) {
			if left[c] < least {
				return true
			}
		}
		return false
	}
	judged := map[int]bool{} // classes that are judged
	for _, b := range blocks {
		if b.held && b.missed && few(b, missedSpare) {
			b.held = false
			count(b, 1)
		}
		if b.held {
			for c := range g.classes(b.rows) {
				judged[c] = true
			}
		}
	}
	for c := range s.Picture.Labels { // of what was missed, and is judged by none of its own, the first by name is kept
		var first *block
		for _, b := range blocks {
			if b.missed && !judged[c] && g.classes(b.rows)[c] && len(blocks) >= keptFrom && !few(b, missedSpare+1) && (first == nil || b.order < first.order) {
				first = b
			}
		}
		if first != nil {
			first.held = true
			count(first, -1)
		}
	}
	for _, b := range blocks {
		if !b.held {
			rest = append(rest, b)
		}
	}
	// A second name, so that what validates is not what comes next in the order of those held.
	slices.SortFunc(rest, func(a, b *block) int {
		x, y := hashOf(a.camera+"\x01"+strconv.FormatInt(a.number, 10)), hashOf(b.camera+"\x01"+strconv.FormatInt(b.number, 10))
		return map[bool]int{true: -1, false: 1}[x < y]
	})
	frames := 0
	for _, b := range rest {
		frames += len(b.rows)
	}
	shown := map[int]bool{}
	taken := 0
	take := func(b *block) {
		for _, i := range b.rows {
			place[i] = 1
		}
		taken += len(b.rows)
		count(b, -1)
		for c := range g.classes(b.rows) {
			shown[c] = true
		}
		b.rows = nil
	}
	spare := func(b *block) bool {
		if b.missed {
			return !few(b, missedSpare)
		}
		return !few(b, 2)
	}
	for _, b := range rest {
		if float64(taken)+float64(len(b.rows))/2 <= s.Validation*float64(frames) && spare(b) {
			take(b)
		}
	}
	for _, b := range rest { // what is not shown yet
		news := false
		for c := range g.classes(b.rows) {
			news = news || !shown[c]
		}
		if len(b.rows) > 0 && (news || taken == 0) && spare(b) {
			take(b)
		}
	}
	for _, b := range blocks {
		if b.held {
			for _, i := range b.rows {
				place[i] = 2
			}
		}
	}
	for i := range g.all {
		if g.all[i].golden && !g.all[i].missed {
			place[i] = 2
		}
	}
	gap := int64(p.Block) / 10
	beside := func(i int, f func(j int)) {
		for _, step := range [...]int{-1, 1} {
			for j := i + step; j >= 0 && j < len(g.all) && g.all[j].camera == g.all[i].camera && abs(g.all[j].captured-g.all[i].captured) < gap; j += step {
				f(j)
			}
		}
	}
	for i := range g.all {
		if g.all[i].missed && place[i] == 0 { // its near copies are no test of what learned from it
			beside(i, func(j int) {
				if place[j] != 0 && !g.all[j].golden {
					place[j] = 3
				}
			})
		}
	}
	for i := range g.all { // they lie in order of camera and time
		switch place[i] {
		case 1:
			out.val = append(out.val, i)
		case 2:
			out.held = append(out.held, i)
		case 0:
			near := false
			beside(i, func(j int) { near = near || place[j] != 0 })
			if g.all[i].missed || !near {
				out.train = append(out.train, i)
			}
		}
	}
	return out
}

// classes returns which classes examples show; -1 is nothing.
func (g *gallery) classes(rows []int) map[int]bool {
	out := map[int]bool{}
	for _, i := range rows {
		e := &g.all[i]
		if e.class >= 0 {
			out[e.class] = true
			continue
		}
		for _, m := range e.marks {
			out[m.Class] = true
		}
		if len(e.marks) == 0 {
			out[-1] = true
		}
	}
	return out
}

func abs(v int64) int64 { return max(v, -v) }

// hashOf spreads names over all numbers.
func hashOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash takes all
	v := h.Sum64()
	// FNV's high bits change little with the last letters; the finish of splitmix64 mixes them (Steele, Lea and Flood 2014).
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
