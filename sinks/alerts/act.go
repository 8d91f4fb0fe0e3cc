package alerts

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"time"

	"andon/event"
)

// act is what a person does about a matter.
type act struct {
	ID      string    `json:"id"`
	What    string    `json:"what"`
	Who     string    `json:"who"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
	Until   time.Time `json:"until,omitzero"`
}

const (
	actAck     = "ack"
	actUnack   = "unack"
	actSnooze  = "snooze"
	actResolve = "resolve"
	actResend  = "resend"
)

// Ack says that somebody looks after a matter, until a time (zero: until it is over). It is not told again meanwhile, unless it gets worse.
func (d *Desk) Ack(id, who, comment string, until time.Time) (*event.Matter, error) {
	return d.act(&act{ID: id, What: actAck, Who: who, Comment: comment, Until: until})
}

// Unack takes an acknowledgement back.
func (d *Desk) Unack(id, who, comment string) (*event.Matter, error) {
	return d.act(&act{ID: id, What: actUnack, Who: who, Comment: comment})
}

// Snooze keeps an open matter from the receivers until a time.
func (d *Desk) Snooze(id, who, comment string, until time.Time) (*event.Matter, error) {
	return d.act(&act{ID: id, What: actSnooze, Who: who, Comment: comment, Until: until})
}

// Resolve ends a matter by hand. It fires again when what raised it says so anew.
func (d *Desk) Resolve(id, who, comment string) (*event.Matter, error) {
	return d.act(&act{ID: id, What: actResolve, Who: who, Comment: comment})
}

// Resend sends a matter again to every receiver that has given it up.
func (d *Desk) Resend(id, who string) (*event.Matter, error) {
	return d.act(&act{ID: id, What: actResend, Who: who})
}

func (d *Desk) act(a *act) (*event.Matter, error) {
	if a.Who == "" {
		return nil, refuse("who: say who you are")
	}
	a.At = time.Now().UTC()
	if a.What == actSnooze && !a.Until.After(a.At) || a.What == actAck && !a.Until.IsZero() && !a.Until.After(a.At) {
		return nil, refuse("until: %s is not after now", a.Until.Format(time.RFC3339))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takeLocked(a.At) // what was raised before
	if err := d.actLocked(a, a.At); err != nil {
		return nil, err
	}
	if !d.leads && d.deps.Journal != nil {
		d.requestLocked(request{Act: a}, a.What+"/"+a.ID)
	}
	d.poke()
	return d.matters[a.ID].Clone(), nil
}

func (d *Desk) actLocked(a *act, now time.Time) error {
	m := d.matters[a.ID]
	if m == nil {
		return unknown("there is no alert %q, or it is kept no longer (alerts.keep)", a.ID)
	}
	if m.State == event.MatterResolved && a.What != actResend {
		return refuse("%s is resolved", a.ID)
	}
	m.Acted = a.At
	said := &event.Ack{Who: a.Who, Comment: a.Comment, At: a.At, Until: a.Until}
	switch a.What {
	case actAck:
		m.Ack, m.Changed = said, now
		d.changedLocked(m, event.ChangedAcknowledged, a.Who, a.Comment)
	case actUnack:
		if m.Ack == nil {
			return refuse("%s is not acknowledged", a.ID)
		}
		m.Ack, m.Changed = nil, now
		m.Seq++
		d.changedLocked(m, event.ChangedReleased, a.Who, a.Comment)
		d.spreadLocked(m, now)
	case actSnooze:
		m.Snooze, m.Changed = said, now
		d.changedLocked(m, event.ChangedSnoozed, a.Who, a.Comment)
	case actResolve:
		d.closeLocked(m, a.Who, a.Comment, now)
	case actResend:
		dead := 0
		for name, t := range m.Told {
			if t.State == event.ToldDead {
				dead++
				m.Told[name] = event.Told{State: event.ToldPending, Firing: t.Firing, At: t.At, Tries: t.Tries, Error: t.Error}
			}
		}
		if dead == 0 {
			return refuse("no receiver has given up %s", a.ID)
		}
		m.Changed = now
		d.markLocked(m)
		d.showLocked(m)
		if d.leads {
			for _, x := range d.receivers {
				if m.Told[x.cfg.Name].State == event.ToldPending {
					d.again(m, x, now)
				}
			}
		}
	}
	return nil
}

// again puts a matter into the mailboxes of one receiver, to be sent at once.
func (d *Desk) again(m *event.Matter, x *receiver, now time.Time) {
	index, r := -1, d.last
	for i, other := range d.routes {
		if matched(other.match, m) && slices.Contains(other.receivers, x) {
			index, r = i, other
			break
		}
	}
	b := d.box(index, r, x, m)
	b.put(m, now, false)
	b.due, b.spur = now, true
}

// Filter chooses matters. What is empty does not choose.
type Filter struct {
	// State is open, resolved or dead: those that a receiver has given up.
	State, Pipeline, Kind, Severity, Asset string
	Limit                                  int
}

// List returns the chosen matters, open ones first, the worst and then the newest before others, and how many there are.
func (d *Desk) List(f Filter) (list []*event.Matter, all int) {
	d.mu.Lock()
	for _, m := range d.matters {
		if f.takes(m) {
			list = append(list, m.Clone())
		}
	}
	d.mu.Unlock()
	slices.SortFunc(list, func(a, b *event.Matter) int {
		return cmp.Or(cmp.Compare(b2i(b.State == event.MatterFiring), b2i(a.State == event.MatterFiring)), cmp.Compare(b2i(a.Ack != nil), b2i(b.Ack != nil)),
			cmp.Compare(rank(b.Severity), rank(a.Severity)), b.First.Compare(a.First), cmp.Compare(a.ID, b.ID))
	})
	all = len(list)
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, all
}

func (f *Filter) takes(m *event.Matter) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	state := true
	switch f.State {
	case "open":
		state = m.State == event.MatterFiring
	case "resolved":
		state = m.State == event.MatterResolved
	case "dead":
		state = false
		for _, t := range m.Told {
			state = state || t.State == event.ToldDead
		}
	}
	return state && is(f.Pipeline, m.Pipeline) && is(f.Kind, m.Kind) && is(f.Severity, m.Severity) && is(f.Asset, m.Asset)
}

// Get returns a matter and the tries to tell of it that are at hand, the newest first; the table has all of them.
func (d *Desk) Get(id string) (*event.Matter, []event.Delivery, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.matters[id]
	if m == nil {
		return nil, nil, unknown("there is no alert %q, or it is kept no longer (alerts.keep)", id)
	}
	tries := []event.Delivery{}
	for i := range d.recent {
		if t := &d.recent[i]; slices.Contains(t.Matters, id) {
			tries = append(tries, *t)
		}
	}
	slices.SortFunc(tries, func(a, b event.Delivery) int { return cmp.Compare(b.Time, a.Time) })
	return m.Clone(), tries, nil
}

// Receivers names them, with the way each is reached and whether it fails now.
func (d *Desk) Receivers() []ReceiverState {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []ReceiverState{}
	for _, r := range d.receivers {
		s := ReceiverState{Name: r.cfg.Name, Way: r.cfg.way(), Failures: r.failures}
		if r.failures > 0 {
			s.Next = r.next.UTC()
		}
		all = append(all, s)
	}
	return all
}

// ReceiverState is how a receiver is.
type ReceiverState struct {
	Name string `json:"name"`
	Way  string `json:"way"`
	// Failures counts the tries that failed since one did not; Next is when it is tried again.
	Failures int       `json:"failures"`
	Next     time.Time `json:"next,omitzero"`
}

// Outcome is what came of a test.
type Outcome struct {
	Receiver string  `json:"receiver"`
	Way      string  `json:"way"`
	OK       bool    `json:"ok"`
	Error    string  `json:"error,omitempty"`
	Millis   float64 `json:"millis"`
}

// Test sends one alert that says that it is a test to a receiver, and where that is a machine its end, too; once, now, whatever else waits for it.
func (d *Desk) Test(ctx context.Context, name, who string) (*Outcome, error) {
	at := slices.IndexFunc(d.receivers, func(r *receiver) bool { return r.cfg.Name == name })
	if at < 0 {
		return nil, unknown("there is no receiver %q: alerts.receivers in the configuration names them", name)
	}
	r := d.receivers[at]
	now := time.Now()
	m := &event.Matter{ID: "test/" + name, Kind: "test", Severity: event.SeverityInfo, Title: "A test of the receiver " + name + ": nothing is wrong",
		Detail: who + " asked for it.", Labels: map[string]string{"test": "true"}, Since: now, Time: now, First: now, Changed: now, Active: true, State: event.MatterFiring, Seq: 1, Fired: 1}
	out := &Outcome{Receiver: name, Way: r.cfg.way()}
	tell := func() error {
		limited, cancel := context.WithTimeout(ctx, d.cfg.Retry.Timeout)
		defer cancel()
		return r.sender.send(limited, &Notice{ID: rand.Text(), Receiver: name, Key: "test", Labels: map[string]string{}, Matters: []*event.Matter{m}, Links: d.links(), Try: 1})
	}
	err := tell()
	out.Millis = float64(time.Since(now).Microseconds()) / 1000
	if err == nil && r.cfg.SMTP == nil && r.cfg.Slack == nil && r.cfg.tellsResolved() {
		ended := m.Clone()
		ended.State, ended.Active, ended.Ended, ended.Changed, ended.Seq = event.MatterResolved, false, time.Now(), time.Now(), 2
		m = ended
		err = tell()
	}
	if out.OK = err == nil; !out.OK {
		out.Error = err.Error()
	}
	return out, nil
}
