package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"andon/ingest"
	"andon/ingest/broker"
	"andon/model"
	"andon/sinks/kafka"
)

// Room for the journal of models on the embedded broker: 60,000 moves, or some 5,000 versions, whose lineage is most of it.
const journalBytes = 32 << 20

// follower keeps the registry with the journal of models, which all replicas follow.
type follower struct {
	models  *model.Registry
	journal *kafka.Journal // nil where there is none
	log     *slog.Logger
}

// follow makes the topic and lets the registry follow it. An appliance that cannot have it keeps its aliases to itself, and says so.
func follow(ctx context.Context, cfg *Config, bus *broker.Broker, at ingest.Config, publisher *kafka.Publisher, models *model.Registry, log *slog.Logger) *follower {
	f := &follower{models: models, log: log}
	err := f.lead(ctx, cfg, bus, at, publisher)
	if err != nil {
		if f.journal != nil {
			f.journal.Close()
			f.journal = nil
		}
		log.Error("moves of models stay on this replica: make the topic with one partition, compacted, and start again", "topic", cfg.Topics.Models, "error", err)
	}
	return f
}

func (f *follower) lead(ctx context.Context, cfg *Config, bus *broker.Broker, at ingest.Config, publisher *kafka.Publisher) error {
	topic := cfg.Topics.Models
	var err error
	if bus != nil {
		err = bus.EnsureTopics(ctx, broker.Topic{Name: topic, Partitions: 1, Bytes: journalBytes, Retention: -1})
	} else if at.CreateTopics {
		err = ingest.EnsureTopics(ctx, at, []ingest.Topic{{Name: topic, Partitions: 1, Compact: true}}, f.log)
	}
	if err != nil {
		return err
	}
	if f.journal, err = publisher.Journal(topic, f.log); err != nil {
		return err
	}
	past, err := f.journal.Past(ctx)
	if err != nil {
		return err
	}
	faults, err := f.models.Lead(ctx, f.journal, past)
	for _, fault := range faults {
		f.log.Warn("this replica cannot do yet what the journal of models says", "error", fault)
	}
	return err
}

// Run does what comes by the journal, until ctx ends.
func (f *follower) Run(ctx context.Context) error {
	if f.journal == nil {
		<-ctx.Done()
		return nil
	}
	const retry = 10 * time.Second
	last := ""
	return f.journal.Follow(ctx, func(event []byte) {
		if err := f.models.Apply(ctx, event); err != nil {
			f.log.Warn("this replica cannot do yet what the journal of models says", "error", err)
		}
	}, retry, func() {
		text := ""
		if err := f.models.Retry(ctx); err != nil && !errors.Is(err, context.Canceled) {
			text = err.Error()
		}
		if text != "" && text != last {
			f.log.Warn("this replica still cannot do what the journal of models says", "error", text)
		}
		last = text
	})
}

// Close lets go of the journal.
func (f *follower) Close() error {
	if f.journal == nil {
		return nil
	}
	return f.journal.Close()
}
