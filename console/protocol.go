package console

import (
	"encoding/json"
	"time"
)

// The live feed, subprotocol andon.v1. Control and small data are JSON text; points are binary frames (see frame.go).
//
//	server  {"type":"hello","server":"andon 1.2","epoch":"…","time":ms,"max_hz":10}
//	client  {"type":"sub","id":1,"topic":"line","max_hz":1}
//	        {"type":"sub","id":2,"topic":"fleet","params":{"pipeline":"…"},"max_hz":4}
//	        {"type":"sub","id":3,"topic":"asset","params":{"pipeline":"…","asset":"…"},"from":ms,"since":ms,"max_hz":10}
//	        {"type":"sub","id":4,"topic":"training"}
//	        {"type":"sub","id":5,"topic":"alerts"}
//	        {"type":"sub","id":6,"topic":"models"}   each message has where the loops are, whole, and a turn that counts changes of models, decisions and comparisons, too
//	        {"type":"rate","id":3,"max_hz":0.5}   a page that is not looked at asks for less
//	        {"type":"unsub","id":3}
//	server  {"type":"snapshot","id":1,"seq":0,"epoch":"…",…}
//	        {"type":"delta","id":1,"seq":1,…}
//	        {"type":"gap","id":1,"seq":2,"count":40,"from":ms,"to":ms}   40 points were left out: read them from the history
//	        {"type":"error","id":1,"code":"…","message":"…"}             the subscription has ended
//
// Sequence numbers count a subscription's messages from its snapshot, without holes. The epoch names the server's process: where it differs from the
// one before, sequence numbers and sample indices start anew.
const subprotocol = "andon.v1"

// The topics.
const (
	topicLine     = "line"
	topicFleet    = "fleet"
	topicAsset    = "asset"
	topicTraining = "training"
	topicAlerts   = "alerts"
	topicModels   = "models"
)

// What goes wrong with a request.
const (
	codeBadRequest = "bad_request"
	codeNotFound   = "not_found"
	codeStore      = "store"
	codeModel      = "model" // a file or a move that is refused
	codeBusy       = "busy"
)

// The reasons for which the server closes a feed, beside those of RFC 6455.
const (
	closeRestart = 1012
	closeBusy    = 1013
)

const (
	pingEvery  = 20 * time.Second
	pongWithin = 60 * time.Second
	// A client that takes nothing for this long is let go; it comes back for what it has missed.
	writeWithin  = 10 * time.Second
	readLimit    = 64 << 10
	maxSubs      = 32
	defaultMaxHz = 4
)

// request is what a client says.
type request struct {
	Type   string            `json:"type"`
	ID     uint32            `json:"id"`
	Topic  string            `json:"topic"`
	Params map[string]string `json:"params"`
	// From is where an asset's history begins, milliseconds of event time; where negative, so long before the newest reading. Since is the newest
	// point that the client holds already: a client that comes back gets what it has missed.
	From  int64   `json:"from"`
	Since int64   `json:"since"`
	MaxHz float64 `json:"max_hz"`
}

func (r *request) start() int64 {
	if r.Since > 0 {
		return max(r.From, r.Since)
	}
	return r.From
}

// interval turns the asked rate into the time between messages: between once a minute and the hub's own tick.
func (r *request) interval() time.Duration {
	hz := r.MaxHz
	if !(hz > 0) {
		hz = defaultMaxHz
	}
	hz = min(max(hz, 1.0/60), ticksPerSecond)
	return time.Duration(float64(time.Second) / hz)
}

type hello struct {
	Type   string `json:"type"`
	Server string `json:"server"`
	Epoch  string `json:"epoch"`
	Time   int64  `json:"time"`
	MaxHz  int    `json:"max_hz"`
}

// head opens a message of a subscription; the feed's own fields follow it.
type head struct {
	Type string `json:"type"`
	ID   uint32 `json:"id"`
	Seq  uint32 `json:"seq"`
}

type gap struct {
	head
	Count int   `json:"count"`
	From  int64 `json:"from,omitempty"`
	To    int64 `json:"to,omitempty"`
}

type fault struct {
	Type    string `json:"type"`
	ID      uint32 `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// openMessage begins a JSON object with the head's fields, for feeds that append parts encoded once for many.
func openMessage(h head) []byte {
	js, err := json.Marshal(h)
	if err != nil {
		panic("console: encode " + err.Error())
	}
	return js[:len(js)-1]
}
