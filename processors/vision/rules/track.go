package rules

import (
	"cmp"
	"math"
	"slices"

	"andon/event"
)

// follow gives each box the object that it is of, new ones where there is none.
//
// It is SORT (Bewley et al., "Simple online and realtime tracking", 2016) made smaller: an object is expected where it would be if it went on as it did (constant velocity, of the last frames, in place of a
// Kalman filter), and pairs are taken greedily by intersection over union in place of the Hungarian method, which differ only where objects cover each other. Where nothing overlaps, as for who runs past at
// five frames a second, the nearest within Reach sizes of the box is taken, as in centroid trackers. Only boxes of one label are one object.
func (s *Set) follow(c *Camera, f *Frame) {
	if len(f.Boxes) == 0 {
		return
	}
	if c.Tracks == nil {
		c.Tracks = map[int64]*Followed{}
	}
	type pair struct {
		box   int
		track int64
		fit   float32 // overlap above 1, nearness below
	}
	var pairs []pair
	for i := range f.Boxes {
		b := &f.Boxes[i]
		for id, t := range c.Tracks {
			if t.Label != b.Label {
				continue
			}
			if fit := s.fit(t, b, f.Captured); fit > 0 {
				pairs = append(pairs, pair{i, id, fit})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.fit, a.fit), cmp.Compare(a.track, b.track), cmp.Compare(a.box, b.box))
	})
	taken := map[int64]bool{}
	for _, p := range pairs {
		b := &f.Boxes[p.box]
		if b.Track != 0 || taken[p.track] {
			continue
		}
		b.Track, taken[p.track] = p.track, true
		c.Tracks[p.track].move(b, f.Captured)
	}
	for i := range f.Boxes {
		if b := &f.Boxes[i]; b.Track == 0 {
			c.NextTrack++
			b.Track = c.NextTrack
			c.Tracks[b.Track] = &Followed{Label: b.Label, Box: corners(b), Foot: Point{(b.X0 + b.X1) / 2, b.Y1}, Frames: 1, Seen: f.Captured}
		}
	}
}

// fit tells how well a box goes with an object: 1 and its overlap, or how near it is, below 1; 0 if it does not.
func (s *Set) fit(t *Followed, b *event.Box, now int64) float32 {
	seconds := float32(float64(now-t.Seen) / 1e9)
	dx, dy := t.Step[0]*seconds, t.Step[1]*seconds
	e := [4]float32{t.Box[0] + dx, t.Box[1] + dy, t.Box[2] + dx, t.Box[3] + dy}
	if over := max(overlap(e, corners(b)), overlap(t.Box, corners(b))); over >= s.cfg.Track.Overlap {
		return 1 + over
	}
	size := float64(max(e[2]-e[0], e[3]-e[1], b.X1-b.X0, b.Y1-b.Y0))
	away := math.Hypot(float64(e[0]+e[2]-b.X0-b.X1)/2, float64(e[1]+e[3]-b.Y0-b.Y1)/2)
	if reach := size * float64(s.cfg.Track.Reach); away < reach {
		return float32(1 - away/reach)
	}
	return 0
}

// move notes where the object is now.
func (t *Followed) move(b *event.Box, now int64) {
	if seconds := float32(float64(now-t.Seen) / 1e9); seconds > 0 {
		dx, dy := ((b.X0+b.X1)-(t.Box[0]+t.Box[2]))/2/seconds, ((b.Y0+b.Y1)-(t.Box[1]+t.Box[3]))/2/seconds
		if t.Frames > 1 { // half of what was: a box trembles
			dx, dy = (t.Step[0]+dx)/2, (t.Step[1]+dy)/2
		}
		t.Step = [2]float32{dx, dy}
	}
	t.Box, t.Seen, t.Label = corners(b), now, b.Label
	t.Frames++
}

func corners(b *event.Box) [4]float32 { return [4]float32{b.X0, b.Y0, b.X1, b.Y1} }

// overlap is the intersection over union of two boxes.
func overlap(a, b [4]float32) float32 {
	w, h := min(a[2], b[2])-max(a[0], b[0]), min(a[3], b[3])-max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	in := w * h
	return in / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - in)
}
