package alerts

import (
	"sync"

	"andon/event"
)

// inboxMost bounds the IDs that may wait. The loop takes them within microseconds, so more than a few are there only before Run, or when something raises without an end.
const inboxMost = 10_000

// inbox holds the newest alert of each ID until the loop takes it.
type inbox struct {
	mu      sync.Mutex
	waiting map[string]*event.Alert
	order   []string
}

type putResult uint8

const (
	putNew putResult = iota
	putOver
	putFull
)

func (b *inbox) put(a *event.Alert) putResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.waiting[a.ID]; old != nil {
		if a.Time >= old.Time {
			b.waiting[a.ID] = a
		}
		return putOver
	}
	if len(b.order) >= inboxMost {
		return putFull
	}
	b.waiting[a.ID] = a
	b.order = append(b.order, a.ID)
	return putNew
}

// get returns the alert of an ID that still waits, nil where none does.
func (b *inbox) get(id string) *event.Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[id]
}

// take returns all that waits, in the order in which the IDs came.
func (b *inbox) take() []*event.Alert {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.order) == 0 {
		return nil
	}
	all := make([]*event.Alert, len(b.order))
	for i, id := range b.order {
		all[i] = b.waiting[id]
	}
	clear(b.waiting)
	b.order = b.order[:0]
	return all
}
