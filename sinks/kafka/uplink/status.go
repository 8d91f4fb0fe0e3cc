package uplink

import (
	"strings"
	"time"
)

// Status is how the uplink is.
type Status struct {
	Site    string `json:"site"`
	Brokers string `json:"brokers"`
	// State is starting, up, away or refused, since Since; Error tells why, empty when up.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
	// Waiting, Lost and Records are sums over the routes.
	Waiting int64   `json:"waiting"`
	Lost    int64   `json:"lost"`
	Records int64   `json:"records"`
	Routes  []Route `json:"routes"`
}

// Route is one local partition on its way up.
type Route struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	To        string `json:"to"`
	// Start and End bound the local log, Next is its first offset that is not up: -1 while that is not known.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	Next  int64 `json:"next"`
	// Waiting is how many offsets are to go up; Held of Room bytes of the local log hold them, as far as is known.
	Waiting int64 `json:"waiting"`
	Held    int64 `json:"held"`
	Room    int64 `json:"room"`
	// Lost offsets were let go of by the local log before they were up; Records went up. Both in this run.
	Lost    int64  `json:"lost"`
	Records int64  `json:"records"`
	Error   string `json:"error,omitempty"`
}

// Status does not block.
func (u *Uplink) Status() Status {
	state, since, err := u.link.get()
	s := Status{Site: u.cfg.Site, Brokers: strings.Join(u.cfg.Brokers, ","), State: state, Since: since, Routes: []Route{}}
	if err != nil {
		s.Error = err.Error()
	}
	for _, r := range u.known() {
		r.mu.Lock()
		v := Route{Topic: r.topic, Partition: r.partition, To: r.to, Start: r.start, End: r.end, Next: r.next, Held: r.held, Room: r.room, Lost: r.lost, Records: r.records}
		if r.err != nil {
			v.Error = r.err.Error()
		}
		r.mu.Unlock()
		v.Waiting = max(0, v.End-max(v.Next, v.Start))
		s.Waiting, s.Lost, s.Records = s.Waiting+v.Waiting, s.Lost+v.Lost, s.Records+v.Records
		s.Routes = append(s.Routes, v)
	}
	return s
}
