package absence

import (
	"sync"
	"time"

	"andon/event"
)

// most bounds the assets of a pipeline that are watched, about 150 bytes each; further ones are not.
const most = 100_000

// Seat is what one partition of a pipeline is seen from. Begin and End are for the goroutine of the partition; a nil Seat does nothing.
type Seat struct {
	of        *pipeline
	partition int32

	mu     sync.Mutex
	assets map[string]*asset
	busy   int64 // since when a batch is in hand; 0: none is
	blind  bool  // a backlog is read, or a batch is stuck: gaps mean nothing
}

// asset is what is known of one.
type asset struct {
	rhythm
	newest  int64 // event time of its newest record
	retired int64 // event time at which its life ended; 0: it did not
	camera  bool
	excused bool
}

// Begin takes note of who sent something. The batch is not kept.
func (s *Seat) Begin(b *event.Batch) {
	if s == nil {
		return
	}
	now := s.Hold()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b.Rows)+len(b.Frames) == 0 {
		return
	}
	s.of.came(now, !s.blind)
	var name string
	var a *asset
	for i := range b.Rows {
		r := &b.Rows[i]
		if a == nil || r.Asset != name {
			name, a = r.Asset, s.came(r.Asset, now, false)
		}
		a.lived(r.Time)
	}
	for i := range b.Frames {
		f := &b.Frames[i]
		if a == nil || f.Camera != name {
			name, a = f.Camera, s.came(f.Camera, now, true)
		}
		a.lived(f.Captured)
	}
}

// Hold tells that the partition is at work, until End.
func (s *Seat) Hold() (now int64) {
	if s == nil {
		return 0
	}
	now = time.Now().UnixNano()
	s.mu.Lock()
	s.busy = now
	s.mu.Unlock()
	return now
}

// came returns the asset, or one that nobody keeps where there are too many.
func (s *Seat) came(name string, now int64, camera bool) *asset {
	a := s.assets[name]
	if a == nil {
		a = &asset{camera: camera}
		if !s.of.room() {
			return a
		}
		a.excused = s.of.except != nil && s.of.except.MatchString(name)
		s.assets[name] = a
		s.of.back(name)
	}
	a.came(now, &s.of.cfg, !s.blind)
	return a
}

// lived takes in the event time of a record: one after the end of a life begins another.
func (a *asset) lived(at int64) {
	a.newest = max(a.newest, at)
	if at > a.retired {
		a.retired = 0
	}
}

// End tells that the batch is done.
func (s *Seat) End() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.busy = 0
	s.mu.Unlock()
}

// Close gives the partition up: whoever has it next learns its assets anew. Those that are missed stay so until they come here again or are forgotten.
func (s *Seat) Close() {
	if s == nil {
		return
	}
	s.of.leave(s)
}

// see settles whether gaps mean anything, moves the assets along where they do not, and counts those that may be missed.
func (s *Seat) see(now int64, behind bool) (blind bool, assets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blind = behind || s.busy != 0 && now-s.busy > int64(stuck)
	for _, a := range s.assets {
		if a.counts() {
			assets++
		}
		if blind || s.blind {
			if a.silence(now) < time.Duration(a.patience(&s.of.cfg)) { // who was missed before is missed on
				a.last = now
			}
		}
	}
	s.blind = blind
	return blind, assets
}

func (a *asset) counts() bool { return a.retired == 0 && !a.excused }

// retire ends an asset's life, if nothing of it is newer.
func (s *Seat) retire(name string, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.assets[name]; a != nil && at >= a.newest {
		a.retired = at
	}
}
