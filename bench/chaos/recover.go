package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// recovery is one interruption, and how long it took until every partition had new scores in ClickHouse.
type recovery struct {
	fault
	at   time.Time
	took time.Duration // 0 while it lasts
	// alone tells that nothing else delayed it: there was no second member to wait for, and no other fault before it was over.
	alone bool
}

// watch measures recoveries from outside: by what a reader of ClickHouse sees.
type watch struct {
	a    *appliance
	mu   sync.Mutex
	open []*recovery
	all  []*recovery
}

// begin tells of an interruption at this moment.
func (w *watch) begin(f fault, alone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturbLocked()
	r := &recovery{fault: f, at: time.Now(), alone: alone && len(w.open) == 0}
	w.open, w.all = append(w.open, r), append(w.all, r)
}

// disturb tells of a fault that delays the recoveries under way.
func (w *watch) disturb() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturbLocked()
}

func (w *watch) disturbLocked() {
	for _, o := range w.open {
		o.alone = false
	}
}

// pending returns how many interruptions last.
func (w *watch) pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

// run looks until ctx ends.
func (w *watch) run(ctx context.Context) {
	var c driver.Conn
	var at addresses
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for ; ctx.Err() == nil; time.Sleep(40 * time.Millisecond) {
		if w.pending() == 0 || !w.a.up() {
			continue
		}
		look, cancel := context.WithTimeout(ctx, 2*time.Second)
		if now, err := w.a.ready(look); err == nil {
			if now != at && c != nil {
				_ = c.Close()
				c = nil
			}
			at = now
			if c == nil {
				c, _ = dial(at)
			}
			if c != nil {
				w.look(look, c)
			}
		}
		cancel()
	}
}

// look ends the interruptions that are older than the newest score of each partition.
func (w *watch) look(ctx context.Context, c driver.Conn) {
	r, err := c.Query(ctx, "SELECT max(scored_at) FROM scores WHERE pipeline = ? GROUP BY _partition", pipeline)
	if err != nil {
		return
	}
	defer r.Close()
	var newest []time.Time
	for r.Next() {
		var t time.Time
		if r.Scan(&t) != nil {
			return
		}
		newest = append(newest, t)
	}
	if r.Err() != nil || len(newest) < partitions {
		return
	}
	slices.SortFunc(newest, time.Time.Compare)
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = slices.DeleteFunc(w.open, func(r *recovery) bool {
		if newest[0].After(r.at) {
			r.took = now.Sub(r.at)
			return true
		}
		return false
	})
}

// quantile returns the q-quantile of some durations, 0 of none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(int(q*float64(len(all))), len(all)-1)]
}
