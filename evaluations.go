package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/console"
	"andon/event"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/evidence"
	"andon/trainer"
	"andon/trainer/evaluate"
)

// examiner puts models side by side on what none was trained on, keeps the tables, and shows them: for the page, for andon model compare and for the loop's gate.
type examiner struct {
	pipelines []trainer.Pipeline
	memory    event.Bytes
	energy    func() (float64, bool)
	// store, kept and models are set once they are open; the console's port is open before.
	store  atomic.Pointer[clickhouse.Store]
	kept   atomic.Pointer[evidence.Store]
	models *modelDesk
	// one holds back a second table while one is made: each takes a core.
	one sync.Mutex
}

func newExaminer(cfg *Config, desk *modelDesk) *examiner {
	return &examiner{pipelines: cfg.taught(), memory: cfg.Trainer.Memory, energy: evaluate.RAPL("/sys/class/powercap"), models: desk}
}

// Evaluations implements console.Evaluations.
func (e *examiner) Evaluations(ctx context.Context, pipeline string, limit int) (any, error) {
	store := e.store.Load()
	if store == nil {
		return nil, fmt.Errorf("ClickHouse is still starting: try again in a moment")
	}
	rows, err := store.Evaluations(ctx, pipeline, limit)
	if err != nil {
		return nil, err
	}
	return append([]evaluate.Table{}, evaluate.Tables(rows)...), nil
}

// Evaluate implements console.Evaluations.
func (e *examiner) Evaluate(ctx context.Context, ask console.EvaluationAsk) (any, error) {
	registry, err := e.models.registry()
	if err != nil {
		return nil, err
	}
	if !e.one.TryLock() {
		return nil, fmt.Errorf("%w: another table is being made: try again when it is done", console.ErrBusy)
	}
	defer e.one.Unlock()
	if len(ask.Versions) == 0 {
		ask.Versions = []string{string(model.Champion), string(model.Challenger)}
	}
	var models []*model.Model
	for _, v := range ask.Versions {
		m, err := e.find(registry, ask.Pipeline, v)
		if err != nil {
			return nil, err
		}
		ask.Pipeline = m.Pipeline
		models = append(models, m)
	}
	c := evaluate.Default()
	if ask.Scenarios != "" {
		d := yaml.NewDecoder(bytes.NewReader([]byte(ask.Scenarios)))
		d.KnownFields(true)
		if err := d.Decode(&c.Scenarios); err != nil {
			return nil, fmt.Errorf("%w: scenarios: %w", console.ErrAsk, err)
		}
		if err := evaluate.ValidateScenarios(c.Scenarios); err != nil {
			return nil, fmt.Errorf("%w: %w", console.ErrAsk, err)
		}
	}
	table, err := e.table(ctx, c, ask.Only, ask.Pipeline, models, ask.Who, ask.Why)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", console.ErrAsk, err)
	}
	return table, nil
}

// find gets a version by its first digits, or by an alias of the pipeline.
func (e *examiner) find(r *model.Registry, pipeline, name string) (*model.Model, error) {
	if slices.Contains([]string{string(model.Champion), string(model.Challenger), string(model.Canary), string(model.Shadow)}, name) {
		if pipeline == "" {
			return nil, fmt.Errorf("%w: name the pipeline whose %s is meant", console.ErrAsk, name)
		}
		if m := r.Named(pipeline, model.Alias(name)); m != nil {
			return m, nil
		}
		return nil, fmt.Errorf("%w: %s has no %s", console.ErrAsk, pipeline, name)
	}
	info, err := r.Find(pipeline, name)
	if err != nil {
		return nil, err
	}
	return r.Get(info.Pipeline, info.Version)
}

// pipeline finds one with a model section.
func (e *examiner) pipeline(name string) (*trainer.Pipeline, error) {
	for i := range e.pipelines {
		if e.pipelines[i].Name == name {
			return &e.pipelines[i], nil
		}
	}
	return nil, fmt.Errorf("pipelines.%s has no model section, which says what its models are judged by", name)
}

// table puts models side by side and keeps what came out. c.Scenarios of nil are the pipeline's.
func (e *examiner) table(ctx context.Context, c evaluate.Config, only []string, pipeline string, models []*model.Model, who, why string) (*evaluate.Table, error) {
	p, err := e.pipeline(pipeline)
	if err != nil {
		return nil, err
	}
	store, kept := e.store.Load(), e.kept.Load()
	if store == nil || kept == nil {
		return nil, errors.New("the appliance is still starting: try again in a moment")
	}
	data, err := trainer.Examination(ctx, &lessons{Store: store, kept: kept}, p, e.memory)
	if err != nil {
		return nil, err
	}
	if c.Scenarios == nil && len(p.Spec.Scenarios) > 0 {
		c.Scenarios = p.Spec.Scenarios
	}
	if c.Scenarios == nil {
		c.Scenarios = evaluate.DefaultScenarios(&data)
	}
	if len(only) > 0 {
		var names []string
		for _, s := range c.Scenarios {
			names = append(names, s.Name)
		}
		for _, o := range only {
			if !slices.Contains(names, o) {
				return nil, fmt.Errorf("there is no scenario %q: there are %s", o, strings.Join(names, ", "))
			}
		}
		c.Scenarios = slices.DeleteFunc(slices.Clone(c.Scenarios), func(s evaluate.Scenario) bool { return !slices.Contains(only, s.Name) })
	}
	if err := e.equip(ctx, &c, &data, models); err != nil {
		return nil, err
	}
	t, err := evaluate.Run(ctx, c, models, data)
	if err != nil {
		return nil, err
	}
	t.Who, t.Why = who, why
	if err := store.WriteEvaluations(ctx, t.Rows()); err != nil {
		return nil, err
	}
	return &t, nil
}

// equip adds what is known of the costs of models beside what an evaluation measures itself: a meter of energy, where there is one, and what each took of people and machines in service.
func (e *examiner) equip(ctx context.Context, c *evaluate.Config, data *evaluate.Data, models []*model.Model) (err error) {
	store := e.store.Load()
	if store == nil {
		return errors.New("ClickHouse is still starting: try again in a moment")
	}
	c.Energy = e.energy
	data.Upkeep = map[string]evaluate.Upkeep{}
	for _, m := range models {
		if data.Upkeep[m.Version], err = e.upkeep(ctx, store, m); err != nil {
			return err
		}
	}
	return nil
}

// keepTable stores the tables by which the loop's gate judges; one that the store does not take is told, and the gate's findings are in its decision all the same.
func keepTable(store *clickhouse.Store, log *slog.Logger) func(evaluate.Table) {
	return func(t evaluate.Table) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		t.Who, t.Why = "gate", "a challenger beside the champion"
		if err := store.WriteEvaluations(ctx, t.Rows()); err != nil {
			log.Warn("keep the gate's table", "pipeline", t.Pipeline, "table", t.ID, "error", err)
		}
	}
}

// minService is how long a version must have been champion before a number a week says anything.
const minService = 10 * time.Minute

// upkeep counts the trainings that were begun while a version was champion, and the alarms about it.
func (e *examiner) upkeep(ctx context.Context, store *clickhouse.Store, m *model.Model) (evaluate.Upkeep, error) {
	u := evaluate.Upkeep{Retrainings: evaluate.Unknown(), Alarms: evaluate.Unknown()}
	registry, err := e.models.registry()
	if err != nil {
		return u, err
	}
	moves, err := registry.History(m.Pipeline)
	if err != nil {
		return u, err
	}
	service := serviceOf(moves, m.Version, time.Now())
	total := time.Duration(0)
	for _, s := range service {
		total += s[1].Sub(s[0])
	}
	if total < minService {
		return u, nil
	}
	weeks := total.Hours() / (7 * 24)
	trainings, err := store.Trainings(ctx, m.Pipeline, 100_000)
	if err != nil {
		return u, err
	}
	n := 0
	for _, t := range trainings {
		if at := time.Unix(0, t.Time); t.State == event.TrainingStarted && slices.ContainsFunc(service, func(s [2]time.Time) bool { return !at.Before(s[0]) && at.Before(s[1]) }) {
			n++
		}
	}
	u.Retrainings = evaluate.Number(float64(n) / weeks)
	alarms, err := store.AlarmsOf(ctx, m.Pipeline, m.Version)
	if err != nil {
		return u, err
	}
	u.Alarms = evaluate.Number(float64(alarms) / weeks)
	return u, nil
}

// serviceOf returns the stretches of time in which a version was champion.
func serviceOf(moves []model.Move, version string, now time.Time) (all [][2]time.Time) {
	for _, m := range moves {
		if m.Alias != model.Champion {
			continue
		}
		if n := len(all); n > 0 && all[n-1][1].IsZero() && m.To != version {
			all[n-1][1] = m.Time
		}
		if m.To == version && (len(all) == 0 || !all[len(all)-1][1].IsZero()) {
			all = append(all, [2]time.Time{m.Time})
		}
	}
	if n := len(all); n > 0 && all[n-1][1].IsZero() {
		all[n-1][1] = now
	}
	return all
}
