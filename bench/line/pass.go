package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"andon/event"
	"andon/ingest"
	"andon/model"
	"andon/processors"
	"andon/processors/features"
)

// pass is one reading of a topic, by a pipeline of its own, from the start to the end.
type pass struct {
	pipeline string
	source   ingest.Source
	features *features.Config
	model    *model.Model
	rows     int
	scores   int
	// blind leaves the watch for drift out; panel is who reads what it tells, nil for nobody.
	blind bool
	panel *panel
}

// cost is what a pass took. CPU times run from the start of the intake until the ClickHouse child is at rest after the last row.
type cost struct {
	// Wall ends when the last row is stored; Start is its part before the first record was handled (the group's forming).
	Wall   time.Duration `json:"wall_ns"`
	Start  time.Duration `json:"start_ns"`
	Own    time.Duration `json:"own_cpu_ns"`
	Engine time.Duration `json:"engine_cpu_ns"`
	// After is the part of both CPU times that came after the last row was stored.
	After time.Duration `json:"after_cpu_ns"`
	// Inserts and Merges are parts of Engine, by the names of the child's threads.
	Inserts time.Duration `json:"insert_cpu_ns"`
	Merges  time.Duration `json:"merge_cpu_ns"`
	// Blocks is how many blocks were stored, Sketches how many the watch for drift made.
	Blocks   int `json:"blocks"`
	Sketches int `json:"sketches"`
}

func (c cost) cpu() time.Duration { return c.Own + c.Engine }

// passLimit is when a pass is given up.
const passLimit = 10 * time.Minute

// do runs a pass and checks that everything arrived.
func (h *house) do(ctx context.Context, p pass) (c cost, err error) {
	cfg := processors.Default()
	cfg.Pipeline, cfg.Signals, cfg.Source, cfg.Features = p.pipeline, p.source.Signals, p.source.Topic, p.features
	cfg.Drift.Enabled = !p.blind
	judge := processors.Judge{}
	if p.model != nil {
		judge = processors.Judge{Scorer: h.judge, Live: func() *model.Model { return p.model }}
	}
	sink := &counter{sink: h.store, want: p.rows, done: make(chan struct{})}
	outlets := h.outlets
	outlets.Sink = sink
	line, err := processors.New(cfg, judge, outlets, h.working, h.log)
	if err != nil {
		return c, err
	}
	first := &first{}
	open := func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
		handler, from, err := line.Open(ctx, processors.Assignment(a))
		return noticed{handler, first}, from, err
	}
	in, err := ingest.New(h.at, p.pipeline, p.source, open, h.budget, h.reading, h.log)
	if err != nil {
		return c, err
	}

	ctx, stop := context.WithTimeout(ctx, passLimit)
	defer stop()
	ended := make(chan error, 1)
	threads := h.engine.threads()
	own, engine, begun := ownCPU(), h.engine.cpu(), time.Now()
	go func() { ended <- in.Run(ctx) }()
	select {
	case <-sink.done:
	case err := <-ended:
		if err == nil {
			err = fmt.Errorf("not done within %v: %w", passLimit, ctx.Err())
		}
		return c, err
	}
	c.Wall, c.Start = time.Since(begun), first.at.Sub(begun)
	stored := ownCPU() + h.engine.cpu()
	if p.panel != nil {
		err = p.panel.wait(ctx, sink.sketches)
	}
	err = errors.Join(err, h.rest(ctx))
	c.Own, c.Engine = ownCPU()-own, h.engine.cpu()-engine
	c.After = ownCPU() + h.engine.cpu() - stored
	for name, part := range map[string]*time.Duration{"TCPHandler": &c.Inserts, "MergeMutate": &c.Merges} {
		*part = h.engine.threads()[name] - threads[name]
	}
	stop()
	err = errors.Join(err, <-ended)
	c.Blocks, c.Sketches = sink.blocks, sink.sketches
	if err == nil && (sink.rows != p.rows || sink.scores != p.scores || sink.letters != 0) {
		err = fmt.Errorf("stored %d readings, %d scores and %d dead letters; expected %d, %d and none", sink.rows, sink.scores, sink.letters, p.rows, p.scores)
	}
	return c, err
}

// counter counts what the store has taken.
type counter struct {
	sink processors.Sink
	want int
	done chan struct{} // closed when all input is stored

	mu                    sync.Mutex
	rows, scores, letters int
	blocks, sketches      int
}

func (c *counter) Write(ctx context.Context, b *event.Block) error {
	if err := c.sink.Write(ctx, b); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks++
	c.sketches += len(b.Sketches)
	before := c.rows + c.letters
	c.rows, c.scores, c.letters = c.rows+b.Readings.Len(), c.scores+len(b.Scores), c.letters+len(b.DeadLetters)
	if c.rows+c.letters >= c.want && before < c.want {
		close(c.done)
	}
	return nil
}

// first is when the first record was handled.
type first struct {
	once sync.Once
	at   time.Time
}

// noticed is a handler that notices the first batch.
type noticed struct {
	ingest.Handler
	first *first
}

func (n noticed) Handle(ctx context.Context, b *event.Batch) error {
	n.first.once.Do(func() { n.first.at = time.Now() })
	return n.Handler.Handle(ctx, b)
}
