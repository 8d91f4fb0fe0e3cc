package alerts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"andon/event"
)

// Journal is a compacted log that every replica of the appliance reads whole and then follows. Past and Follow are for one goroutine, Append for any.
type Journal interface {
	// Append returns when the log has the event, or ctx ends; an empty event means that the key is gone.
	Append(ctx context.Context, key string, event []byte) error
	// Past returns all that the log holds, in order; Follow calls f with what comes after it.
	Past(ctx context.Context) ([][]byte, error)
	Follow(ctx context.Context, f func(event []byte), every time.Duration, idle func()) error
}

// The keys of the journal's records: a matter's ID as it is, and these before what else there is.
const (
	silenceKey = "silence/"
	requestKey = "request/"
	leadKey    = "lead"
)

// record is a record of the journal, a CloudEvent 1.0 in structured JSON. Subject is the matter's ID; exactly one of the parts of Data is there.
type record struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        data      `json:"data"`
}

type data struct {
	// Matter is the whole state of one, written by the replica that leads.
	Matter *event.Matter `json:"matter,omitempty"`
	// Silence is the whole state of one; it is over when it says so.
	Silence *Silence `json:"silence,omitempty"`
	// Request is what another replica was told, for the one that leads.
	Request *request `json:"request,omitempty"`
	// Lead tells that a replica leads from here on: what came before it is known to it.
	Lead string `json:"lead,omitempty"`
}

// request is something that the replica that leads has to do.
type request struct {
	Raise   *event.Alert `json:"raise,omitempty"`
	Act     *act         `json:"act,omitempty"`
	Silence *Silence     `json:"silence,omitempty"`
}

// The types of the records.
const (
	typeState   = "io.andon.alert.state.v1"
	typeSilence = "io.andon.alert.silence.v1"
	typeRequest = "io.andon.alert.request.v1"
	typeLead    = "io.andon.alert.lead.v1"
)

func (d *Desk) source() string { return "/andon/" + d.deps.Instance }

func (d *Desk) encode(kind, subject string, part data) []byte {
	js, err := json.Marshal(record{SpecVersion: "1.0", ID: rand.Text(), Source: d.source(), Type: kind, Subject: subject, Time: time.Now().UTC(), ContentType: "application/json", Data: part})
	if err != nil {
		panic("alerts: encode a record of the journal: " + err.Error()) // texts, numbers and times
	}
	return js
}

// requestLocked asks the replica that leads. The request is written by saveAll; of two for one thing the newer counts.
func (d *Desk) requestLocked(r request, about string) {
	d.saver.ask(requestKey+about, d.encode(typeRequest, about, data{Request: &r}))
}

// heard takes in a record that came by the journal.
func (d *Desk) heard(e []byte) {
	d.mu.Lock()
	d.readLocked(e)
	d.mu.Unlock()
	d.poke()
}

// readLocked takes in a record. What cannot be read was written by a newer version and is left alone.
func (d *Desk) readLocked(e []byte) {
	if len(e) == 0 {
		return
	}
	var r record
	if err := json.Unmarshal(e, &r); err != nil || r.SpecVersion != "1.0" {
		d.log.Warn("a record of the journal of alerts is not understood and left alone", "error", err)
		return
	}
	mine := r.Source == d.source() && d.sending != nil // before Run it is what an earlier process wrote
	now := time.Now()
	switch {
	case r.Data.Lead != "":
		if r.Data.Lead == d.leading() {
			d.leadLocked()
		}
	case mine:
	case r.Data.Matter != nil:
		m := r.Data.Matter
		if own := d.matters[m.ID]; d.leads && own != nil && !m.Changed.After(own.Changed) {
			return // of a replica that does not know yet that it leads no more
		}
		d.matters[m.ID] = m
		d.showLocked(m)
		if d.leads {
			d.spreadLocked(m, now)
		}
	case r.Data.Silence != nil:
		d.keepSilenceLocked(r.Data.Silence)
	case r.Data.Request != nil && now.Sub(r.Time) < requestWithin:
		d.doLocked(r.Data.Request, r.Subject, now)
	}
}

// requestWithin is how old a request may be: one that was done is in the journal until that is compacted.
const requestWithin = time.Hour

// doLocked does what another replica was told, unless it was done before.
func (d *Desk) doLocked(q *request, about string, now time.Time) {
	switch {
	case q.Raise != nil:
		if m := d.matters[q.Raise.ID]; m == nil || q.Raise.Time > m.Time.UnixNano() {
			d.applyLocked(q.Raise, now)
		}
	case q.Act != nil:
		// What was told of the matter meanwhile makes no word of a person's void, but one that it is over.
		if m := d.matters[q.Act.ID]; m != nil && q.Act.At.After(m.Acted) && !(q.Act.What == actResolve && m.Time.After(q.Act.At)) {
			_ = d.actLocked(q.Act, now) // it was answered where it was asked
		}
	case q.Silence != nil:
		d.keepSilenceLocked(q.Silence)
	}
	if d.leads {
		if q.Silence != nil {
			d.saver.put(silenceKey + q.Silence.ID)
		}
		d.saver.put(requestKey + about) // it is done, and may go from the journal
	}
}

// turn is told that this replica leads, or does so no more. It leads once all that was written before is read: a mark that it writes comes back.
func (d *Desk) turn(leads bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !leads:
		d.saver.mark = ""
		if d.leads {
			d.leads = false
			d.metrics.leads.Set(0)
			clear(d.boxes)
			d.log.Info("another replica delivers alerts now")
		}
	case d.deps.Journal == nil || d.deps.Lead == nil: // nobody else can have written
		d.leadLocked()
	default:
		mark := rand.Text()
		d.saver.lead(mark, d.encode(typeLead, "", data{Lead: mark}))
	}
	d.poke()
}

// leading is the mark that is waited for.
func (d *Desk) leading() string { return d.saver.waitsFor() }

func (d *Desk) leadLocked() {
	if d.leads {
		return
	}
	d.leads = true
	d.metrics.leads.Set(1)
	d.log.Info("this replica delivers alerts", "open", len(d.matters))
	now := time.Now()
	for _, m := range d.matters {
		if m.State == event.MatterFiring { // a log that is bounded by its size, and not compacted, keeps what is open
			d.saver.put(m.ID)
		}
		d.spreadLocked(m, now)
	}
}

// snapshot returns the newest state of what a key names, for the saver; nothing where it is gone.
func (d *Desk) snapshot(key string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := strings.CutPrefix(key, silenceKey); ok {
		s := d.silences[id]
		if s == nil {
			return nil
		}
		return d.encode(typeSilence, id, data{Silence: s})
	}
	m := d.matters[key]
	if m == nil {
		return nil
	}
	return d.encode(typeState, key, data{Matter: m})
}
