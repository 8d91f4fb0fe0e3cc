package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"andon/model"
	"andon/model/adopt"
	"andon/model/ort"
	"andon/sinks/clickhouse"
	"andon/sinks/evidence"
	"andon/trainer"
)

// pupil trains in a process of its own, beside an appliance: it reads what that has stored, and leaves it as it is.
type pupil struct {
	trainer.Local
	store  *clickhouse.Store
	models *model.Registry // as they were found
	log    *slog.Logger
}

// newPupil opens what a training needs of an appliance.
func newPupil(t *talk, cfg *Config) (*pupil, error) {
	quiet := cfg.Log
	quiet.Level = max(quiet.Level, slog.LevelWarn)
	log := newLogger(quiet, t.err)
	at, err := cfg.beside()
	if err != nil {
		return nil, err
	}
	if err := ort.Open(cfg.runtime()); err != nil {
		return nil, environment(err)
	}
	models, err := openModelsBeside(t.ctx, cfg)
	if err != nil {
		return nil, err
	}
	frames, err := evidence.Look(cfg.evidenceDir())
	if err != nil {
		return nil, environment(err)
	}
	cfg.ClickHouse.Writers = 1
	store, err := clickhouse.Open(t.ctx, cfg.ClickHouse, at, log, prometheus.NewRegistry())
	if err != nil {
		return nil, environment(err)
	}
	dir, err := os.MkdirTemp("", "andon-training-") // of a command's files
	if err != nil {
		store.Close()
		return nil, environment(fmt.Errorf("make a folder for the training: %w", err))
	}
	return &pupil{store: store, models: models, log: log, Local: trainer.Local{Source: &lessons{Store: store, kept: frames}, Memory: cfg.Trainer.Memory, Get: models.Get, Dir: dir, Limits: adopt.DefaultLimits(), Meters: meters(nil)}}, nil
}

func (p *pupil) close() {
	p.store.Close()
	_ = os.RemoveAll(p.Dir) // of no use to anybody any more
}
