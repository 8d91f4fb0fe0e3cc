package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"andon/model/adopt"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
	"andon/sinks/evidence"
	"andon/trainer"
)

// pupil trains in a process of its own, beside an appliance or far from it: it reads what that has stored, and leaves it as it is.
type pupil struct {
	trainer.Local
	store *clickhouse.Store
}

// newPupil opens what a training needs of an appliance; at is where its embedded ClickHouse is, see beside.
func newPupil(ctx context.Context, cfg *Config, at func() engine.Endpoint, log *slog.Logger, reg prometheus.Registerer) (*pupil, error) {
	cfg.ClickHouse.Writers = 1
	store, err := clickhouse.Open(ctx, cfg.ClickHouse, at, log, reg)
	if err != nil {
		return nil, environment(err)
	}
	source := &lessons{Store: store, look: func() (*evidence.Store, error) { return evidence.Look(cfg.evidenceDir()) }}
	return &pupil{store: store, Local: trainer.Local{Source: source, Memory: cfg.Trainer.Memory, Limits: adopt.DefaultLimits()}}, nil
}

func (p *pupil) close() { p.store.Close() }
