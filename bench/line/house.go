package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/processors"
	"andon/scorer"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
	"andon/sinks/kafka"
)

// house is the appliance without its console and trainer: a broker, ClickHouse, and what the pipelines share.
type house struct {
	log    *slog.Logger
	dir    string
	bus    *broker.Broker
	server *engine.Engine
	store  *clickhouse.Store
	judge  *scorer.Scorer

	reading *ingest.Metrics
	working *processors.Metrics
	budget  *ingest.Budget
	at      ingest.Config
	outlets processors.Outlets // all but the sink

	engine    family // the ClickHouse child
	publisher *kafka.Publisher
	reg       prometheus.Registerer
	undo      []func() error
}

// open starts a house whose broker can hold topics of so many bytes together; 0 starts none.
func (c *config) open(ctx context.Context, topics event.Bytes) (*house, error) {
	return c.openWatched(ctx, topics, "")
}

// openWatched starts a house whose lines tell what they count of their windows to a topic of one partition, if it is named.
func (c *config) openWatched(ctx context.Context, topics event.Bytes, sketches string) (_ *house, err error) {
	h := &house{log: c.log}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.dir, err = os.MkdirTemp(c.dir, "andon-line-"); err != nil {
		return nil, err
	}
	h.undo = append(h.undo, func() error { return os.RemoveAll(h.dir) })
	reg := prometheus.NewRegistry()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	h.undo = append(h.undo, func() error { running.Wait(); return nil })
	keep := func(name string, run func(context.Context) error) {
		running.Go(func() {
			if err := run(life); err != nil {
				h.log.Error("stopped", "part", name, "error", err)
			}
		})
	}

	self, err := os.Executable()
	if err != nil {
		end()
		return nil, err
	}
	stored := clickhouse.Default()
	stored.Engine.Library = filepath.Join(c.lib, "libchdb.so")
	h.server = engine.New(stored.Engine, filepath.Join(h.dir, "clickhouse"), []string{self, "engine"}, c.log, reg)
	if err := h.server.Start(ctx); err != nil {
		end()
		return nil, err
	}
	keep("clickhouse", h.server.Run)
	h.undo = append(h.undo, func() error { end(); return nil })
	if h.store, err = clickhouse.Open(ctx, stored, h.server.Endpoint, c.log, reg); err != nil {
		return nil, err
	}
	h.undo = append(h.undo, h.store.Close)
	if err := h.store.Migrate(ctx); err != nil {
		return nil, err
	}
	if h.engine = children(os.Getpid()); len(h.engine) == 0 {
		return nil, errors.New("the ClickHouse child is not among the processes of /proc")
	}
	h.judge = scorer.New(scorer.Default(), c.log, reg)
	h.undo = append(h.undo, func() error { h.judge.Close(); return nil })
	h.reading, h.working = ingest.NewMetrics(reg), processors.NewMetrics(reg)
	h.at = ingest.Default()
	h.budget = ingest.NewBudget(h.at.MaxInFlight, h.reading)
	h.reg = reg
	if topics == 0 {
		return h, nil
	}
	at := broker.Default()
	at.Listen, at.Dir = "127.0.0.1:0", filepath.Join(h.dir, "broker")
	at.MaxBytes += topics / 15 * 16
	if h.bus, err = broker.Open(at, c.log, reg); err != nil {
		return nil, err
	}
	h.undo = append(h.undo, h.bus.Close)
	keep("broker", h.bus.Run)
	h.at.Brokers = []string{h.bus.Addr()}
	if err := h.bus.EnsureTopics(ctx, broker.Topic{Name: deadLetters, Partitions: 1}, broker.Topic{Name: state, Bytes: 64 << 20, Retention: -1}); err != nil {
		return nil, err
	}
	if sketches != "" {
		if err := h.bus.EnsureTopics(ctx, broker.Topic{Name: sketches, Partitions: 1, Bytes: 256 << 20}); err != nil {
			return nil, err
		}
	}
	return h, h.publish(func(string) kafka.Outputs { return kafka.Outputs{Sketches: sketches} })
}

// The topics beside the one that is read.
const deadLetters, state = "andon.deadletter", "andon.state"

// publish makes the outlets to Kafka: dead letters, of which there are none here, the line's state, and outputs.
func (h *house) publish(outputs func(pipeline string) kafka.Outputs) error {
	to := kafka.Default()
	to.Seeds, to.DeadLetters = h.at.Brokers, deadLetters
	publisher, err := kafka.Open(to, outputs, h.log, h.reg)
	if err != nil {
		return err
	}
	h.publisher = publisher
	h.undo = append(h.undo, publisher.Close)
	vault, err := publisher.Vault(state, 5<<20, h.log)
	if err != nil {
		return err
	}
	h.undo = append(h.undo, vault.Close)
	h.outlets = processors.Outlets{Publisher: publisher, Vault: vault}
	return nil
}

// makeTopic makes a topic of the embedded broker's usual number of partitions.
func (h *house) makeTopic(ctx context.Context, name string, bytes event.Bytes) error {
	return h.bus.EnsureTopics(ctx, broker.Topic{Name: name, Bytes: bytes})
}

// close ends everything and removes what was written.
func (h *house) close() error {
	var errs []error
	for i := len(h.undo) - 1; i >= 0; i-- {
		errs = append(errs, h.undo[i]())
	}
	h.undo = nil
	return errors.Join(errs...)
}

// rest waits until the ClickHouse child does next to nothing, and returns how long that took.
func (h *house) rest(ctx context.Context) error {
	const look, quiet, most = 500 * time.Millisecond, 15 * time.Millisecond, 30 * time.Second
	for begun, calm := time.Now(), 0; calm < 2; {
		if time.Since(begun) > most {
			return fmt.Errorf("ClickHouse is still at work %v after the last row", most)
		}
		before := h.engine.cpu()
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		if h.engine.cpu()-before <= quiet {
			calm++
		} else {
			calm = 0
		}
	}
	return nil
}
