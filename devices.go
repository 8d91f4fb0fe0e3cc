package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"andon/console"
	"andon/model/ort"
	"andon/scorer"
	"andon/scorer/gpu"
)

// watchDevices finds the NVIDIA devices of this machine and tells the board of them; nil where there are none, which is said once.
func watchDevices(cfg *Config, judge *scorer.Scorer, board *statusBoard, log *slog.Logger, reg prometheus.Registerer) (*gpu.Watcher, error) {
	if cfg.Scorer.DevicesEvery == 0 {
		return nil, nil
	}
	w, err := gpu.Open(gpu.Library(), func() float64 { return float64(judge.Scored()) }, cfg.Scorer.DevicesEvery, log, reg)
	if errors.Is(err, gpu.ErrNone) {
		level := slog.LevelInfo
		if cfg.Scorer.Provider == ort.CUDA {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "no NVIDIA device is watched", "why", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	board.watch(func() []console.Device {
		var out []console.Device
		for _, d := range w.Devices() {
			out = append(out, console.Device(d))
		}
		return out
	})
	return w, nil
}

// wantsCUDA tells whether anything is to run on an NVIDIA device.
func (c *Config) wantsCUDA() bool {
	for i := range c.Pipelines {
		if m := c.Pipelines[i].Model; m != nil && m.Provider == ort.CUDA {
			return true
		}
	}
	return c.Scorer.Provider == ort.CUDA
}

// runtime returns the path of ONNX Runtime: of its build for CUDA if that is wanted and was fetched (make deps-gpu).
func (c *Config) runtime() string {
	if c.wantsCUDA() {
		name := c.library(filepath.Join("gpu", "libonnxruntime.so"))
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return c.library("libonnxruntime.so")
}
