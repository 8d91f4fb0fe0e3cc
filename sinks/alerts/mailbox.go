package alerts

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// mailbox is what one receiver has to learn of one group of matters. A notice is made when it is sent, of what is newest then: changes that come while the receiver is away
// are told once, together.
type mailbox struct {
	to      *receiver
	route   *route
	key     string
	labels  map[string]string
	members map[string]struct{}
	// due is when the next notice is to be sent, since when it has been; zero: there is nothing to tell. urgent goes before others and wakes a receiver that fails.
	due, since time.Time
	urgent     bool
	spur       bool      // something critical has come since the last try
	again      bool      // open matters are told once more
	last       time.Time // of the last notice that was taken
	repeat     time.Time // when open matters are told once more; zero: never
	busy       bool      // a notice is on its way
	notice     string    // names the notice over its tries
	tries      int
	alone      bool // told though another replica leads, for it could not be asked
}

const (
	// noticeMost is how many matters one notice holds.
	noticeMost = 100
	// atOnce is how many notices of one receiver may be on their way; one where it fails.
	atOnce = 8
	// idle is how long the loop may sleep where nothing ends by time, and pace where something may.
	idle = time.Minute
	pace = time.Second
	// earlyEvery is the least time between tries of a failing receiver that something critical brings forward.
	earlyEvery = 2 * time.Minute
)

// spreadLocked puts a matter that has changed into the mailboxes of all who are told of it.
func (d *Desk) spreadLocked(m *event.Matter, now time.Time) {
	if d.leads {
		d.spread(m, now, false)
	}
}

func (d *Desk) spread(m *event.Matter, now time.Time, alone bool) {
	reached := map[*receiver]bool{}
	to := func(i int, r *route, x *receiver) {
		reached[x] = true
		b := d.box(i, r, x, m)
		switch t := m.Told[x.cfg.Name]; {
		case fresh(m, x):
			b.put(m, now, alone)
		case m.State == event.MatterFiring: // it was told by an earlier process, or before the lead went away and came back
			b.join(m, t)
		}
	}
	for i, r := range d.routes {
		if matched(r.match, m) {
			for _, x := range r.receivers {
				to(i, r, x)
			}
			if !r.further {
				break
			}
		}
	}
	if m.State == event.MatterResolved { // a receiver that was told under another severity, or before the routes were changed, learns of the end
		for _, x := range d.receivers {
			if !reached[x] && m.Told[x.cfg.Name].Firing {
				to(-1, d.last, x)
			}
		}
	}
}

// fresh reports whether the receiver has something to learn of a matter: silence, snooze and acknowledgement aside.
func fresh(m *event.Matter, to *receiver) bool {
	t := m.Told[to.cfg.Name]
	if t.Seq >= m.Seq {
		return false
	}
	if m.State == event.MatterResolved {
		// What nobody was told of, and what nobody tried to tell, need not be told to be over.
		return t.Firing || t.State == event.ToldPending && t.Tries > 0
	}
	return true
}

// held reports whether people want to hear nothing more of an open matter now.
func held(m *event.Matter) bool { return m.Snooze != nil || m.Silenced != "" }

func (d *Desk) box(i int, r *route, to *receiver, m *event.Matter) *mailbox {
	labels, text := r.group(m)
	key := fmt.Sprintf("%s/%d:%s", to.cfg.Name, i, text)
	b := d.boxes[key]
	if b == nil {
		b = &mailbox{to: to, route: r, key: key, labels: labels, members: map[string]struct{}{}}
		d.boxes[key] = b
	}
	return b
}

func (b *mailbox) put(m *event.Matter, now time.Time, alone bool) {
	b.members[m.ID] = struct{}{}
	due := now
	if m.Severity != event.SeverityCritical {
		if b.last.IsZero() {
			due = now.Add(b.route.wait)
		} else if next := b.last.Add(b.route.interval); next.After(due) {
			due = next
		}
	} else {
		b.urgent, b.spur = true, true
	}
	if b.due.IsZero() {
		b.due, b.since = due, now
	} else if due.Before(b.due) {
		b.due = due
	}
	b.alone = b.alone || alone
}

// join takes in an open matter that the receiver knows already.
func (b *mailbox) join(m *event.Matter, t event.Told) {
	b.members[m.ID] = struct{}{}
	if t.At.After(b.last) {
		b.last = t.At
	}
	if every := b.every(); every > 0 && (b.repeat.IsZero() || t.At.Add(every).Before(b.repeat)) {
		b.repeat = t.At.Add(every)
	}
}

// every is how often open matters are told again; 0: never.
func (b *mailbox) every() time.Duration {
	if r := b.to.sender.refresh(); r > 0 { // a receiver that forgets by itself
		return r
	}
	return b.route.repeat
}

// dispatchLocked begins every delivery that is due, and returns when it has to look again.
func (d *Desk) dispatchLocked(now time.Time) time.Time {
	next := now.Add(pace)
	if d.calm {
		next = now.Add(idle)
	}
	if d.sending == nil {
		return next
	}
	soon := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	ready := map[*receiver][]*mailbox{}
	for key, b := range d.boxes {
		if !d.leads && !b.alone {
			continue
		}
		if len(b.members) == 0 && !b.busy {
			delete(d.boxes, key)
			continue
		}
		if b.due.IsZero() && !b.repeat.IsZero() && !b.repeat.After(now) {
			b.due, b.since, b.again, b.repeat = now, now, true, time.Time{}
		}
		switch {
		case b.busy || b.due.IsZero():
		case b.due.After(now):
			soon(b.due)
		default:
			ready[b.to] = append(ready[b.to], b)
		}
	}
	for to, boxes := range ready {
		slices.SortFunc(boxes, func(a, b *mailbox) int {
			return cmp.Or(cmp.Compare(b2i(b.urgent), b2i(a.urgent)), a.since.Compare(b.since), cmp.Compare(a.key, b.key))
		})
		for _, b := range boxes {
			if to.busy >= atOnce {
				break
			}
			if to.failures > 0 {
				if to.busy > 0 {
					break
				}
				at := to.next
				if early := to.early.Add(earlyEvery); b.spur && early.Before(at) {
					if at = early; !at.After(now) {
						to.early = now
					}
				}
				if at.After(now) {
					soon(at)
					break
				}
			}
			d.beginLocked(b, now)
		}
	}
	return next
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Notice is what a receiver is told at once: the newest state of a group.
type Notice struct {
	// ID is the same over all tries, so that a receiver can tell a notice that comes twice.
	ID string
	// Receiver is its name, Key names the group, and Labels are those that its matters share by the route.
	Receiver, Key string
	Labels        map[string]string
	// Matters are open ones and those that were resolved since the last notice; Left is how many more there are.
	Matters []*event.Matter
	Left    int
	// Links is the address of the console.
	Links string
	// Try counts from 1.
	Try int
}

// Firing reports whether any of it is open.
func (n *Notice) Firing() bool {
	return slices.ContainsFunc(n.Matters, func(m *event.Matter) bool { return m.State == event.MatterFiring })
}

// composeLocked makes the notice of what is newest. Without anything to tell it returns nil.
func (d *Desk) composeLocked(b *mailbox) *Notice {
	name := b.to.cfg.Name
	var list []*event.Matter
	news := 0
	isFresh := map[string]bool{}
	for id := range b.members {
		m := d.matters[id]
		if m == nil {
			delete(b.members, id)
			continue
		}
		f := fresh(m, b.to)
		if m.State == event.MatterResolved {
			if !f {
				delete(b.members, id)
				continue
			}
			if !b.to.cfg.tellsResolved() { // it will forget by itself
				d.tellLocked(m, name, event.Told{Seq: m.Seq, State: event.ToldDelivered, At: time.Now()})
				delete(b.members, id)
				continue
			}
		} else if held(m) {
			continue
		}
		switch {
		case f && (m.Ack == nil || m.State == event.MatterResolved):
			news++
			isFresh[id] = true
		case b.again && m.State == event.MatterFiring && (m.Ack == nil || b.to.sender.refresh() > 0):
			news++
		}
		list = append(list, m)
	}
	if news == 0 {
		return nil
	}
	slices.SortFunc(list, func(x, y *event.Matter) int {
		return cmp.Or(cmp.Compare(b2i(isFresh[y.ID]), b2i(isFresh[x.ID])), cmp.Compare(rank(y.Severity), rank(x.Severity)), x.First.Compare(y.First), cmp.Compare(x.ID, y.ID))
	})
	n := &Notice{Receiver: name, Key: b.key, Labels: b.labels, Links: d.links()}
	if len(list) > noticeMost {
		n.Left = len(list) - noticeMost
		list = list[:noticeMost]
	}
	for _, m := range list {
		n.Matters = append(n.Matters, m.Clone())
	}
	return n
}

func (d *Desk) links() string {
	return strings.TrimSuffix(cmp.Or(d.cfg.URL, d.deps.Links), "/")
}

func (d *Desk) tellLocked(m *event.Matter, name string, t event.Told) {
	if m.Told == nil {
		m.Told = map[string]event.Told{}
	}
	m.Told[name] = t
	d.markLocked(m)
}

// beginLocked sends the newest state of a group, if there is something new.
func (d *Desk) beginLocked(b *mailbox, now time.Time) {
	n := d.composeLocked(b)
	b.due, b.again = time.Time{}, false
	if n == nil {
		b.urgent, b.spur, b.tries, b.notice = false, false, 0, ""
		b.planLocked(d, now)
		return
	}
	if b.notice == "" {
		b.notice = rand.Text()
	}
	b.tries++
	n.ID, n.Try = b.notice, b.tries
	oldest := now
	for _, m := range n.Matters {
		if m.Told[n.Receiver].Seq < m.Seq && m.Time.Before(oldest) {
			oldest = m.Time
		}
	}
	b.busy = true
	b.to.busy++
	ctx, timeout := d.sending, d.cfg.Retry.Timeout
	since, urgent := b.since, b.urgent
	b.urgent, b.spur = false, false
	d.sends.Go(func() {
		limited, cancel := context.WithTimeout(ctx, timeout)
		began := time.Now()
		err := b.to.sender.send(limited, n)
		cancel()
		d.mu.Lock()
		d.endLocked(b, n, err, began, oldest, since, urgent)
		d.mu.Unlock()
		d.poke()
	})
}

// endLocked takes in what came of a try.
func (d *Desk) endLocked(b *mailbox, n *Notice, err error, began, oldest, since time.Time, urgent bool) {
	now := time.Now()
	b.busy = false
	b.to.busy--
	name := b.to.cfg.Name
	try := event.Delivery{Time: now.UnixNano(), Receiver: name, Group: b.key, Notice: n.ID, Try: n.Try, State: event.ToldDelivered,
		Latency: int64(now.Sub(began)), Age: int64(now.Sub(oldest))}
	for _, m := range n.Matters {
		try.Matters = append(try.Matters, m.ID)
	}
	refused := isRefusal(err)
	switch {
	case err == nil:
		if b.to.failures > 0 {
			d.log.Info("a receiver takes alerts again", "receiver", name, "after_tries", b.to.failures)
		}
		b.to.failures, b.to.early = 0, time.Time{}
		d.metrics.seconds.WithLabelValues(name).Observe(now.Sub(oldest).Seconds())
	case refused || now.Sub(since) >= d.cfg.Retry.GiveUp:
		try.State, try.Error = event.ToldDead, err.Error()
		d.log.Error("an alert was not delivered and is given up: andon alerts show tells why, andon alerts resend sends it again", "receiver", name, "tries", n.Try, "error", err)
	default:
		try.State, try.Error = event.ToldPending, err.Error()
	}
	if err != nil && !refused {
		if b.to.failures == 0 {
			d.log.Warn("a receiver takes no alerts: it is tried again", "receiver", name, "error", err)
		}
		b.to.failures++
		b.to.next = now.Add(d.cfg.Retry.wait(b.to.failures, err))
	}
	d.metrics.failing.WithLabelValues(name).Set(math.Min(float64(b.to.failures), 1))
	d.metrics.tries.WithLabelValues(name, try.State).Inc()
	for _, sent := range n.Matters {
		m := d.matters[sent.ID]
		if m == nil {
			continue
		}
		t := m.Told[name]
		switch try.State {
		case event.ToldDelivered:
			t = event.Told{Seq: max(sent.Seq, t.Seq), State: event.ToldDelivered, Firing: sent.State == event.MatterFiring, At: now, Tries: n.Try}
		case event.ToldDead:
			if t.Seq < sent.Seq {
				t = event.Told{Seq: sent.Seq, State: event.ToldDead, Firing: t.Firing, At: now, Tries: n.Try, Error: try.Error}
			}
		default:
			if t.Seq < sent.Seq {
				t = event.Told{Seq: t.Seq, State: event.ToldPending, Firing: t.Firing, At: now, Tries: n.Try, Error: try.Error}
			}
		}
		d.tellLocked(m, name, t)
		d.showLocked(m)
	}
	d.recent = ring(d.recent, d.tried, try)
	d.tried++
	d.book.try(try, d.metrics)
	if try.State == event.ToldPending { // with what is newest then
		b.due, b.since, b.urgent = now, since, b.urgent || urgent
		return
	}
	b.notice, b.tries, b.alone = "", 0, false
	b.last = now
	fresh := d.freshLocked(b)
	switch {
	case n.Left > 0 && fresh:
		b.due, b.since = now, now
	case fresh && b.due.IsZero(): // it changed while it was told
		b.due, b.since = now.Add(b.route.interval), now
	}
	b.planLocked(d, now)
}

// freshLocked reports whether a mailbox has more to tell.
func (d *Desk) freshLocked(b *mailbox) bool {
	for id := range b.members {
		if m := d.matters[id]; m != nil && fresh(m, b.to) && (m.State == event.MatterResolved || !held(m) && m.Ack == nil) {
			return true
		}
	}
	return false
}

// planLocked says when open matters are told once more.
func (b *mailbox) planLocked(d *Desk, now time.Time) {
	b.repeat = time.Time{}
	every, always := b.every(), b.to.sender.refresh() > 0
	if every == 0 {
		return
	}
	for id := range b.members {
		if m := d.matters[id]; m != nil && m.State == event.MatterFiring && !held(m) && (m.Ack == nil || always) {
			b.repeat = now.Add(every)
			return
		}
	}
}

// recentMost is how many tries are kept at hand; the table has all.
const recentMost = 2000

func ring(r []event.Delivery, n int, d event.Delivery) []event.Delivery {
	if len(r) < recentMost {
		return append(r, d)
	}
	r[n%recentMost] = d
	return r
}
