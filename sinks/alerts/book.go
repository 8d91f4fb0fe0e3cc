package alerts

import (
	"context"
	"sync"
	"time"

	"andon/event"
)

// book gathers the rows of the alerts' tables until they are stored.
type book struct {
	mu      sync.Mutex
	changes []event.MatterChange
	tries   []event.Delivery
}

const (
	// bookMost bounds the rows of each table that wait while ClickHouse is away; the topic has the newest state of all the same.
	bookMost  = 20_000
	bookEvery = 250 * time.Millisecond
)

func (b *book) change(c event.MatterChange, m *metrics) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes = bounded(append(b.changes, c), m, "alerts")
}

func (b *book) try(d event.Delivery, m *metrics) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries = bounded(append(b.tries, d), m, "alert_deliveries")
}

// bounded drops the oldest rows of a list that is too long, a tenth at a time.
func bounded[T any](list []T, m *metrics, table string) []T {
	if len(list) <= bookMost {
		return list
	}
	m.lost.WithLabelValues(table).Add(bookMost / 10)
	return append(list[:0:0], list[bookMost/10:]...)
}

func (b *book) take() ([]event.MatterChange, []event.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changes, tries := b.changes, b.tries
	b.changes, b.tries = nil, nil
	return changes, tries
}

// drain stores what there is, or keeps it.
func (b *book) drain(ctx context.Context, s Store) error {
	changes, tries := b.take()
	if s == nil {
		return nil
	}
	if len(changes) > 0 {
		if err := s.WriteAlerts(ctx, changes); err != nil {
			b.back(changes, tries)
			return err
		}
	}
	if len(tries) > 0 {
		if err := s.WriteDeliveries(ctx, tries); err != nil {
			b.back(nil, tries)
			return err
		}
	}
	return nil
}

func (b *book) back(changes []event.MatterChange, tries []event.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes, b.tries = append(changes, b.changes...), append(tries, b.tries...)
}

// writeAll stores the rows, a few times a second, until ctx ends.
func (d *Desk) writeAll(ctx context.Context) {
	tick := time.NewTicker(bookEvery)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := d.book.drain(limited, d.deps.Store)
		cancel()
		if err != nil && ctx.Err() == nil && !told {
			d.log.Warn("the tables of alerts are behind, trying again", "error", err)
		}
		told = err != nil
	}
}
