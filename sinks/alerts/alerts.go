// Package alerts tells people and other systems what has happened. A Desk takes alerts from every room, makes one matter of all that has one ID, and sees to it that each
// receiver learns the newest state of it: once, grouped, tried again while the receiver is away, and given up visibly. People acknowledge, snooze, silence and resolve.
//
// The state of every matter is a record of a compacted topic (see Journal), so that a restart tells nothing twice and another replica can take over.
//
// Metrics: andon_alerts_raised_total{kind}, andon_alerts_dropped_total{reason} (invalid, inbox, most), andon_alerts_coalesced_total, andon_alerts_open{severity},
// andon_alerts_tries_total{receiver,outcome} (delivered, pending, dead), andon_alerts_delivery_seconds{receiver}, andon_alerts_failing{receiver},
// andon_alerts_unsaved, andon_alerts_leads, andon_alerts_log_dropped_total{table}.
package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"andon/event"

	"github.com/prometheus/client_golang/prometheus"
)

// Deps are the desk's collaborators. All but Links may be missing.
type Deps struct {
	// Journal keeps the state; without it the desk knows what happened since it was started.
	Journal Journal
	// Lead tells whether this replica is the one that delivers, each time that changes, until ctx ends. Nil: it always is.
	Lead func(ctx context.Context, turn func(leads bool)) error
	// Store keeps the tables of alerts and deliveries.
	Store Store
	// Publish sends one record to a topic and returns when the brokers have it.
	Publish Publish
	// Watch is told of each change. It must not block, and owns the copy.
	Watch func(m *event.Matter)
	// Links is the address of the console, as http://127.0.0.1:8080.
	Links string
	// Instance names this replica.
	Instance string
}

// Publish sends one record to a topic and returns when the brokers have it.
type Publish func(ctx context.Context, topic, key string, value []byte, headers []event.Header) error

// Store keeps the tables of alerts and deliveries.
type Store interface {
	WriteAlerts(ctx context.Context, changes []event.MatterChange) error
	WriteDeliveries(ctx context.Context, tries []event.Delivery) error
}

// Desk is where alerts come in. Raise may be called as soon as there is one, and what it takes waits for Run.
type Desk struct {
	cfg       Config
	log       *slog.Logger
	metrics   *metrics
	deps      Deps
	inbox     inbox
	wake      chan struct{} // holds one: something is to be done
	routes    []*route
	last      *route // of receivers that no route names
	receivers []*receiver
	book      book
	saver     saver
	sends     sync.WaitGroup

	mu       sync.Mutex
	matters  map[string]*event.Matter
	silences map[string]*Silence
	boxes    map[string]*mailbox
	recent   []event.Delivery // a ring of the newest tries
	tried    int              // how many there were
	leads    bool
	sending  context.Context // of deliveries; nil until Run
	swept    time.Time       // when what ends by itself was looked for last
	calm     bool            // there was nothing of the kind
}

// New makes a desk and its receivers; it connects to nothing and reads no secret. The configuration must be valid. reg may be nil.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Desk {
	d := &Desk{cfg: cfg, log: log, metrics: newMetrics(reg), wake: make(chan struct{}, 1), matters: map[string]*event.Matter{}, silences: map[string]*Silence{},
		boxes: map[string]*mailbox{}, deps: Deps{Instance: "andon"}}
	d.inbox.waiting = map[string]*event.Alert{}
	d.saver.unsaved = map[string]struct{}{}
	for i := range cfg.Receivers {
		d.receivers = append(d.receivers, newReceiver(&d.cfg.Receivers[i], d))
	}
	d.routes, d.last = d.compile(), d.base()
	return d
}

// Open gives the desk its collaborators and reads what it was told before. It comes before Run. Where the journal cannot be read the desk goes on without one, and the error says so.
func (d *Desk) Open(ctx context.Context, deps Deps) error {
	d.mu.Lock()
	d.deps = deps
	d.mu.Unlock()
	if deps.Journal == nil {
		return nil
	}
	past, err := deps.Journal.Past(ctx)
	if err != nil {
		d.mu.Lock()
		d.deps.Journal, d.deps.Lead = nil, nil
		d.mu.Unlock()
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range past {
		d.readLocked(e)
	}
	d.sweepLocked(time.Now())
	return nil
}

// Raise tells the desk of an alert. It never blocks, may be called by any goroutine, and keeps a copy. Of alerts with one ID that wait together only the newest counts.
func (d *Desk) Raise(a event.Alert) {
	now := time.Now()
	if a.Time == 0 {
		a.Time = now.UnixNano()
	}
	if a.Since == 0 {
		a.Since = a.Time
	}
	if rank(a.Severity) == 0 {
		a.Severity = event.SeverityWarning
	}
	a.Labels = maps.Clone(a.Labels)
	d.metrics.raised.WithLabelValues(a.Kind).Inc()
	if a.ID == "" {
		d.metrics.dropped.WithLabelValues(dropInvalid).Inc()
		return
	}
	switch d.inbox.put(&a) {
	case putNew:
	case putOver:
		d.metrics.coalesced.Inc()
	case putFull:
		d.metrics.dropped.WithLabelValues(dropInbox).Inc()
	}
	d.poke()
}

// poke wakes the loop.
func (d *Desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Firing reports whether a matter is open, as it was told last.
func (d *Desk) Firing(id string) bool {
	if a := d.inbox.get(id); a != nil {
		return !a.Resolved
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.matters[id]
	return m != nil && m.Active
}

// Run takes what is raised and tells it until ctx ends; then it waits a few seconds for deliveries in hand and writes down where each stands.
func (d *Desk) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	inner, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx: what was delivered must be written down
	defer stop()
	sending, cut := context.WithCancel(inner)
	defer cut()
	d.mu.Lock()
	d.sending = sending
	d.mu.Unlock()
	following, unfollow := context.WithCancel(ctx)
	defer unfollow()
	errs := make(chan error, 2)
	part := func(f func() error) {
		wait.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	part(func() error { d.saveAll(inner); return nil })
	if d.deps.Store != nil {
		part(func() error { d.writeAll(inner); return nil })
	}
	if d.deps.Journal != nil {
		part(func() error { return d.deps.Journal.Follow(following, d.heard, time.Second, func() {}) })
	}
	if d.deps.Lead == nil || d.deps.Journal == nil {
		d.turn(true)
	} else {
		part(func() error { return d.deps.Lead(following, d.turn) })
	}
	err := d.loop(ctx, errs)
	unfollow()
	d.finish(cut)
	stop()
	wait.Wait()
	for _, r := range d.receivers {
		r.sender.close()
	}
	return err
}

// loop does what is to be done whenever something has come or is due.
func (d *Desk) loop(ctx context.Context, errs <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		d.mu.Lock()
		now := time.Now()
		d.takeLocked(now)
		d.sweepLocked(now)
		next := d.dispatchLocked(now)
		d.mu.Unlock()
		timer.Reset(max(time.Until(next), 0))
		select {
		case <-ctx.Done():
			return nil
		case err := <-errs:
			return err
		case <-d.wake:
		case <-timer.C:
		}
	}
}

// lastWithin is how long the end waits for deliveries in hand.
const lastWithin = 5 * time.Second

// finish takes what still waits, lets deliveries in hand end, and writes down the rest.
func (d *Desk) finish(cut context.CancelFunc) {
	d.mu.Lock()
	now := time.Now()
	d.takeLocked(now)
	d.dispatchLocked(now)
	d.sending = nil // nothing more is begun
	d.mu.Unlock()
	done := make(chan struct{})
	go func() {
		d.sends.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(lastWithin):
		cut()
		<-done
	}
	last, cancel := context.WithTimeout(context.Background(), lastWithin)
	defer cancel()
	if err := d.saver.drain(last, d); err != nil {
		d.log.Warn("the newest state of some alerts is not in the journal: they may be told once more after the next start", "error", err)
	}
	if err := d.book.drain(last, d.deps.Store); err != nil {
		d.log.Warn("the newest rows of alerts were not stored", "error", err)
	}
}

// What the API tells apart.
var (
	// ErrUnknown means that there is no such matter or receiver.
	ErrUnknown = errors.New("not found")
	// ErrAsk means that what is asked for cannot be done.
	ErrAsk = errors.New("refused")
)

// fault is one of them in words for the person.
type fault struct {
	kind error
	text string
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

func unknown(format string, args ...any) error {
	return &fault{ErrUnknown, fmt.Sprintf(format, args...)}
}
func refuse(format string, args ...any) error { return &fault{ErrAsk, fmt.Sprintf(format, args...)} }
