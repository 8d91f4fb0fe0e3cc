package console

import (
	"net/http"
	"time"
)

// Uplink is how records get to a central cluster.
type Uplink struct {
	Site    string `json:"site"`
	Brokers string `json:"brokers"`
	// State is starting, up, away or refused, since Since; Error tells why, empty when up.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
	// Waiting, Lost and Records are sums over the routes, in offsets and records of this run.
	Waiting int64 `json:"waiting"`
	Lost    int64 `json:"lost"`
	Records int64 `json:"records"`
	// Routes are the partitions of the local log that go up; absent in the status.
	Routes []UplinkRoute `json:"routes,omitempty"`
}

// UplinkRoute is one of them.
type UplinkRoute struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	To        string `json:"to"`
	// Start and End bound the local log, Next is its first offset that is not up: -1 while that is not known.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	Next  int64 `json:"next"`
	// Waiting is how many offsets are to go up; Held of Room bytes of the local log hold them, as far as is known.
	Waiting int64  `json:"waiting"`
	Held    int64  `json:"held"`
	Room    int64  `json:"room"`
	Lost    int64  `json:"lost"`
	Records int64  `json:"records"`
	Error   string `json:"error,omitempty"`
}

func (c *Console) getUplink(w http.ResponseWriter, _ *http.Request) {
	if c.deps.Uplink == nil {
		fail(w, http.StatusNotFound, "no-uplink", "no uplink is configured: name a central cluster in uplink.brokers")
		return
	}
	u := c.deps.Uplink()
	if u == nil {
		fail(w, http.StatusServiceUnavailable, "starting", "the appliance is starting")
		return
	}
	answer(w, u)
}
