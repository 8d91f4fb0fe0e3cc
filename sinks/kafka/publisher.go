// Package kafka publishes what a pipeline tells the rest of the world: records that could not be used, and scores; it sends the former again; it keeps journals, states, and the board of trainings that workers do.
//
// Metrics: andon_kafka_published_total{topic}, andon_kafka_truncated_total, andon_kafka_replayed_total{pipeline,outcome} (sent, failed, doubtful).
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/event"
	"andon/ingest/dial"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// Outputs names the topics that a pipeline's results are published to; an empty one is not published. Dead letters always are, to Config.DeadLetters.
type Outputs struct {
	Scores, Features, Readings string
	// Sketches is where what lines count of their windows goes, for the panel.
	Sketches string
	// Form is that of readings.
	Form Form
}

// Publisher publishes blocks. All partitions of all pipelines share one.
type Publisher struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	client  *kgo.Client
	outputs func(pipeline string) Outputs
	room    *semaphore.Weighted // of MaxInFlight bytes, for all clients together
	welcome atomic.Bool         // the cluster has taken something from us
}

// Open checks cfg, reads the files it names and prepares the client, which connects when it is first needed. outputs tells what of a pipeline
// is published, and where; nil means nothing. reg may be nil.
func Open(cfg Config, outputs func(pipeline string) Outputs, log *slog.Logger, reg prometheus.Registerer) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	opts, err := dial.Options(cfg.Seeds, cfg.ClientID, cfg.Security, log)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()), // and idempotent, which is the client's default
		kgo.AlwaysRetryEOF(),               // a broker that goes down hangs up, too: who has the wrong settings is told by the intake
		kgo.RetryBackoffFn(dial.Backoff), kgo.ProducerLinger(cfg.Linger), kgo.ProducerBatchMaxBytes(int32(cfg.MaxRecord)+batchOverhead),
		kgo.MaxBufferedRecords(1<<20), // bytes are the bound, those of all clients together: see room
		cfg.compression())...)
	if err != nil {
		return nil, err
	}
	if outputs == nil {
		outputs = func(string) Outputs { return Outputs{} }
	}
	return &Publisher{cfg: cfg, log: log, metrics: newMetrics(reg), client: client, room: semaphore.NewWeighted(int64(cfg.MaxInFlight)), outputs: outputs}, nil
}

// batchOverhead is more than a batch of one record needs beside it.
const batchOverhead = 1024

// Publish sends the block's dead letters and then, if its pipeline publishes them, its scores, the values of its windows and the readings that were taken. It returns when the brokers have acknowledged all, when one
// was refused for good, or when ctx ends; in between it waits and retries without an end. It may be called concurrently. The block is not kept, but a dead
// letter's slices may be read until they are acknowledged even if ctx ends.
//
// A block that is published again, because the process died before its commit, doubles its records; they carry their source's offset (see HeaderOffset).
func (p *Publisher) Publish(ctx context.Context, b *event.Block) error {
	for _, k := range p.kinds(b) {
		if err := p.send(ctx, p.client, k); err != nil {
			return p.failed(b, k, err)
		}
	}
	return nil
}

// kind is one kind of a block's records, on their way to a topic.
type kind struct {
	what, topic string
	n           int
	record      func(i int) *kgo.Record
}

// kinds tells what is published of a block, in the order in which it must be out. Each of the records says what it came of: see position.
func (p *Publisher) kinds(b *event.Block) (all []kind) {
	add := func(what, topic string, n int, record func(i int) *kgo.Record) {
		if n > 0 {
			all = append(all, kind{what, topic, n, record})
		}
	}
	add("dead letters", p.cfg.DeadLetters, len(b.DeadLetters), func(i int) *kgo.Record {
		r, cut := deadLetter(p.cfg.DeadLetters, &b.DeadLetters[i], int(p.cfg.MaxRecord))
		if cut {
			p.metrics.truncated.Inc()
		}
		return r
	})
	to := p.outputs(b.Pipeline)
	if to.Scores != "" {
		add("scores", to.Scores, len(b.Scores), func(i int) *kgo.Record { return score(to.Scores, &b.Scores[i]) })
	}
	if to.Sketches != "" {
		add("sketches", to.Sketches, len(b.Sketches), func(i int) *kgo.Record { return sketch(to.Sketches, &b.Sketches[i]) })
	}
	if n := b.Features.Len(); n > 0 && to.Features != "" {
		keys := keys(b.Features.Names)
		add("windows' values", to.Features, n, func(i int) *kgo.Record { return feature(to.Features, b, i, keys) })
	}
	if b.Readings.Len() > 0 && to.Readings != "" {
		r := newReadings(to.Readings, to.Form, b)
		add("readings", to.Readings, len(r.taken), r.record)
	}
	return all
}

// outcome gathers what became of a block's records.
type outcome struct {
	mu    sync.Mutex
	left  int
	first error
	done  chan struct{}
}

func (o *outcome) one(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left--; err != nil && o.first == nil {
		o.first = err
	}
	if o.left == 0 {
		close(o.done)
	}
}

func (o *outcome) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first
}

// send publishes records of one kind through a client and waits for all of them.
func (p *Publisher) send(ctx context.Context, client *kgo.Client, k kind) error {
	// A cluster that refuses us is not waited for. The client does not tell its refusal from a broker that is away.
	if !p.welcome.Load() {
		if err := dial.Refused(ctx, client); err != nil && !dial.Hangup(err) {
			return err
		}
	}
	o := &outcome{left: k.n, done: make(chan struct{})}
	count := p.metrics.published.WithLabelValues(k.topic) // a look-up for each record would be a thirtieth of a map's CPU time
	for i := range k.n {
		r := k.record(i)
		room := min(int64(size(r)), int64(p.cfg.MaxInFlight))
		if err := p.room.Acquire(ctx, room); err != nil {
			return err
		}
		// Produce waits while the client is full; with ctx over it gives the record back at once.
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			p.room.Release(room)
			if err == nil {
				count.Inc()
			}
			o.one(err)
		})
	}
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		select {
		case <-o.done:
			p.welcome.Store(true)
			return o.err()
		case <-again.C:
			if err := dial.Refused(ctx, client); err != nil && !dial.Hangup(err) {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Publisher) failed(b *event.Block, k kind, err error) error {
	return fmt.Errorf("publish %d %s of %s %s/%d@%d-%d to %s: %w", k.n, k.what, b.Pipeline, b.Topic, b.Partition, b.First, b.Next, k.topic, told(err, p.cfg))
}

// told says what to do about records that were refused.
func told(err error, cfg Config) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("the topic does not exist on %s: create it", strings.Join(cfg.Seeds, ","))
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("%w: raise the topic's max.message.bytes or lower max_record (%s)", err, cfg.MaxRecord)
	}
	return err
}

// Close waits up to 5 s for what is under way and lets go of the connections. No Publish may be running.
func (p *Publisher) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.client.Flush(ctx)
	p.client.Close()
	if err != nil {
		return fmt.Errorf("publish what was under way: %w", err)
	}
	return nil
}
