package main

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/trainer"
)

// leadLoop gives the trainer what it leads campaigns with. tell is handed every decision; owner tells whether this replica leads.
func leadLoop(teacher *trainer.Trainer, cfg *Config, store *clickhouse.Store, models *model.Registry, desk *modelDesk, metrics prometheus.Gatherer, owner func() bool, tell func(event.Decision)) {
	teacher.Lead(trainer.Means{
		Aliases: models,
		Log:     store,
		Tell:    tell,
		Try:     desk.try,
		Owner:   owner,
		Service: func(ctx context.Context, pipeline, version string, since time.Time) (trainer.Service, error) {
			v, err := store.Service(ctx, pipeline, version, since)
			return trainer.Service{Windows: int(v.Windows), Assets: int(v.Assets), Compute: v.Compute, Latency: v.Latency, Distance: v.Distance}, err //nolint:gosec // counts
		},
		Fresh: func(ctx context.Context, pipeline string, task model.Task, since time.Time) (int, error) {
			kind := ""
			if task == model.RemainingLife {
				kind = event.KindFailure
			}
			n, err := store.Fresh(ctx, pipeline, kind, since)
			return int(n), err //nolint:gosec // a count
		},
		Failures: func(pipeline string) float64 { return failures(metrics, pipeline) },
	})
	models.OnChange(teacher.Moved)
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
