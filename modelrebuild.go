package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"andon/model/ort"
	"andon/trainer"
	"andon/trainer/fit"
)

type modelRebuild struct {
	ConfigFlags
	Pipeline   string `help:"The pipeline, where several have a version that begins so."`
	ClickHouse string `name:"clickhouse" help:"ClickHouse, where the configuration does not name it and no appliance runs on the data folder." placeholder:"DSN" env:"ANDON_CLICKHOUSE"`
	Out        string `help:"Write what came of it to this file." type:"path" placeholder:"FILE"`
	Nice       int    `help:"How far it stands back behind the live line, 0 to 19." default:"10"`
	JSON       bool   `name:"json" help:"Print JSON."`
	Version    string `arg:"" help:"The version, or its first digits."`
}

// Help is what --help says beyond the flags.
func (modelRebuild) Help() string {
	return `Trains a model again by its lineage: the same settings, the rows and labels as far as they were stored then, the same champion where it began with one's parameters. The file must come out the same to
the byte; where it does not, what differs is told, and the exit code is 1. Nothing is registered. It reads ClickHouse, the models and the frames that are kept, and works in a process of its own.`
}

// rebuilt is what came of it, for machines.
type rebuilt struct {
	Pipeline string   `json:"pipeline"`
	Version  string   `json:"version"`
	Became   string   `json:"became"`
	Same     bool     `json:"same"`
	Differs  []string `json:"differs"`
	Notes    []string `json:"notes"`
}

func (c *modelRebuild) Run(t *talk) error {
	cfg, err := c.load(func(cfg *Config) { cfg.named(nil, c.ClickHouse) })
	if err != nil {
		return err
	}
	if c.Nice < 0 || c.Nice > 19 {
		return usage(fmt.Errorf("--nice: %d is not between 0 and 19", c.Nice))
	}
	quiet := cfg.Log
	quiet.Level = max(quiet.Level, slog.LevelWarn)
	log := newLogger(quiet, t.err)
	if err := lowerPriority(c.Nice); err != nil {
		log.Warn("it runs at the priority of the live line", "error", err)
	}
	at, err := cfg.beside()
	if err != nil {
		return err
	}
	if err := ort.Open(cfg.runtime()); err != nil {
		return environment(err)
	}
	models, err := openModelsBeside(t.ctx, cfg)
	if err != nil {
		return err
	}
	local, err := newPupil(t.ctx, cfg, at, log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer local.close()
	local.Get = models.Get
	if local.Dir, err = os.MkdirTemp("", "andon-training-"); err != nil { // of a command's files, which nobody wants afterwards
		return environment(fmt.Errorf("make a folder for the training: %w", err))
	}
	defer os.RemoveAll(local.Dir)
	info, err := models.Find(c.Pipeline, c.Version)
	if err != nil {
		return usage(fmt.Errorf("%w: andon model list shows those there are", err))
	}
	was, err := models.Get(info.Pipeline, info.Version)
	if err != nil {
		return err
	}
	var p *trainer.Pipeline
	if was.Lineage.Section == "" {
		p = &trainer.Pipeline{Name: was.Pipeline} // which Rebuild refuses, with the reason
	} else if p, err = readSection([]byte(was.Lineage.Section)); err != nil {
		return err
	}
	watch := trainer.Watcher{
		Ready: func(d trainer.Data) error {
			fmt.Fprintf(t.err, "%s of %s is trained again: %d windows\n", was.Version, was.Pipeline, d.Windows)
			return nil
		},
		Epoch: func(g fit.Progress) {
			fmt.Fprintf(t.err, "epoch %d of %d, loss %.4f, validation %.4f, %.0f windows/s\n", g.Epoch, g.Epochs, g.Loss, g.ValLoss, g.RowsPerSecond)
		},
	}
	r, err := local.Rebuild(t.ctx, p, was, watch)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := os.WriteFile(c.Out, r.Model.ONNX, 0o644); err != nil {
			return environment(err)
		}
	}
	same := len(r.Differs) == 0
	if c.JSON {
		err = json.NewEncoder(t.out).Encode(rebuilt{was.Pipeline, was.Version, r.Model.Version, same, append([]string{}, r.Differs...), append([]string{}, r.Notes...)})
	} else if same {
		_, err = fmt.Fprintf(t.out, "%s of %s is the same to the byte: %d bytes\n", was.Version, was.Pipeline, len(was.ONNX))
	} else {
		_, err = fmt.Fprintf(t.out, "%s of %s became %s; what differs:\n  %s\n", was.Version, was.Pipeline, r.Model.Version, strings.Join(r.Differs, "\n  "))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(t.err, "andon:", n)
	}
	if err == nil && !same {
		err = errSaid
	}
	return err
}
