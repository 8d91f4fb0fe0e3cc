package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Camera is what is remembered of one camera between its frames. Its fields are for the snapshot.
type Camera struct {
	// Last is when the newest frame was captured; NextTrack the name of the next new object.
	Last      int64                `json:"last"`
	NextTrack int64                `json:"next"`
	Tracks    map[int64]*Followed  `json:"tracks,omitempty"`
	Presences map[string]*Presence `json:"in,omitempty"`
	Rules     map[string]*Active   `json:"rules,omitempty"`
}

// Followed is one object that is followed.
type Followed struct {
	Label string     `json:"l"`
	Box   [4]float32 `json:"b"`
	// Step is how far the box went in the last second of event time, across and down.
	Step   [2]float32 `json:"v"`
	Foot   Point      `json:"f"`
	Frames int        `json:"n"`
	Seen   int64      `json:"t"`
}

// Presence is who meets a condition.
type Presence struct {
	Objects []Present `json:"o,omitempty"`
}

// Present is one object that meets a condition, or does so no more since less than the inertia.
type Present struct {
	Track int64  `json:"k"`
	Label string `json:"l"`
	Zone  string `json:"z,omitempty"`
	// In tells that it has met it for the inertia; Run counts frames in a row that say the opposite of In.
	In    bool  `json:"in,omitempty"`
	Run   int   `json:"r,omitempty"`
	Since int64 `json:"s"`
	// Seen is when the object itself was seen last.
	Seen int64 `json:"t"`
}

// Active is what is remembered of a rule.
type Active struct {
	Active bool  `json:"on,omitempty"`
	Fired  int64 `json:"at,omitempty"`
}

// begin forgets what has not been seen for too long.
func (c *Camera) begin(now, forget int64) {
	maps.DeleteFunc(c.Tracks, func(_ int64, t *Followed) bool { return now-t.Seen > forget })
	for _, p := range c.Presences {
		p.Objects = slices.DeleteFunc(p.Objects, func(o Present) bool { return now-o.Seen > forget })
	}
}

// end notes where objects are now.
func (c *Camera) end(now int64, objects []object) {
	for i := range objects {
		if t := c.Tracks[objects[i].track]; t != nil {
			t.Foot = objects[i].foot
		}
	}
	c.Last = now
}

func (c *Camera) presence(name string) *Presence {
	if c.Presences == nil {
		c.Presences = map[string]*Presence{}
	}
	p := c.Presences[name]
	if p == nil {
		p = &Presence{}
		c.Presences[name] = p
	}
	return p
}

func (c *Camera) rule(name string) *Active {
	if c.Rules == nil {
		c.Rules = map[string]*Active{}
	}
	r := c.Rules[name]
	if r == nil {
		r = &Active{}
		c.Rules[name] = r
	}
	return r
}

// step tells of the frame's objects which of them meet the condition. It takes inertia frames in a row to have come, counted from the first of them, and as many to have gone. An object that is not in the frame
// does not meet it.
func (p *Presence) step(now int64, inertia int, objects []object, meets func(*object) bool) {
	seen := make([]bool, len(p.Objects))
	for i := range objects {
		o := &objects[i]
		at := slices.IndexFunc(p.Objects, func(h Present) bool {
			return h.Track == o.track && (o.track != 0 || h.Label == o.label && h.Zone == o.zone)
		})
		met := meets(o)
		if at < 0 {
			if met {
				h := Present{Track: o.track, Label: o.label, Zone: o.zone, Run: 1, Since: now, Seen: now}
				if inertia <= 1 {
					h.In, h.Run = true, 0
				}
				p.Objects = append(p.Objects, h)
				seen = append(seen, true)
			}
			continue
		}
		seen[at] = true
		h := &p.Objects[at]
		h.Seen, h.Label = now, o.label
		h.take(now, met, inertia)
	}
	for i := range p.Objects {
		if !seen[i] {
			p.Objects[i].take(now, false, inertia)
		}
	}
	p.Objects = slices.DeleteFunc(p.Objects, func(h Present) bool { return !h.In && h.Run == 0 })
}

// take counts a frame that says whether the object meets the condition.
func (h *Present) take(now int64, met bool, inertia int) {
	if met == h.In {
		h.Run = 0
		return
	}
	if h.Run++; met && h.Run == 1 {
		h.Since = now
	}
	if h.Run >= inertia {
		h.In, h.Run = met, 0
	}
}

// held counts those who meet the condition.
func (p *Presence) held() (n int) {
	for i := range p.Objects {
		if p.Objects[i].In {
			n++
		}
	}
	return n
}

// Append writes the state; equal states give equal bytes.
func (c *Camera) Append(dst []byte) []byte {
	js, err := json.Marshal(c)
	if err != nil {
		panic(err) // only numbers and strings
	}
	return append(dst, js...)
}

// Restore reads what Append wrote.
func (c *Camera) Restore(state []byte) error {
	*c = Camera{}
	if err := json.Unmarshal(state, c); err != nil {
		return fmt.Errorf("restore a camera's state: %w", err)
	}
	return nil
}
