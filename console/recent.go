package console

import "time"

// recent keeps the newest of what was watched, for feeds that open: the store holds a row only after the sink's flush.
type recent struct {
	list []*watched
	// first is the index of the oldest that is kept.
	first int
	held  int
	// lost is when the newest that was let go had been watched.
	lost time.Time
}

// recentPoints bounds what is kept, in rows and scores: at the demo's pace minutes, at the watch's full budget most of a second.
const recentPoints = 16_384

func (r *recent) kept() []*watched { return r.list[r.first:] }

// add keeps w and returns those that made room for it.
func (r *recent) add(w *watched) (old []*watched) {
	r.list = append(r.list, w)
	r.held += len(w.rows) + len(w.scores)
	for r.held > recentPoints && len(r.list)-r.first > 1 {
		o := r.list[r.first]
		r.list[r.first] = nil
		r.first++
		r.held -= len(o.rows) + len(o.scores)
		r.lost = o.arrived
		old = append(old, o)
	}
	if r.first > 64 && r.first > len(r.list)/2 {
		r.list = append(r.list[:0], r.list[r.first:]...)
		r.first = 0
	}
	return old
}

// reaches reports whether everything watched since t is kept.
func (r *recent) reaches(t time.Time) bool { return r.lost.Before(t) }
