package alerts

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"andon/event"
)

// cloudEvent is a change of a matter as a CloudEvent 1.0. Its ID is the same whenever the same change is told, so that a reader drops doubles by it.
type cloudEvent struct {
	SpecVersion string        `json:"specversion"`
	ID          string        `json:"id"`
	Source      string        `json:"source"`
	Type        string        `json:"type"`
	Subject     string        `json:"subject"`
	Time        time.Time     `json:"time"`
	ContentType string        `json:"datacontenttype"`
	Data        *event.Matter `json:"data"`
}

// The types of what is told.
const (
	typeFiring   = "io.andon.alert.firing.v1"
	typeResolved = "io.andon.alert.resolved.v1"
)

func cloudEventOf(m *event.Matter, links string) cloudEvent {
	told := m.Clone()
	told.Told, told.Turns = nil, nil // how far others are is nobody's business
	if told.Evidence != "" {
		told.Evidence = evidenceOf(m, links)
	}
	e := cloudEvent{SpecVersion: "1.0", ID: m.ID + "#" + strconv.FormatUint(m.Seq, 10), Source: "/andon", Type: typeFiring, Subject: m.ID, Time: m.Changed.UTC(),
		ContentType: "application/json", Data: told}
	if links != "" {
		e.Source = links
	}
	if m.State == event.MatterResolved {
		e.Type = typeResolved
	}
	return e
}

func (e cloudEvent) structured() []byte {
	js, err := json.Marshal(e)
	if err != nil {
		panic("alerts: encode a CloudEvent: " + err.Error()) // texts, numbers and times
	}
	return js
}

func escape(s string) string { return url.QueryEscape(s) }
