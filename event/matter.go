package event

import (
	"maps"
	"time"
)

// Matter is one alert over its whole life, from when it fired to when it was resolved, with what people and the receivers did about it. It is what the topic of alerts,
// the API and the page hold, so it has JSON names; times are RFC 3339.
type Matter struct {
	ID       string            `json:"id"`
	Pipeline string            `json:"pipeline,omitempty"`
	Kind     string            `json:"kind"`
	Severity string            `json:"severity"`
	Title    string            `json:"title"`
	Detail   string            `json:"detail,omitempty"`
	Asset    string            `json:"asset,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Evidence string            `json:"evidence,omitempty"`
	// Since is when it began, by event time where there is one; Time when it was told last, by the wall clock of who told it.
	Since time.Time `json:"since"`
	Time  time.Time `json:"time"`
	// Active is what was told last. State is one of the Matter constants: what people are shown; it lags behind Active while the matter flaps.
	Active bool   `json:"active"`
	State  string `json:"state"`
	// First is when it fired, Changed when anything about it changed, Ended when it was resolved, by the wall clock; ResolvedBy names who resolved it by hand.
	First      time.Time `json:"first"`
	Changed    time.Time `json:"changed"`
	Ended      time.Time `json:"ended,omitzero"`
	ResolvedBy string    `json:"resolved_by,omitempty"`
	// Fired counts how often it fired since First. Flapping tells that it comes and goes so often that people are told once it has settled; Turns are when it did.
	Fired    int         `json:"fired"`
	Flapping bool        `json:"flapping,omitempty"`
	Turns    []time.Time `json:"turns,omitempty"`
	// Ack and Snooze are what people said; nil where they did not. Silenced names the silence that keeps it from the receivers.
	Ack      *Ack   `json:"ack,omitempty"`
	Snooze   *Ack   `json:"snooze,omitempty"`
	Silenced string `json:"silenced,omitempty"`
	// Acted is when a person asked for what was done about it last.
	Acted time.Time `json:"acted,omitzero"`
	// Seq counts the changes that receivers are told of; Told says how far each of them is, by its name.
	Seq  uint64          `json:"seq"`
	Told map[string]Told `json:"told,omitempty"`
}

// The states of a matter.
const (
	MatterFiring   = "firing"
	MatterResolved = "resolved"
)

// Ack is what a person said of a matter, and until when it holds.
type Ack struct {
	Who     string    `json:"who"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
	// Until is when it ends; zero: with the matter.
	Until time.Time `json:"until,omitzero"`
}

// Told is how far one receiver is with a matter.
type Told struct {
	// Seq is the last change that it took; the newest one is Matter.Seq.
	Seq uint64 `json:"seq"`
	// State is one of the Told constants; Firing whether the receiver holds the matter for open.
	State  string    `json:"state"`
	Firing bool      `json:"firing"`
	At     time.Time `json:"at"`
	// Tries counts those of the delivery in hand, or of the last one.
	Tries int    `json:"tries"`
	Error string `json:"error,omitempty"`
}

// What is known of a delivery.
const (
	ToldPending   = "pending"   // on its way, or to be tried again
	ToldDelivered = "delivered" // the receiver took it
	ToldDead      = "dead"      // given up; a person may send it again
)

// Alert returns the matter as it was told last.
func (m *Matter) Alert() Alert {
	return Alert{ID: m.ID, Pipeline: m.Pipeline, Kind: m.Kind, Severity: m.Severity, Title: m.Title, Detail: m.Detail, Asset: m.Asset, Labels: m.Labels,
		Since: m.Since.UnixNano(), Time: m.Time.UnixNano(), Resolved: !m.Active, Evidence: m.Evidence}
}

// Clone returns a copy that shares nothing with m that is ever written to.
func (m *Matter) Clone() *Matter {
	c := *m
	c.Labels, c.Told = maps.Clone(m.Labels), maps.Clone(m.Told)
	c.Turns = append([]time.Time(nil), m.Turns...)
	for _, p := range []**Ack{&c.Ack, &c.Snooze} {
		if *p != nil {
			a := **p
			*p = &a
		}
	}
	return &c
}

// Delivery is one try to tell a receiver of a group of matters.
type Delivery struct {
	// Time is when it ended, Unix nanoseconds.
	Time int64
	// Receiver is its name, Group names the group of matters, Matters are their IDs, and Notice the delivery: all its tries have the same.
	Receiver, Group, Notice string
	Matters                 []string
	// Try counts from 1; State is one of the Told constants: pending means that it will be tried again.
	Try   int
	State string
	// Latency is of the try, Age from when the oldest change in it was told to the try's end, nanoseconds.
	Latency, Age int64
	Error        string
}

// MatterChange is a matter as it was after a change, and who made it, for the table of alerts.
type MatterChange struct {
	Matter *Matter
	// What is one of the Changed constants.
	What string
	// Who is a person or "andon".
	Who, Comment string
}

// What happens to a matter.
const (
	ChangedFired        = "fired"
	ChangedUpdated      = "updated"
	ChangedResolved     = "resolved"
	ChangedAcknowledged = "acknowledged"
	ChangedReleased     = "released" // an acknowledgement ended
	ChangedSnoozed      = "snoozed"
	ChangedFlapping     = "flapping"
	ChangedSettled      = "settled"
)
