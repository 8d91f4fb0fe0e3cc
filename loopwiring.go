package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/kafka"
	"andon/trainer"
	"andon/trainer/truth"
)

// leadLoop gives the trainer what it leads campaigns with. tell is handed every decision; owner tells whether this replica leads.
func leadLoop(teacher *trainer.Trainer, store *clickhouse.Store, models *model.Registry, desk *modelDesk, exams *examiner, metrics prometheus.Gatherer, owner func() bool, tell func(event.Decision)) {
	var fresh remembered[freshKey, uint64]
	teacher.Lead(trainer.Means{
		Aliases: models,
		Log:     store,
		Tell:    tell,
		Try:     desk.try,
		Owner:   owner,
		Mature: func(ctx context.Context, pipeline string, versions []string, since int64) ([]event.Outcome, int64, error) {
			return truth.Mature(ctx, store, pipeline, versions, since)
		},
		Service: func(ctx context.Context, pipeline, version string, since time.Time) (trainer.Service, error) {
			v, err := store.Service(ctx, pipeline, version, since)
			return trainer.Service{Windows: int(v.Windows), Assets: int(v.Assets), Compute: v.Compute, Latency: v.Latency, Distance: v.Distance}, err //nolint:gosec // counts
		},
		Fresh: func(ctx context.Context, p *trainer.Pipeline, trained time.Time, since int64) (int, error) {
			kind, enough := "", time.Duration(0)
			if p.Spec.Task == model.RemainingLife {
				kind, enough = event.KindFailure, time.Duration(p.Spec.Cap)*p.Recipe.Grid // before that a remaining life is not learned
			}
			ask := func() (uint64, error) { return store.Fresh(ctx, p.Name, kind, trained, since, enough) }
			if kind != "" && since != 0 { // of lives, whose readings may come after the label
				n, err := ask()
				return int(n), err //nolint:gosec // a count
			}
			n, err := fresh.get(ctx, store, freshKey{p.Name, kind, trained.UnixMicro(), since}, func(uint64) bool { return true }, ask)
			return int(n), err //nolint:gosec // a count
		},
		Equip:    exams.equip,
		Examined: keepTable(store, desk.log),
		Failures: func(pipeline string) float64 { return failures(metrics, pipeline) },
	})
	models.OnChange(teacher.Moved)
}

// freshKey is what is asked of fresh labels.
type freshKey struct {
	pipeline, kind string
	trained, since int64
}

// loopLead tells one replica of several that it leads the campaigns: the one to which a consumer group gives the topic of models. The embedded broker has one replica.
func loopLead(bus *broker.Broker, publisher *kafka.Publisher, cfg *Config, at ingest.Config, log *slog.Logger) func(ctx context.Context, turn func(leads bool)) error {
	if bus != nil {
		return nil
	}
	return publisher.Lead(cfg.Topics.Models, "andon.loop", at.InstanceID, log)
}

// labelledTo hands labels that are stored on, and tells the trainer of defects that somebody marked.
func labelledTo(next func([]event.Label), teacher *trainer.Trainer) func([]event.Label) {
	return func(all []event.Label) {
		next(all)
		for i := range all {
			if all[i].Kind == event.KindMissed && !all[i].Withdrawn {
				teacher.Missed(all[i])
			}
		}
	}
}

// failures reads how many calls of the scorer have failed for a pipeline.
func failures(g prometheus.Gatherer, pipeline string) float64 {
	families, err := g.Gather()
	if err != nil {
		return math.NaN()
	}
	for _, f := range families {
		if f.GetName() != "andon_scorer_failures_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "pipeline" && l.GetValue() == pipeline {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

// loop returns the pipeline's loop, the default where it has none.
func (p *Pipeline) loop() trainer.Loop {
	if p.Loop == nil {
		return trainer.DefaultLoop()
	}
	return *p.Loop
}

// loopFaults reports what is wrong with the pipeline's loop.
func (p *Pipeline) loopFaults() error {
	if p.Loop == nil {
		return nil
	}
	err := p.Loop.Validate()
	if p.Model == nil {
		err = errors.Join(err, errors.New("loop: nothing is trained without a model section: add one, or take the loop out"))
	}
	return err
}
