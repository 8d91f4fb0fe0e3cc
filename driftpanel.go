package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest"
	"andon/ingest/decode"
	"andon/processors"
	"andon/processors/drift"
	"andon/sinks/clickhouse"
)

// driftPipeline is the built-in pipeline that decides what has changed, over all partitions and replicas: its topic has one partition, so one replica has it.
const driftPipeline = "drift"

// alarms hands each alarm to all who asked. None of them may block.
type alarms struct {
	mu sync.Mutex
	to []func(event.Alarm)
}

// to adds somebody who is told from now on.
func (a *alarms) tell(f func(event.Alarm)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.to = append(a.to, f)
}

// raise tells of an alarm. Safe for concurrent use.
func (a *alarms) raise(alarm event.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.to {
		f(alarm)
	}
}

// newPanel makes what decides of all pipelines' drift.
func newPanel(cfg *Config, store *clickhouse.Store, vault processors.Vault, raise func(event.Alarm), log *slog.Logger, reg prometheus.Registerer) *processors.Panel {
	base := 0
	for i := range cfg.Pipelines {
		base += cfg.partitions(i)
	}
	if v, ok := vault.(shelf); ok {
		vault = shelf{v.Vault, int32(base)}
	}
	settings := map[string]drift.Config{}
	for i := range cfg.Pipelines {
		settings[cfg.Pipelines[i].Name] = cfg.Pipelines[i].drift()
	}
	return processors.NewPanel(func(pipeline string) (drift.Config, bool) {
		c, ok := settings[pipeline]
		return c, ok
	}, processors.PanelOutlets{Store: store, Vault: vault, Raise: raise}, log, reg)
}

// panelIntake reads the topic of sketches for the panel.
func panelIntake(cfg *Config, at ingest.Config, panel *processors.Panel, budget *ingest.Budget, metrics *ingest.Metrics, log *slog.Logger) (intake, error) {
	source := ingest.Source{Topic: cfg.Topics.Drift, Group: "andon." + driftPipeline}
	source.Shape = decode.ShapeSketch
	open := func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
		return panel.Open(ctx, processors.Assignment(a))
	}
	in, err := ingest.New(at, driftPipeline, source.WithDefaults(), open, budget, metrics, log.With("room", "ingest"))
	if err != nil {
		return intake{}, fmt.Errorf("read the topic of drift: %w", err)
	}
	return intake{driftPipeline, in, nil}, nil
}
