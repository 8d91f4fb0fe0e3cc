package console

import (
	"context"
	"sync"
	"time"
)

// hub carries what is watched to those who look. One goroutine (run) applies it to the board and to the feeds of single assets, and wakes the clients ten
// times a second; each client then takes what it has not seen. Nothing is queued for a client but what a feed bounds, so a client that
// reads slowly misses points, is told how many, and holds up no one.
type hub struct {
	watch     *watch
	board     *board
	line      *line
	trainings *trainings
	alerts    *alertBoard
	loops     *loopBoard
	metrics   *metrics
	// writeWithin bounds how long a client may leave a message untaken.
	writeWithin time.Duration

	mu      sync.Mutex
	clients map[*client]struct{}
	closed  bool
	served  sync.WaitGroup

	// feedsMu guards the feeds of single assets, by pipeline and asset, and what was watched lately, of which each of them begins.
	feedsMu sync.Mutex
	feeds   map[string]map[string]map[*assetFeed]struct{}
	recent  recent

	// deltas holds the newest delta of each fleet, encoded once for all clients that are as far.
	deltasMu sync.Mutex
	deltas   map[deltaKey]fleetDelta
}

type deltaKey struct {
	pipeline string
	from     uint64
	whole    bool
}

func newHub(cfg Config, m *metrics) *hub {
	return &hub{
		watch: newWatch(cfg.WatchRows, m), board: newBoard(cfg.MaxAssets), line: newLine(cfg.History, cfg.SampleEvery), trainings: newTrainings(), alerts: newAlertBoard(), loops: &loopBoard{},
		metrics: m, writeWithin: writeWithin, clients: map[*client]struct{}{}, feeds: map[string]map[string]map[*assetFeed]struct{}{}, deltas: map[deltaKey]fleetDelta{},
	}
}

// run applies what is watched until ctx ends, then ends the clients and waits for them.
func (h *hub) run(ctx context.Context) {
	defer h.end()
	tick := time.NewTicker(time.Second / ticksPerSecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-h.watch.queue:
			h.apply(w)
		case t := <-h.watch.trainings:
			h.trainings.add(t)
		case <-tick.C:
			h.watch.refill()
			h.wake()
		}
	}
}

func (h *hub) apply(w *watched) {
	h.board.apply(w)
	h.feedsMu.Lock()
	if byAsset := h.feeds[w.pipeline]; len(byAsset) > 0 {
		w.forward(func(name []byte) map[*assetFeed]struct{} { return byAsset[string(name)] })
	}
	old := h.recent.add(w)
	h.feedsMu.Unlock()
	for _, o := range old {
		h.watch.free.Put(o)
	}
}

// forward gives rows and scores to the feeds of their assets.
func (w *watched) forward(feeds func(name []byte) map[*assetFeed]struct{}) {
	for i := range w.rows {
		for f := range feeds(w.asset(w.rows[i].asset)) {
			f.row(w, &w.rows[i])
		}
	}
	for i := range w.scores {
		for f := range feeds(w.asset(w.scores[i].asset)) {
			f.score(&w.scores[i])
		}
	}
}

// follow adds a feed and gives it what was watched lately, which the store may not hold yet. From then on the feed misses nothing.
func (h *hub) follow(f *assetFeed) {
	h.feedsMu.Lock()
	defer h.feedsMu.Unlock()
	byAsset := h.feeds[f.pipeline]
	if byAsset == nil {
		byAsset = map[string]map[*assetFeed]struct{}{}
		h.feeds[f.pipeline] = byAsset
	}
	if byAsset[f.asset] == nil {
		byAsset[f.asset] = map[*assetFeed]struct{}{}
	}
	byAsset[f.asset][f] = struct{}{}
	one := map[*assetFeed]struct{}{f: {}}
	for _, w := range h.recent.kept() {
		if w.pipeline == f.pipeline {
			w.forward(func(name []byte) map[*assetFeed]struct{} {
				if string(name) == f.asset {
					return one
				}
				return nil
			})
		}
	}
}

func (h *hub) unfollow(f *assetFeed) {
	h.feedsMu.Lock()
	defer h.feedsMu.Unlock()
	byAsset := h.feeds[f.pipeline]
	delete(byAsset[f.asset], f)
	if len(byAsset[f.asset]) == 0 {
		delete(byAsset, f.asset)
	}
	if len(byAsset) == 0 {
		delete(h.feeds, f.pipeline)
	}
}

// wake tells each client that there may be something new.
func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// join takes a client in, unless there are too many or the hub has ended.
func (h *hub) join(c *client, most int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.clients) >= most {
		return false
	}
	h.clients[c] = struct{}{}
	h.served.Add(1)
	h.metrics.clients.Set(float64(len(h.clients)))
	return true
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	delete(h.clients, c)
	h.metrics.clients.Set(float64(len(h.clients)))
	h.mu.Unlock()
	h.served.Done()
}

// end closes every client, telling it to come back later, and waits until all have left: http.Server.Shutdown does not know of them.
func (h *hub) end() {
	h.mu.Lock()
	h.closed = true
	for c := range h.clients {
		c.stop()
	}
	h.mu.Unlock()
	h.served.Wait()
}

// fleetDelta is what changed in a fleet, encoded.
type fleetDelta struct {
	js      []byte
	rows    int
	version uint64
}

// fleetSince returns what changed after the version, with whole also each asset's trend. Clients that are as far as each other share one encoding.
func (h *hub) fleetSince(pipeline string, from uint64, whole bool) fleetDelta {
	now := h.board.version(pipeline)
	k := deltaKey{pipeline, from, whole}
	h.deltasMu.Lock()
	defer h.deltasMu.Unlock()
	if d, ok := h.deltas[k]; ok && d.version == now {
		return d
	}
	if len(h.deltas) > 256 {
		clear(h.deltas)
	}
	list, now := h.board.since(pipeline, from, whole)
	d := fleetDelta{js: fleetRows(list, whole), rows: len(list), version: now}
	h.deltas[k] = d
	return d
}
