package ingest

import (
	"context"
	"sync"

	"andon/event"
)

// Budget bounds the bytes that all Intakes of the process have fetched and not yet handled. A fetch begins only while less than the limit is taken, and is counted
// with its true size when it arrives: what is taken can pass the limit by the fetches under way, and a single fetch larger than the limit still gets through.
type Budget struct {
	limit int64
	seen  func(used int64)

	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed when used falls below the limit; nil when nobody waits
}

// NewBudget returns a budget of limit bytes; its use is shown in the metrics.
func NewBudget(limit event.Bytes, m *Metrics) *Budget {
	return &Budget{limit: int64(limit), seen: func(used int64) { m.inflight.Set(float64(used)) }}
}

// Used returns the bytes taken.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// wait returns when less than the limit is taken.
func (b *Budget) wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		if b.used < b.limit {
			b.mu.Unlock()
			return ctx.Err()
		}
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take counts n bytes more, or fewer where n is negative; it does not block.
func (b *Budget) take(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	if b.used < 0 {
		panic("ingest: more bytes given back to the budget than were taken")
	}
	b.seen(b.used)
	if b.used < b.limit && b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
