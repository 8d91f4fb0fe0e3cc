package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
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

// newTruth makes the keeper of truth, whose outcomes are watched for errors that grow; alarm is called then, and must not block.
func newTruth(cfg *Config, models *model.Registry, store truth.Store, alarm func(event.Alarm), log *slog.Logger, reg prometheus.Registerer) *truth.Keeper {
	watches := map[string]*errorWatch{}
	told := func(pipeline string, all []truth.Outcome) {
		live := models.Live(pipeline)
		if live == nil {
			return
		}
		for i := range cfg.Pipelines {
			p := &cfg.Pipelines[i]
			if p.Name != pipeline {
				continue
			}
			rule, ok := p.truthRule(live)
			if !ok {
				return
			}
			if watches[pipeline] == nil {
				watches[pipeline] = newErrorWatch(pipeline)
			}
			for _, a := range watches[pipeline].take(live.Version, &rule, blockSize(&rule, live), all) {
				log.Info("the realised error has changed", "pipeline", pipeline, "version", a.Version, "loss", a.Loss, "before", a.Before, "metric", a.Metric, "over", a.Over)
				alarm(a)
			}
		}
	}
	return truth.NewKeeper(cfg.Truth, truthOf(cfg, models), store, told, log, reg)
}

// blockSize is how many predictions of one asset are one number of the watched error.
func blockSize(rule *truth.Rule, live *model.Model) int {
	switch rule.Task {
	case model.RemainingLife:
		return 0
	case model.Classification, model.Detection:
		return 25 // a second or so of frames, which show the same
	}
	return max(live.Recipe.Length, 1)
}
