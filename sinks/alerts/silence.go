package alerts

import (
	"cmp"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"andon/event"
)

// Silence keeps matters that match from the receivers for a time. They are shown all the same.
type Silence struct {
	ID string `json:"id"`
	// Match is written as a route's.
	Match   map[string]string `json:"match"`
	Who     string            `json:"who"`
	Comment string            `json:"comment"`
	From    time.Time         `json:"from"`
	Until   time.Time         `json:"until"`
}

// silencedLocked returns the ID of a silence that holds for a matter; empty where none does.
func (d *Desk) silencedLocked(m *event.Matter, now time.Time) string {
	found := ""
	for id, s := range d.silences {
		if !s.From.After(now) && s.Until.After(now) && (found == "" || id < found) && matched(matchers(s.Match), m) {
			found = id
		}
	}
	return found
}

// keepSilenceLocked takes in a silence, or lets go of one that is over.
func (d *Desk) keepSilenceLocked(s *Silence) {
	if !s.Until.After(time.Now()) {
		delete(d.silences, s.ID)
	} else {
		d.silences[s.ID] = s
	}
	d.swept, d.calm = time.Time{}, false // look at once
}

// Silence keeps what matches from the receivers until a time.
func (d *Desk) Silence(match map[string]string, who, comment string, until time.Time) (*Silence, error) {
	if len(match) == 0 {
		return nil, refuse("a silence needs labels to match: pipeline, kind, severity, asset or another")
	}
	if who == "" || comment == "" {
		return nil, refuse("a silence needs who and comment: others will ask")
	}
	now := time.Now()
	if !until.After(now) {
		return nil, refuse("until: %v is not after now", until)
	}
	s := &Silence{ID: strings.ToLower(rand.Text()[:12]), Match: match, Who: who, Comment: comment, From: now.UTC(), Until: until.UTC()}
	d.putSilence(s)
	return s, nil
}

// Unsilence ends a silence.
func (d *Desk) Unsilence(id string) error {
	d.mu.Lock()
	s := d.silences[id]
	d.mu.Unlock()
	if s == nil {
		return unknown("there is no silence %q", id)
	}
	over := *s
	over.Until = time.Now().UTC()
	d.putSilence(&over)
	return nil
}

func (d *Desk) putSilence(s *Silence) {
	d.mu.Lock()
	d.keepSilenceLocked(s)
	if d.leads {
		d.saver.put(silenceKey + s.ID)
	} else if d.deps.Journal != nil {
		d.requestLocked(request{Silence: s}, silenceKey+s.ID)
	}
	d.mu.Unlock()
	d.poke()
}

// Silences returns those that hold now or will, the one that ends first before others.
func (d *Desk) Silences() []Silence {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []Silence{}
	for _, s := range d.silences {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Silence) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.ID, b.ID)) })
	return all
}
