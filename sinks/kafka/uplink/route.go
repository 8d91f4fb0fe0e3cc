package uplink

import (
	"sync"
	"sync/atomic"
	"time"
)

// route is one local partition on its way up.
type route struct {
	key
	to    string
	log   string // the local topic's id
	count int32  // partitions of the local topic
	gone  atomic.Bool
	again atomic.Bool // the last try ended for one record's sake; the next is to be made at once

	// Of the goroutine that carries.
	single int   // so many records more are sent one by one, to find one that is refused
	stub   int64 // the record at this offset is sent without its value; -1
	why    string
	sent   recent

	mu         sync.Mutex
	start, end int64 // of the local log as last seen
	next       int64 // first offset that is not up as far as is known here, -1 if not
	told       int64 // losses below this offset were told
	lost       int64 // in this run
	records    int64
	held, room int64 // bytes that wait in the local log, and that may; room 0 if not known
	err        error
	renewed    time.Time // when the cluster was last told of the position in this run
}

// fail remembers why the route stands still and tells whether that is news.
func (r *route) fail(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.err == nil || err == nil || r.err.Error() != err.Error()
	r.err = err
	return news && err != nil
}

// resumed notes from where the route goes on.
func (r *route) resumed(next int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.err = next, nil
}

// committed notes that the cluster has all below next.
func (r *route) committed(next int64, records int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.records, r.err, r.renewed = next, r.records+int64(records), nil, time.Now()
	r.end = max(r.end, next)
}

// recent remembers the last names it was given.
type recent struct {
	has  map[string]bool
	ring []string
	at   int
}

const recentMost = 1024

func (r *recent) add(name string) {
	if r.has[name] {
		return
	}
	if r.has == nil {
		r.has, r.ring = map[string]bool{}, make([]string, recentMost)
	}
	delete(r.has, r.ring[r.at])
	r.has[name], r.ring[r.at] = true, name
	r.at = (r.at + 1) % recentMost
}
