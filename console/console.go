// Package console is what people see: the page and its live feed, the HTTP API, the metrics and the health of the appliance.
//
// It watches the line without ever making it wait, and keeps only the present; the past is asked from the store. Its own metrics are listed
// in metrics.go, the live feed's protocol in protocol.go, the API in openapi.yaml.
package console

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"andon/event"
)

// Console serves one appliance.
type Console struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	hub     *hub
	metrics *metrics
	// pages asks the store for the pages, people for those who write their own queries: neither can starve the other.
	pages, people *history
	// models answers what is asked below /v2, rpc the connections that speak HTTP/2 from the start; nil where models cannot be asked.
	models  http.Handler
	rpc     func(ctx context.Context, l net.Listener) error
	gallery *gallery
	// evidence is where frames are kept, eyes what is looked for in those of each pipeline, eyeLabels what its model knows.
	evidence  Evidence
	eyes      map[string]Eye
	eyeLabels func(pipeline string) []string
	// epoch names this process to clients that reconnect.
	epoch string
	page  *page
	// pushing is held while a model is taken in.
	pushing sync.Mutex

	mu       sync.Mutex
	listener net.Listener
	// ends is the context of Run, for the feeds: http.Server.Shutdown leaves them alone.
	ends context.Context
}

// New makes a console; nothing is opened or started. The configuration must be valid.
func New(cfg Config, deps Deps, log *slog.Logger) *Console {
	m := newMetrics(deps.Register)
	var epoch [6]byte
	_, _ = rand.Read(epoch[:])
	return &Console{
		cfg: cfg, deps: deps, log: log, metrics: m, hub: newHub(cfg, m), epoch: hex.EncodeToString(epoch[:]), page: newPage(), gallery: newGallery(),
		pages:  newHistory(deps.Store, cfg.Queries, cfg.QueryTimeout, m),
		people: newHistory(deps.Store, cfg.Queries, cfg.QueryTimeout, m),
	}
}

// Listen opens the port and returns its address, host:port. A port that is taken is an error that says so.
func (c *Console) Listen() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		l, err := net.Listen("tcp", c.cfg.Listen)
		if err != nil {
			return "", fmt.Errorf("listen for the console on %s (another address is set by --listen or console.listen): %w", c.cfg.Listen, err)
		}
		c.listener = l
	}
	return c.listener.Addr().String(), nil
}

// Models adds what models are asked through, before Run: rest gets what is asked below /v2, rpc the connections that speak HTTP/2 from their first byte, as gRPC's do. It
// serves them until its context ends, and closes the listener.
func (c *Console) Models(rest http.Handler, rpc func(ctx context.Context, l net.Listener) error) {
	c.models, c.rpc = rest, rpc
}

// Observe shows rows and scores. It never blocks and keeps nothing of its arguments; what it cannot take is dropped and counted.
func (c *Console) Observe(pipeline string, rows []event.Row, scores []event.Score) {
	c.hub.watch.observe(pipeline, rows, scores)
}

// Training shows a step of a training run. It never blocks.
func (c *Console) Training(t event.Training) { c.hub.watch.training(t) }

// Run serves until ctx ends, then closes the live feeds and lets requests in hand finish for a few seconds. It opens the port if Listen was not called.
func (c *Console) Run(ctx context.Context) error {
	addr, err := c.Listen()
	if err != nil {
		return err
	}
	if c.deps.Loop != nil {
		c.hub.loops.follow(c.deps.Loop.Status, c.held)
	}
	group, ctx := errgroup.WithContext(ctx)
	c.mu.Lock()
	c.ends = ctx
	l := c.listener
	c.mu.Unlock()
	server := &http.Server{
		Handler:           c.handler(addr),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
	group.Go(func() error { c.hub.run(ctx); return nil })
	group.Go(func() error { c.sample(ctx); return nil })
	group.Go(func() error { c.remember(ctx); return nil })
	port := newSplit(l, c.rpc != nil)
	group.Go(func() error { return port.run(ctx) })
	if c.rpc != nil {
		group.Go(func() error { return c.rpc(ctx, port.rpc) })
	}
	group.Go(func() error {
		if err := server.Serve(port.web); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the console on %s: %w", addr, err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := server.Shutdown(last); err != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// Close gives the port back where Run was never called.
func (c *Console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		return nil
	}
	if err := c.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// sample reads the metrics at the configured pace.
func (c *Console) sample(ctx context.Context) {
	var s sampler
	tick := time.NewTicker(c.cfg.SampleEvery)
	defer tick.Stop()
	for {
		now := gather(c.deps.Metrics, time.Now())
		v := c.view()
		facts := mustJSON(struct {
			view
			DeadLetters map[string]map[string]float64 `json:"dead_letters"`
		}{v, now.reasons()})
		c.hub.line.add(s.sample(now, v.Pipelines), facts)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// remember fills the fleet and the trainings from the store, so that a restart does not show an empty page until the line has flowed again.
func (c *Console) remember(ctx context.Context) {
	todo := map[string]func() error{"trainings": func() error {
		steps, err := c.pages.trainings(ctx)
		for _, t := range steps {
			c.hub.trainings.add(t)
		}
		return err
	}}
	for _, p := range c.deps.Status().Pipelines {
		todo[p.Name] = func() error {
			scores, err := c.pages.newest(ctx, p, c.cfg.MaxAssets)
			if err == nil {
				c.hub.board.restore(p.Name, scores)
			}
			return err
		}
	}
	// The store may still be starting.
	for wait := 200 * time.Millisecond; len(todo) > 0; wait = min(2*wait, 10*time.Second) {
		for name, do := range todo {
			if err := do(); err == nil {
				delete(todo, name)
			} else if ctx.Err() == nil {
				c.log.Debug("the console could not be filled from the store yet", "what", name, "err", err)
			}
		}
		if len(todo) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
