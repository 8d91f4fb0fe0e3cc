package console

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"andon/event"
)

// alertBoard keeps the alerts that a page shows: the open ones, and the last that were resolved.
type alertBoard struct {
	mu      sync.RWMutex
	alerts  map[string]*shownAlert
	open    int
	version uint64 // counts changes
}

type shownAlert struct {
	*event.Matter
	changed uint64
}

// maxResolved is how many resolved alerts are kept for the page.
const maxResolved = 200

func newAlertBoard() *alertBoard { return &alertBoard{alerts: map[string]*shownAlert{}} }

func (b *alertBoard) add(m *event.Matter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version++
	if old := b.alerts[m.ID]; old != nil && old.State == event.MatterFiring {
		b.open--
	}
	if m.State == event.MatterFiring {
		b.open++
	}
	b.alerts[m.ID] = &shownAlert{m, b.version}
	if len(b.alerts)-b.open <= maxResolved {
		return
	}
	var oldest *shownAlert
	for _, a := range b.alerts {
		if a.State != event.MatterFiring && (oldest == nil || a.changed < oldest.changed) {
			oldest = a
		}
	}
	delete(b.alerts, oldest.ID)
}

func (b *alertBoard) at() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.version
}

// alertsOnce bounds what one message holds; the page asks the API for more.
const alertsOnce = 1000

// since returns what has changed after the version, the newest change first, how many are open, and the version now. A reader that is at 0 gets the open ones before others.
func (b *alertBoard) since(version uint64) (list []*event.Matter, open int, now uint64) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var changed []*shownAlert
	for _, a := range b.alerts {
		if a.changed > version {
			changed = append(changed, a)
		}
	}
	slices.SortFunc(changed, func(x, y *shownAlert) int {
		if version == 0 && x.State != y.State {
			return cmp.Compare(x.State, y.State) // firing comes before resolved
		}
		return cmp.Compare(y.changed, x.changed)
	})
	list = []*event.Matter{}
	for _, a := range changed[:min(len(changed), alertsOnce)] {
		list = append(list, a.Matter)
	}
	return list, b.open, b.version
}

// Alert shows an alert as it is now. It never blocks and keeps m, which is not written to any more.
func (c *Console) Alert(m *event.Matter) { c.hub.alerts.add(m) }

// alertFeed tells of alerts: each that changed, as it is now, and how many are open.
type alertFeed struct {
	board   *alertBoard
	version uint64
}

func (f *alertFeed) load() func(context.Context) *fault { return nil }
func (f *alertFeed) close()                             {}
func (f *alertFeed) dirty() bool                        { return f.board.at() != f.version }

func (f *alertFeed) snapshot(w *writer) error { return f.send(w, "snapshot") }
func (f *alertFeed) delta(w *writer) error    { return f.send(w, "delta") }

func (f *alertFeed) send(w *writer, kind string) error {
	list, open, version := f.board.since(f.version)
	f.version = version
	return w.json(struct {
		head
		Open   int             `json:"open"`
		Alerts []*event.Matter `json:"alerts"`
	}{w.head(kind), open, list})
}
