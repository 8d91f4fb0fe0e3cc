package alerts

import (
	"cmp"
	"slices"
	"time"

	"andon/event"
)

// The labels that every matter has, beside its own.
const (
	labelName     = "alertname"
	labelPipeline = "pipeline"
	labelKind     = "kind"
	labelSeverity = "severity"
	labelAsset    = "asset"
)

// label returns a matter's label; empty where it has none.
func label(m *event.Matter, name string) string {
	switch name {
	case labelPipeline:
		return m.Pipeline
	case labelKind:
		return m.Kind
	case labelSeverity:
		return m.Severity
	case labelAsset:
		return m.Asset
	}
	return m.Labels[name]
}

// takeLocked makes matters of what was raised.
func (d *Desk) takeLocked(now time.Time) {
	for _, a := range d.inbox.take() {
		if !d.leads && d.deps.Journal != nil {
			d.requestLocked(request{Raise: a}, a.ID)
		}
		d.applyLocked(a, now)
	}
}

// applyLocked takes in one alert.
func (d *Desk) applyLocked(a *event.Alert, now time.Time) {
	m := d.matters[a.ID]
	if m != nil && a.Time < m.Time.UnixNano() {
		return // heard by the journal after a newer one
	}
	if m == nil {
		if a.Resolved {
			return // nobody was told that it had begun
		}
		if !d.roomLocked(a) {
			d.metrics.dropped.WithLabelValues(dropMost).Inc()
			return
		}
		m = &event.Matter{ID: a.ID, State: event.MatterResolved, First: now}
		d.matters[a.ID] = m
	}
	turned := m.Active == a.Resolved
	worse := rank(a.Severity) > rank(m.Severity)
	updated := !turned && m.Active && (a.Severity != m.Severity || a.Title != m.Title)
	if !a.Resolved || m.State == event.MatterFiring { // what came after it was resolved says nothing of it
		m.Pipeline, m.Kind, m.Severity, m.Asset = a.Pipeline, a.Kind, a.Severity, a.Asset
		m.Title, m.Detail, m.Evidence = cmp.Or(a.Title, m.Title), cmp.Or(a.Detail, m.Detail), cmp.Or(a.Evidence, m.Evidence)
		if a.Labels != nil {
			m.Labels = a.Labels
		}
	}
	m.Time, m.Changed, m.Active = time.Unix(0, a.Time).UTC(), now, !a.Resolved
	if turned {
		d.turnedLocked(m, a, now)
		return
	}
	what := event.ChangedUpdated
	if updated && m.State == event.MatterFiring && !m.Flapping {
		if worse && m.Ack != nil {
			m.Ack = nil // what was acknowledged was less
		}
		m.Seq++
		d.changedLocked(m, what, "", "")
		d.spreadLocked(m, now)
		return
	}
	d.markLocked(m)
	d.showLocked(m)
}

// turnedLocked follows a matter that has begun or ended, and holds it still where it does so too often.
func (d *Desk) turnedLocked(m *event.Matter, a *event.Alert, now time.Time) {
	f := d.cfg.Flapping
	m.Turns = append(slices.DeleteFunc(m.Turns, func(t time.Time) bool { return now.Sub(t) > max(f.Within, f.Quiet) }), now)
	often := 0
	for _, t := range m.Turns {
		if now.Sub(t) <= f.Within {
			often++
		}
	}
	if len(m.Turns) > f.Turns+1 {
		m.Turns = m.Turns[len(m.Turns)-f.Turns-1:]
	}
	if m.Active {
		m.Fired++
	}
	switch {
	case m.Flapping:
		d.markLocked(m)
		d.showLocked(m)
		return
	case often > f.Turns:
		m.Flapping = true
		if m.State != event.MatterFiring {
			d.openLocked(m, a, now)
		}
		m.Seq++
		d.changedLocked(m, event.ChangedFlapping, "", "")
	case m.Active:
		d.openLocked(m, a, now)
		m.Seq++
		d.changedLocked(m, event.ChangedFired, "", "")
	default:
		d.closeLocked(m, "", "", now)
		return
	}
	d.spreadLocked(m, now)
}

// openLocked begins a matter's life, or a further one.
func (d *Desk) openLocked(m *event.Matter, a *event.Alert, now time.Time) {
	if len(m.Turns) <= 1 {
		m.Fired = 1
	}
	m.State, m.First, m.Since = event.MatterFiring, now, time.Unix(0, a.Since).UTC()
	m.Ended, m.ResolvedBy, m.Ack, m.Snooze, m.Silenced = time.Time{}, "", nil, nil, d.silencedLocked(m, now)
}

// closeLocked ends a matter. who is empty where what raised it said so.
func (d *Desk) closeLocked(m *event.Matter, who, comment string, now time.Time) {
	m.State, m.Active, m.Ended, m.Changed, m.ResolvedBy, m.Flapping = event.MatterResolved, false, now, now, who, false
	m.Seq++
	d.changedLocked(m, event.ChangedResolved, who, comment)
	d.spreadLocked(m, now)
}

// roomLocked reports whether one more matter may be kept, and drops the resolved one that ended first for it.
func (d *Desk) roomLocked(a *event.Alert) bool {
	if len(d.matters) < d.cfg.Most {
		return true
	}
	var oldest *event.Matter
	for _, m := range d.matters {
		if m.State == event.MatterResolved && (oldest == nil || m.Ended.Before(oldest.Ended)) {
			oldest = m
		}
	}
	if oldest != nil {
		d.forgetLocked(oldest)
		return true
	}
	return a.Severity == event.SeverityCritical && len(d.matters) < 2*d.cfg.Most // the worst may still be told
}

// forgetLocked drops a matter that is over.
func (d *Desk) forgetLocked(m *event.Matter) {
	delete(d.matters, m.ID)
	for _, b := range d.boxes {
		delete(b.members, m.ID)
	}
	d.saver.put(m.ID) // the journal learns that it is gone
}

// sweepLocked ends what ends by time: acknowledgements, snoozes, silences, flapping, and what was kept long enough. It looks once a second.
func (d *Desk) sweepLocked(now time.Time) {
	if now.Sub(d.swept) < time.Second {
		return
	}
	d.swept = now
	defer d.countLocked()
	d.calm = len(d.silences) == 0
	for id, s := range d.silences {
		if !s.Until.After(now) {
			delete(d.silences, id)
			d.saver.put(silenceKey + id)
		}
	}
	for _, m := range d.matters {
		if m.State == event.MatterResolved {
			if now.Sub(m.Ended) > d.cfg.Keep {
				d.forgetLocked(m)
			}
			continue
		}
		if m.Ack != nil || m.Snooze != nil || m.Flapping || m.Silenced != "" {
			d.calm = false
		}
		if a := m.Ack; a != nil && !a.Until.IsZero() && !a.Until.After(now) {
			m.Ack, m.Changed = nil, now
			m.Seq++
			d.changedLocked(m, event.ChangedReleased, a.Who, "the acknowledgement ended by itself")
			d.spreadLocked(m, now)
		}
		if s := m.Snooze; s != nil && !s.Until.After(now) {
			m.Snooze, m.Changed = nil, now
			m.Seq++
			d.changedLocked(m, event.ChangedReleased, s.Who, "the snooze ended")
			d.spreadLocked(m, now)
		}
		if by := d.silencedLocked(m, now); by != m.Silenced {
			m.Silenced, m.Changed = by, now
			if by == "" {
				m.Seq++
			}
			d.markLocked(m)
			d.showLocked(m)
			d.spreadLocked(m, now)
		}
		if n := len(m.Turns); m.Flapping && n > 0 && now.Sub(m.Turns[n-1]) >= d.cfg.Flapping.Quiet {
			m.Flapping, m.Turns, m.Changed = false, nil, now
			if !m.Active {
				d.closeLocked(m, "", "it had come and gone often, and has kept still", now)
				continue
			}
			m.Seq++
			d.changedLocked(m, event.ChangedSettled, "", "")
			d.spreadLocked(m, now)
		}
	}
}

// changedLocked writes a change down for all who keep or show it.
func (d *Desk) changedLocked(m *event.Matter, what, who, comment string) {
	d.calm = false
	if who == "" {
		who = "andon"
	}
	if d.leads || d.deps.Journal == nil { // one replica writes the table
		d.book.change(event.MatterChange{Matter: m.Clone(), What: what, Who: who, Comment: comment}, d.metrics)
	}
	d.markLocked(m)
	d.showLocked(m)
	level := d.log.Info
	if m.Severity == event.SeverityCritical && what == event.ChangedFired {
		level = d.log.Warn
	}
	if what != event.ChangedUpdated {
		level("alert", "what", what, "id", m.ID, "severity", m.Severity, "title", m.Title, "who", who)
	}
}

// markLocked has the state of a matter written to the journal.
func (d *Desk) markLocked(m *event.Matter) {
	if d.leads {
		d.saver.put(m.ID)
	}
}

func (d *Desk) showLocked(m *event.Matter) {
	if d.deps.Watch != nil {
		d.deps.Watch(m.Clone())
	}
}

func (d *Desk) countLocked() {
	open := map[string]int{event.SeverityInfo: 0, event.SeverityWarning: 0, event.SeverityCritical: 0}
	for _, m := range d.matters {
		if m.State == event.MatterFiring {
			open[m.Severity]++
		}
	}
	for s, n := range open {
		d.metrics.open.WithLabelValues(s).Set(float64(n))
	}
}

// rank orders severities, the worst last.
func rank(severity string) int {
	return slices.Index([]string{event.SeverityInfo, event.SeverityWarning, event.SeverityCritical}, severity) + 1
}
