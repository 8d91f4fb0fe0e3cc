package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/ingest/decode"
	"andon/ingest/replay"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
	"andon/sinks/kafka"
	"andon/trainer"
)

// settle fills in what one section takes from another.
func (c *Config) settle() {
	if c.Broker.Dir == "" {
		c.Broker.Dir = c.path("broker")
	}
	if c.ClickHouse.Engine.Library == "" {
		c.ClickHouse.Engine.Library = c.library("libchdb.so")
	}
	for i := range c.Pipelines {
		if p := &c.Pipelines[i]; p.Vision != nil && p.Source.Shape == "" {
			p.Source.Shape = decode.ShapeFrame
		}
		c.Pipelines[i].Source = c.Pipelines[i].Source.WithDefaults()
		if c.Pipelines[i].Delivery == "" {
			c.Pipelines[i].Delivery = atLeastOnce
		}
	}
	c.settleUplink()
}

// openStore connects to ClickHouse, embedded (server) or by DSN, and brings the schema up to date.
func openStore(ctx context.Context, cfg *Config, server *engine.Engine, log *slog.Logger, reg prometheus.Registerer) (*clickhouse.Store, error) {
	var at func() engine.Endpoint
	if server != nil {
		at = server.Endpoint
	}
	store, err := clickhouse.Open(ctx, cfg.ClickHouse, at, log, reg)
	if err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx); err != nil {
		store.Close()
		return nil, err
	}
	return store, nil
}

// security says to the producers what the consumers' section says.
func security(at ingest.Config) replay.Security {
	return replay.Security{TLS: at.TLS, SASL: at.SASL}
}

// newTeacher makes the trainer of the pipelines that have a model section; every model that it makes is told to the store.
func newTeacher(cfg *Config, store *lessons, models *model.Registry, out func(event.Training), log *slog.Logger, reg prometheus.Registerer) *trainer.Trainer {
	tc := cfg.Trainer
	tc.Dir = cfg.trainingsDir()
	return trainer.New(tc, cfg.taught(), store, models, out, log, reg)
}

// trainingsDir is where trainings by a command have their folders.
func (c *Config) trainingsDir() string {
	if c.Trainer.Dir != "" {
		return c.Trainer.Dir
	}
	return c.path("trainings")
}

// taught lists the pipelines that have a model section.
func (c *Config) taught() (all []trainer.Pipeline) {
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		switch {
		case p.Model == nil:
		case p.Vision != nil:
			all = append(all, trainer.Pipeline{Name: p.Name, Spec: *p.Model, Loop: p.loop(), Sight: p.sight(), ReferPictures: p.referPictures(), Section: p.section})
		default:
			all = append(all, trainer.Pipeline{Name: p.Name, Recipe: p.recipe(), Spec: *p.Model, Loop: p.loop(), Featurize: p.featurizer(), Refer: p.refer(), Section: p.section})
		}
	}
	return all
}

// ensureTopics makes the topics that the pipelines read and the appliance writes: on the embedded broker with explicit bounds, on a cluster only if it is allowed.
func ensureTopics(ctx context.Context, cfg *Config, bus *broker.Broker, at ingest.Config, log *slog.Logger) error {
	type topic struct {
		name       string
		partitions int
		bytes      event.Bytes
	}
	var all []topic
	seen := map[string]bool{}
	add := func(name string, partitions int, bytes event.Bytes) {
		if !seen[name] {
			seen[name] = true
			all = append(all, topic{name, partitions, bytes})
		}
	}
	for i := range cfg.Pipelines {
		add(cfg.Pipelines[i].Source.Topic, cfg.Pipelines[i].Partitions, 0)
	}
	// Few and small records: they need not take a whole topic's share of the embedded broker's log.
	add(cfg.Topics.Labels, 1, 32<<20)
	add(cfg.Topics.DeadLetter, 1, 128<<20)
	add(cfg.Topics.Scores, 0, 0)
	add(cfg.Topics.Drift, 1, 64<<20)
	add(cfg.Topics.Trainings, 1, 16<<20)
	for i := range cfg.Pipelines {
		if p := &cfg.Pipelines[i]; p.readings().Publish {
			add(cfg.readingsTopic(p), p.Partitions, 0)
		}
		if name := cfg.featuresTopic(&cfg.Pipelines[i]); name != "" {
			add(name, 0, 0)
		}
	}
	if bus != nil {
		var list []broker.Topic
		for _, t := range all {
			list = append(list, broker.Topic{Name: t.name, Partitions: t.partitions, Bytes: cfg.keep(t.name, t.bytes)})
		}
		return bus.EnsureTopics(ctx, list...)
	}
	if !at.CreateTopics {
		return nil
	}
	var list []ingest.Topic
	for _, t := range all {
		n := t.partitions
		if n == 0 {
			n = cfg.Broker.Partitions
		}
		list = append(list, ingest.Topic{Name: t.name, Partitions: int32(n)})
	}
	return ingest.EnsureTopics(ctx, at, list, log)
}

// newPublisher tells dead letters, the scores of the pipelines that ask for it, and the values of windows, to Kafka.
func newPublisher(cfg *Config, at ingest.Config, log *slog.Logger, reg prometheus.Registerer) (*kafka.Publisher, error) {
	k := kafka.Default()
	k.Seeds, k.ClientID, k.Security = at.Brokers, at.ClientID, security(at)
	k.DeadLetters = cfg.Topics.DeadLetter
	k.TransactionTimeout = cfg.Transactions.Timeout
	if cfg.embeddedBroker() {
		k.MaxRecord, k.MaxInFlight = cfg.Broker.MaxMessage-64<<10, max(k.MaxInFlight, 2*cfg.Broker.MaxMessage)
	}
	outputs := map[string]kafka.Outputs{}
	for i := range cfg.Pipelines {
		p := &cfg.Pipelines[i]
		to := kafka.Outputs{Features: cfg.featuresTopic(p)}
		if p.PublishScores {
			to.Scores = cfg.Topics.Scores
		}
		if p.readings().Publish {
			to.Readings, to.Form = cfg.readingsTopic(p), readingForm(p.Source)
		}
		if p.drift().Enabled {
			to.Sketches = cfg.Topics.Drift
		}
		outputs[p.Name] = to
	}
	return kafka.Open(k, func(pipeline string) kafka.Outputs { return outputs[pipeline] }, log, reg)
}

// readingForm is how a pipeline's readings are written: as its source's records of the wide shape would be.
func readingForm(s ingest.Source) kafka.Form {
	f := kafka.Form{Asset: s.Asset, Time: s.Time, TimeUnit: s.TimeUnit}
	if f.Asset == decode.Key {
		f.Asset = "asset"
	}
	if f.Time == decode.Timestamp {
		f.Time = "time"
	}
	return f
}

// sink is the store as the line asks it; labels that it has taken are told.
type sink struct {
	*clickhouse.Store
	labelled func([]event.Label)
}

func (s sink) Write(ctx context.Context, b *event.Block) error {
	err := s.Store.Write(ctx, b)
	if err == nil && len(b.Labels) > 0 && s.labelled != nil {
		s.labelled(b.Labels)
	}
	return err
}

// Held tells which offsets of a range are stored as readings (or counted with their block), frames, labels or dead letters, and which as scores or windows' values.
func (s sink) Held(ctx context.Context, pipeline, topic string, partition int32, first, next int64) (handled, scored []int64, err error) {
	for _, table := range []string{"readings", "handled", "frames", "labels", "deadletters"} {
		offsets, err := s.HeldOffsets(ctx, table, pipeline, topic, partition, first, next)
		if err != nil {
			return nil, nil, err
		}
		handled = append(handled, offsets...)
	}
	for _, table := range []string{"scores", "features"} {
		offsets, err := s.HeldOffsets(ctx, table, pipeline, topic, partition, first, next)
		if err != nil {
			return nil, nil, err
		}
		scored = append(scored, offsets...)
	}
	return handled, scored, nil
}
