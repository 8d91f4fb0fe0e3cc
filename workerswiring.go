package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/ingest"
	"andon/ingest/broker"
	"andon/sinks/kafka"
	"andon/trainer"
)

// Room for jobs, what is said of them, and models on their way, on the embedded broker.
const (
	jobsBytes      = 8 << 20
	jobEventsBytes = 32 << 20
	jobFilesBytes  = 256 << 20
)

// boardTopics names the topics that submitters of jobs and workers share.
func (c *Config) boardTopics() kafka.BoardTopics {
	return kafka.BoardTopics{Jobs: c.Topics.Jobs, Events: c.Topics.JobEvents, Files: c.Topics.JobFiles}
}

// hired is who trains where workers do.
type hired struct {
	*trainer.Remote
	board *kafka.Board
}

// hire has the trainer's challengers made by workers, where the configuration says so; nil where this process makes them.
func hire(ctx context.Context, cfg *Config, bus *broker.Broker, at ingest.Config, publisher *kafka.Publisher, source *lessons, teacher *trainer.Trainer, log *slog.Logger, reg prometheus.Registerer) (*hired, error) {
	if cfg.Trainer.Workers.By != trainer.ByKafka {
		return nil, nil
	}
	var err error
	topics := cfg.boardTopics()
	if bus != nil {
		err = bus.EnsureTopics(ctx, broker.Topic{Name: topics.Jobs, Partitions: 1, Bytes: jobsBytes}, broker.Topic{Name: topics.Events, Partitions: 1, Bytes: jobEventsBytes},
			broker.Topic{Name: topics.Files, Partitions: 1, Bytes: jobFilesBytes})
	} else if at.CreateTopics {
		const week = 7 * 24 * time.Hour
		err = ingest.EnsureTopics(ctx, at, []ingest.Topic{{Name: topics.Jobs, Partitions: 1, Retention: week}, {Name: topics.Events, Partitions: 1, Retention: week}, {Name: topics.Files, Partitions: 1, Retention: week}}, log)
	}
	if err != nil {
		return nil, err
	}
	board, err := publisher.Board(ctx, topics, cfg.Models.MaxBytes, log)
	if err != nil {
		return nil, err
	}
	r := trainer.NewRemote(cfg.Trainer.Workers, source, cfg.taught(), cfg.Trainer.Memory, teacher.Champion, board, log, reg)
	teacher.MakeBy(r)
	return &hired{r, board}, nil
}
