package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"time"

	"andon/event"
	"andon/ingest"
	"andon/processors"
	"andon/sinks/kafka"
)

// turn is one reading of the filled topic by a pipeline, a group and an output topic of its own.
type turn struct {
	job  *job
	name string // the pipeline's
	once bool
}

// deliveryCost is what a turn took. CPU times run from the start of the intake until it has ended and the ClickHouse child is at rest.
type deliveryCost struct {
	// Wall is from the first record that was handled to the commit of the last; Start, before it, is the group's forming and, with transactions, the producers'.
	Wall   time.Duration `json:"wall_ns"`
	Start  time.Duration `json:"start_ns"`
	Own    time.Duration `json:"own_cpu_ns"`
	Engine time.Duration `json:"engine_cpu_ns"`
	Broker time.Duration `json:"broker_cpu_ns"` // Apache Kafka; the embedded broker is in Own
	Blocks int           `json:"blocks"`
	// Published is how many records a reader of committed records found in the output topic, each of another source.
	Published int `json:"published"`
}

func (d deliveryCost) cpu() time.Duration { return d.Own + d.Engine + d.Broker }

// progress knows how far each partition is committed.
type progress struct {
	ends map[int32]int64
	done chan struct{} // closed when all is

	mu      sync.Mutex
	next    map[int32]int64
	left    int // partitions
	intents int
}

func newProgress(ends map[int32]int64) *progress {
	p := &progress{ends: ends, done: make(chan struct{}), next: map[int32]int64{}, left: len(ends)}
	for part, end := range ends {
		if end == 0 {
			p.left--
			p.next[part] = 0
		}
	}
	return p
}

func (p *progress) reached(partition int32, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next[partition] < p.ends[partition] && next >= p.ends[partition] {
		if p.left--; p.left == 0 {
			close(p.done)
		}
	}
	p.next[partition] = next
}

// told notices a commit that says what is about to be stored.
func (p *progress) told(note string) bool {
	if !strings.Contains(note, `"intent":{`) {
		return false
	}
	p.mu.Lock()
	p.intents++
	p.mu.Unlock()
	return true
}

// witness is a partition's transactional producer, seen from outside.
type witness struct {
	*kafka.Transactor
	reached func(next int64)
}

func (w witness) Publish(ctx context.Context, b *event.Block, note string, identity func() (event.Member, error)) error {
	next := b.Next
	if err := w.Transactor.Publish(ctx, b, note, identity); err != nil {
		return err
	}
	w.reached(next)
	return nil
}

// tally counts what the store has taken.
type tally struct {
	sink processors.Sink

	mu                             sync.Mutex
	rows, windows, letters, blocks int
}

func (t *tally) Write(ctx context.Context, b *event.Block) error {
	if err := t.sink.Write(ctx, b); err != nil {
		return err
	}
	rows := b.Readings.Len()
	if b.Counted {
		rows = b.Tally.Rows()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows, t.windows, t.letters, t.blocks = t.rows+rows, t.windows+b.Features.Len(), t.letters+len(b.DeadLetters), t.blocks+1
	return nil
}

// deliver makes a turn over the topic whose partitions end at ends, and checks that each record was handled and stored. It returns the number of windows, too.
func (h *house) deliver(ctx context.Context, t turn, source ingest.Source, ends map[int32]int64, broker family) (d deliveryCost, windows int, err error) {
	rows := 0
	for _, end := range ends {
		rows += int(end)
	}
	cfg := processors.Default()
	cfg.Pipeline, cfg.Signals, cfg.Source = t.name, source.Signals, source.Topic
	t.job.shape(&cfg)
	sink := &tally{sink: h.store}
	outlets := h.outlets
	outlets.Sink = sink
	line, err := processors.New(cfg, processors.Judge{}, outlets, h.working, h.log)
	if err != nil {
		return d, 0, err
	}
	source.Group = "andon." + t.name
	drop := t.job.bare && !t.once
	begun, far := &first{}, newProgress(ends)
	open := func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
		commit := a.Commit
		a.Commit = func(ctx context.Context, next int64, note string) error {
			if far.told(note) {
				if drop {
					return nil
				}
				return commit(ctx, next, note)
			}
			if err := commit(ctx, next, note); err != nil {
				return err
			}
			far.reached(a.Partition, next)
			return nil
		}
		if tr, ok := a.Fence.(*kafka.Transactor); ok {
			a.Fence = witness{tr, func(next int64) { far.reached(a.Partition, next) }}
		}
		handler, from, err := line.Open(ctx, processors.Assignment(a))
		return noticed{handler, begun}, from, err
	}
	in, err := ingest.New(h.at, t.name, source, open, h.budget, h.reading, h.log)
	if err != nil {
		return d, 0, err
	}
	if t.once && !t.job.bare {
		in.FenceBy(func(ctx context.Context, topic string, partition int32) (io.Closer, error) {
			return h.publisher.Transactor(ctx, source.Group, topic, partition)
		})
	}

	runtime.GC()
	life, stop := context.WithTimeout(ctx, passLimit)
	defer stop()
	ended := make(chan error, 1)
	own, engine, others, at := ownCPU(), h.engine.cpu(), broker.cpu(), time.Now()
	go func() { ended <- in.Run(life) }()
	select {
	case <-far.done:
	case err := <-ended:
		if err == nil {
			err = fmt.Errorf("not done within %v: %w", passLimit, life.Err())
		}
		return d, 0, err
	}
	d.Wall, d.Start = time.Since(begun.at), begun.at.Sub(at)
	stop()
	if err := <-ended; err != nil {
		return d, 0, err
	}
	d.Broker = broker.cpu() - others
	if err := h.rest(ctx); err != nil {
		return d, 0, err
	}
	d.Own, d.Engine, d.Blocks = ownCPU()-own, h.engine.cpu()-engine, sink.blocks
	if sink.rows != rows || sink.letters != 0 {
		return d, 0, fmt.Errorf("%d rows were handled and %d dead letters made; expected %d and none", sink.rows, sink.letters, rows)
	}
	if far.intents != sink.blocks {
		return d, 0, fmt.Errorf("%d intents of %d blocks were seen", far.intents, sink.blocks)
	}
	return d, sink.windows, nil
}
