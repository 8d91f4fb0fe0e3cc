package console

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gorilla/websocket"
)

// client is one open feed. Its reader goroutine takes requests; its writer goroutine owns the subscriptions and everything that is written.
type client struct {
	conn *websocket.Conn
	hub  *hub
	deps feedDeps

	requests chan request
	wake     chan struct{}
	ready    chan *subscription
	stop     context.CancelFunc

	subs map[uint32]*subscription
	buf  []byte
}

// feedDeps is what the feeds need of the console.
type feedDeps struct {
	hello     func() hello
	pipeline  func(name string) (Pipeline, bool)
	history   *history
	maxPoints int
}

// subscription is one topic that a client follows.
type subscription struct {
	id    uint32
	seq   uint32
	every time.Duration
	last  time.Time
	feed  feed
	// loading is true until the snapshot's part from the store is there; err is why there is none.
	loading bool
	err     *fault
	cancel  context.CancelFunc
}

// feed makes a subscription's messages. All methods but load are called by the writer alone.
type feed interface {
	// load fetches what the snapshot needs from the store; it runs on its own goroutine and is nil where nothing is to be fetched.
	load() func(ctx context.Context) *fault
	// snapshot writes the first message; delta writes what has come since, if anything.
	snapshot(w *writer) error
	dirty() bool
	delta(w *writer) error
	close()
}

// serve runs the client until it leaves, ctx (which stop ends) is over, or it reads too slowly to keep the connection.
func (c *client) serve(ctx context.Context) {
	defer c.stop()
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		defer c.stop()
		c.read(ctx)
	}()
	code, reason := c.write(ctx)
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	c.conn.Close()
	c.stop()
	<-reading
	for _, s := range c.subs {
		c.drop(s)
	}
}

// read takes requests until the connection ends or says something that is not understood.
func (c *client) read(ctx context.Context) {
	c.conn.SetReadLimit(readLimit)
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWithin)) }
	_ = alive("")
	c.conn.SetPongHandler(alive)
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		var r request
		if kind != websocket.TextMessage || json.Unmarshal(data, &r) != nil {
			r = request{Type: "unreadable"}
		}
		select {
		case c.requests <- r:
		case <-ctx.Done():
			return
		}
	}
}

// write owns the connection's other half. It returns with what to close the connection by.
func (c *client) write(ctx context.Context) (code int, reason string) {
	w := &writer{c: c}
	if w.json(c.deps.hello()) != nil {
		return websocket.CloseAbnormalClosure, ""
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return closeRestart, "the server stops: come back in a moment"
		case r := <-c.requests:
			err = c.handle(ctx, w, &r)
		case s := <-c.ready:
			err = c.loaded(w, s)
		case <-c.wake:
			err = c.flush(w, due)
		case <-due.C:
			err = c.flush(w, due)
		case <-ping.C:
			err = c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(c.hub.writeWithin))
		}
		if err != nil {
			return websocket.CloseAbnormalClosure, ""
		}
	}
}

// flush writes the deltas that are due and sets the timer for those that will be.
func (c *client) flush(w *writer, due *time.Timer) error {
	now := time.Now()
	next := time.Hour
	for _, s := range c.subs {
		if s.loading || !s.feed.dirty() {
			continue
		}
		// A tick that comes a little early must not make the rate half of what was asked.
		if wait := s.every - now.Sub(s.last); wait > time.Second/ticksPerSecond/2 {
			next = min(next, wait)
			continue
		}
		s.last = now
		w.sub = s
		if err := s.feed.delta(w); err != nil {
			return err
		}
	}
	due.Reset(next)
	return nil
}

func (c *client) handle(ctx context.Context, w *writer, r *request) error {
	switch r.Type {
	case "sub":
		return c.subscribe(ctx, w, r)
	case "unsub":
		if s := c.subs[r.ID]; s != nil {
			delete(c.subs, r.ID)
			c.drop(s)
		}
		return nil
	case "rate":
		if s := c.subs[r.ID]; s != nil {
			s.every = r.interval()
		}
		return nil
	}
	return w.json(fault{Type: "error", ID: r.ID, Code: codeBadRequest, Message: `a request is JSON text with "type" sub, unsub or rate`})
}

func (c *client) subscribe(ctx context.Context, w *writer, r *request) error {
	refuse := func(code, message string) error {
		return w.json(fault{Type: "error", ID: r.ID, Code: code, Message: message})
	}
	if old := c.subs[r.ID]; old != nil {
		delete(c.subs, r.ID)
		c.drop(old)
	}
	if len(c.subs) >= maxSubs {
		return refuse(codeBusy, "too many subscriptions on one connection: end some")
	}
	var f feed
	switch r.Topic {
	case topicLine:
		f = &lineFeed{line: c.hub.line}
	case topicTraining:
		f = &trainingFeed{trainings: c.hub.trainings}
	case topicAlerts:
		f = &alertFeed{board: c.hub.alerts}
	case topicModels:
		f = &loopFeed{board: c.hub.loops}
	case topicFleet, topicAsset:
		p, ok := c.deps.pipeline(r.Params["pipeline"])
		if !ok {
			return refuse(codeNotFound, "there is no pipeline of that name")
		}
		if r.Topic == topicFleet {
			f = &fleetFeed{hub: c.hub, pipeline: p.Name}
			break
		}
		if r.Params["asset"] == "" {
			return refuse(codeBadRequest, "params.asset is missing")
		}
		f = newAssetFeed(c.hub, c.deps, p, r.Params["asset"], r.start())
	default:
		return refuse(codeBadRequest, "topic is line, fleet, asset, training, alerts or models")
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &subscription{id: r.ID, every: r.interval(), feed: f, cancel: cancel}
	c.subs[r.ID] = s
	load := f.load()
	if load == nil {
		return c.loaded(w, s)
	}
	s.loading = true
	c.hub.served.Add(1)
	go func() {
		defer c.hub.served.Done()
		s.err = load(ctx)
		select {
		case c.ready <- s:
		case <-ctx.Done():
		}
	}()
	return nil
}

// loaded writes the snapshot, unless the subscription has ended meanwhile.
func (c *client) loaded(w *writer, s *subscription) error {
	if c.subs[s.id] != s {
		return nil
	}
	s.loading = false
	if s.err != nil {
		delete(c.subs, s.id)
		c.drop(s)
		s.err.ID = s.id
		return w.json(s.err)
	}
	s.last = time.Now()
	w.sub = s
	return s.feed.snapshot(w)
}

func (c *client) drop(s *subscription) {
	s.cancel()
	s.feed.close()
}

// writer writes one client's messages. A write that takes longer than the hub's writeWithin ends the connection.
type writer struct {
	c   *client
	sub *subscription
}

// head returns the next message's head.
func (w *writer) head(kind string) head {
	h := head{Type: kind, ID: w.sub.id, Seq: w.sub.seq}
	w.sub.seq++
	return h
}

func (w *writer) json(v any) error {
	js, err := json.Marshal(v)
	if err != nil {
		panic("console: encode " + err.Error())
	}
	return w.message(websocket.TextMessage, js)
}

func (w *writer) text(js []byte) error   { return w.message(websocket.TextMessage, js) }
func (w *writer) binary(js []byte) error { return w.message(websocket.BinaryMessage, js) }

func (w *writer) message(kind int, data []byte) error {
	if err := w.c.conn.SetWriteDeadline(time.Now().Add(w.c.hub.writeWithin)); err != nil {
		return err
	}
	w.c.hub.metrics.messages.Inc()
	w.c.hub.metrics.bytes.Add(float64(len(data)))
	return w.c.conn.WriteMessage(kind, data)
}
