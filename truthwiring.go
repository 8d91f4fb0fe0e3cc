package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/trainer"
	"andon/trainer/truth"
)

// Truth says when the truth of one pipeline's predictions is settled.
type Truth struct {
	// MatureAfter is when what nobody has labelled counts as normal, for anomalies; 0: never.
	MatureAfter time.Duration `yaml:"mature_after"`
	// Horizon is how many grid steps before an anomaly a warning is right; of a remaining life the model's own counts.
	Horizon int `yaml:"horizon"`
}

// truthFaults reports what is wrong with what a pipeline says of its truth.
func (p *Pipeline) truthFaults() error {
	if p.Truth == nil {
		return nil
	}
	var errs []error
	life := p.Model != nil && p.Model.Task == model.RemainingLife
	if p.Truth.MatureAfter < 0 {
		errs = append(errs, fmt.Errorf("mature_after: %v is negative", p.Truth.MatureAfter))
	}
	if p.Truth.Horizon < 0 {
		errs = append(errs, fmt.Errorf("horizon: %d is negative", p.Truth.Horizon))
	}
	if life && p.Truth.Horizon > 0 {
		errs = append(errs, errors.New("horizon: that of a remaining life is model.horizon: take it out"))
	}
	if life && p.Truth.MatureAfter > 0 {
		errs = append(errs, errors.New("mature_after: a remaining life is settled by failures and the horizon: take it out"))
	}
	if after := time.Duration(p.Truth.Horizon) * p.recipe().Grid; p.Truth.MatureAfter > 0 && p.Truth.MatureAfter < after {
		errs = append(errs, fmt.Errorf("mature_after: %v is less than the horizon, %v", p.Truth.MatureAfter, after))
	}
	return errors.Join(errs...)
}

// truthRule says when the pipeline's predictions are settled: by its model section, or by its live model; false where it has neither.
func (p *Pipeline) truthRule(live *model.Model) (truth.Rule, bool) {
	r := truth.Rule{}
	switch {
	case p.Model != nil:
		r = truth.Rule{Task: p.Model.Task, Grid: p.recipe().Grid, Cap: p.Model.Cap, Horizon: p.Model.Horizon}
	case p.Detector != nil:
		r = truth.Rule{Task: model.Anomaly, Grid: p.recipe().Grid}
	case live != nil:
		r = truth.Rule{Task: live.Task, Grid: live.Recipe.Grid, Cap: trainer.DefaultSpec(model.RemainingLife).Cap, Horizon: live.Horizon}
		r.Cap = max(r.Cap, r.Horizon+1)
	default:
		return r, false
	}
	if t := p.Truth; t != nil && r.Task != model.RemainingLife {
		r.Horizon, r.MatureAfter = t.Horizon, t.MatureAfter
	}
	return r, r.Validate() == nil
}

// truthOf returns the pipelines whose truth can be kept now.
func truthOf(cfg *Config, models *model.Registry) func() []truth.Pipeline {
	return func() (all []truth.Pipeline) {
		for i := range cfg.Pipelines {
			p := &cfg.Pipelines[i]
			if rule, ok := p.truthRule(models.Live(p.Name)); ok {
				all = append(all, truth.Pipeline{Name: p.Name, Rule: rule})
			}
		}
		return all
	}
}

// alarmStore keeps alarms.
type alarmStore interface {
	WriteAlarm(ctx context.Context, a *event.Alarm) error
}

// errorWatches follows the realised error of each pipeline's champion. It is what the keeper of truth tells.
type errorWatches struct {
	cfg    *Config
	models *model.Registry
	store  alarmStore
	// raise must not block. It is told again what it knows when another replica takes over, or after a kill.
	raise func(event.Alarm)
	log   *slog.Logger
	of    map[string]*errorWatch
}

// newTruth makes the keeper of truth, whose outcomes are watched for errors that grow; raise is called then. leads tells whether this replica is the one that keeps it.
func newTruth(cfg *Config, models *model.Registry, store *clickhouse.Store, raise func(event.Alarm), leads func() bool, log *slog.Logger, reg prometheus.Registerer) *truth.Keeper {
	return truth.NewKeeper(cfg.Truth, truthOf(cfg, models), store, &errorWatches{cfg, models, store, raise, log, map[string]*errorWatch{}}, leads, log, reg)
}

// rule returns how a pipeline's predictions are settled, and its champion, which may be nil.
func (e *errorWatches) rule(pipeline string) (rule truth.Rule, live *model.Model, ok bool) {
	live = e.models.Live(pipeline)
	for i := range e.cfg.Pipelines {
		if p := &e.cfg.Pipelines[i]; p.Name == pipeline {
			rule, ok = p.truthRule(live)
			break
		}
	}
	return rule, live, ok
}

// Restore goes on with a pipeline. What cannot be used is told, and begun anew.
func (e *errorWatches) Restore(pipeline string, state []byte) {
	w := newErrorWatch(pipeline)
	e.of[pipeline] = w
	rule, _, ok := e.rule(pipeline)
	if len(state) == 0 || !ok {
		return
	}
	if err := w.restore(&rule, state); err != nil {
		e.log.Warn("what is usual of the realised error is learned anew", "pipeline", pipeline, "error", err)
	}
}

// Take takes settled outcomes.
func (e *errorWatches) Take(pipeline string, all []truth.Outcome) {
	rule, live, ok := e.rule(pipeline)
	if w := e.of[pipeline]; w != nil && ok && live != nil {
		w.take(live.Version, &rule, max(live.Recipe.Length, 1), all)
	}
}

// Tell stores alarms, then raises them.
func (e *errorWatches) Tell(ctx context.Context, pipeline string) (told bool, err error) {
	w := e.of[pipeline]
	if w == nil {
		return false, nil
	}
	for len(w.Untold) > 0 {
		a := w.Untold[0]
		if err := e.store.WriteAlarm(ctx, &a); err != nil {
			return told, err
		}
		e.log.Info("the realised error has changed", "pipeline", pipeline, "version", a.Version, "loss", a.Loss, "before", a.Before, "metric", a.Metric, "over", a.Over)
		e.raise(a)
		w.Untold, told = w.Untold[1:], true
	}
	return told, nil
}

// State writes down what is known of a pipeline; nothing where that fails, which is told.
func (e *errorWatches) State(pipeline string) []byte {
	rule, _, ok := e.rule(pipeline)
	w := e.of[pipeline]
	if w == nil || !ok {
		return nil
	}
	state, err := w.save(&rule)
	if err != nil {
		e.log.Error("a restart learns anew what is usual of the realised error", "pipeline", pipeline, "error", err)
	}
	return state
}
