package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"andon/event"
	"andon/model"
	"andon/sinks/clickhouse"
)

// modelLog keeps the table of models up to the registry, which is the truth: what the table lacks is written, so that a crash between the two loses nothing.
type modelLog struct {
	models *model.Registry
	store  interface {
		QueryParams(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error)
		WriteModel(ctx context.Context, m clickhouse.Model) error
	}
	log   *slog.Logger
	moved chan struct{} // holds one: something changed since the last look
	again time.Duration // how long after a failure it looks again
}

func newModelLog(models *model.Registry, store *clickhouse.Store, log *slog.Logger) *modelLog {
	l := &modelLog{models: models, store: store, log: log, moved: make(chan struct{}, 1), again: 10 * time.Second}
	wake := func() {
		select {
		case l.moved <- struct{}{}:
		default:
		}
	}
	models.OnChange(func(model.Move) { wake() })
	models.OnAdd(func(string, string) { wake() })
	return l
}

// Run writes what is there already, and then what changes, until ctx ends.
func (l *modelLog) Run(ctx context.Context) error {
	for {
		retry := make(<-chan time.Time)
		if err := l.write(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("the table of models is behind, trying again", "error", err, "pause", l.again)
			retry = time.After(l.again)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.moved:
		case <-retry:
		}
	}
}

// modelEvent identifies a row of the table.
type modelEvent struct {
	pipeline, version, alias string
	micros                   string // when; nothing for a registration, which happens once
}

func (l *modelLog) write(ctx context.Context) error {
	const most = 1_000_000
	table, err := l.store.QueryParams(ctx, "SELECT pipeline, version, alias, toString(toUnixTimestamp64Micro(time)) FROM models", nil, most)
	if err != nil {
		return fmt.Errorf("read the table of models: %w", err)
	}
	if table.Truncated {
		return fmt.Errorf("the table of models has more than %d rows: delete old ones", most)
	}
	stored := map[modelEvent]bool{}
	for _, row := range table.Rows {
		e := modelEvent{fmt.Sprint(row[0]), fmt.Sprint(row[1]), fmt.Sprint(row[2]), fmt.Sprint(row[3])}
		if e.alias == "" {
			e.micros = ""
		}
		stored[e] = true
	}
	for _, pipeline := range l.models.Pipelines() {
		known := map[string]model.Meta{}
		for _, info := range l.models.List(pipeline) {
			known[info.Version] = info.Meta
			if !stored[modelEvent{pipeline, info.Version, "", ""}] {
				if info.Who == "" {
					info.Who, info.Why = "registry", "registered"
				}
				meta := info.Meta
				meta.Metrics = maps.Clone(meta.Metrics)
				if meta.Metrics == nil {
					meta.Metrics = map[string]float64{}
				}
				maps.Copy(meta.Metrics, info.Measured)
				if err := l.store.WriteModel(ctx, modelRow(meta, info.Version, "", info.Added, info.Who, info.Why)); err != nil {
					return err
				}
			}
		}
		moves, err := l.models.History(pipeline)
		if err != nil {
			return err
		}
		for _, mv := range moves {
			if stored[modelEvent{pipeline, mv.To, string(mv.Alias), fmt.Sprint(mv.Time.UnixMicro())}] {
				continue
			}
			meta := known[mv.To]
			meta.Pipeline = pipeline
			if err := l.store.WriteModel(ctx, modelRow(meta, mv.To, string(mv.Alias), mv.Time, mv.Who, whyOf(mv))); err != nil {
				return err
			}
		}
	}
	return nil
}

// whyOf is a move's reason, with a canary's share before it. A move that cleared an alias has a row without a version.
func whyOf(mv model.Move) string {
	if mv.Percent > 0 {
		return fmt.Sprintf("%g %% of the assets: %s", mv.Percent, mv.Why)
	}
	return mv.Why
}

func modelRow(m model.Meta, version, alias string, at time.Time, who, why string) clickhouse.Model {
	lineage, _ := json.Marshal(m.Lineage) // text, numbers and times: it cannot fail
	return clickhouse.Model{Time: at.UnixNano(), Pipeline: m.Pipeline, Version: version, Alias: alias, Task: string(m.Task), Unit: m.Unit, Network: m.Network,
		Metrics: m.Metrics, Lineage: string(lineage), Who: who, Why: why}
}
