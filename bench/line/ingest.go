package main

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"time"
)

const rowBytes = 200

// ingestSignals is how many of the demo's fit into rowBytes.
const ingestSignals = 9

type ingestResult struct {
	Rows    int    `json:"rows"`
	Bytes   int    `json:"bytes_a_row"`
	Windows bool   `json:"windows"`
	Load    string `json:"load_average"`

	Cost cost `json:"cost"`
	// PerSecond counts from the start of the intake to the last row stored; the others are rows per CPU-second of this process, of the ClickHouse child and of both.
	PerSecond          float64 `json:"rows_per_s"`
	PerCPUSecond       float64 `json:"rows_per_cpu_s"`
	PerOwnCPUSecond    float64 `json:"rows_per_own_cpu_s"`
	PerEngineCPUSecond float64 `json:"rows_per_engine_cpu_s"`

	// Idle is before there was a row, Filled with the topic full and nothing read, Peak the most while rows flowed, After ten seconds later.
	Idle   memory `json:"idle_bytes"`
	Filled memory `json:"filled_bytes"`
	Peak   memory `json:"peak_bytes"`
	After  memory `json:"after_bytes"`

	Stages  stages `json:"stages"` // of this process, a row
	Profile string `json:"profile"`
}

// ingest reads a topic of rows of one length into readings.
func (c *config) ingest(ctx context.Context) (_ *ingestResult, err error) {
	source := c.demo.Source
	source.Signals = source.Signals[:ingestSignals]
	l := load{Rows: c.rows, Assets: 1000, Signals: source.Signals, Bytes: rowBytes}
	h, err := c.open(ctx, topicBytes(l.Rows, 400))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	r := &ingestResult{Rows: l.Rows, Bytes: rowBytes, Windows: c.windows, Load: loadAverage(), Profile: filepath.Join(c.profiles, "andon-line-ingest.prof")}
	p := pass{pipeline: c.demo.Name, source: source, rows: l.Rows}
	if c.windows {
		w := c.demo.Window
		w.Recipe.Signals = source.Signals
		p.features = &w
	}
	runtime.GC()
	if err := wait(ctx, 3*time.Second); err != nil {
		return nil, err
	}
	r.Idle = h.memory()
	c.say("ingest: filling %s with %d rows", source.Topic, l.Rows)
	if _, err := h.prepare(ctx, c, l, source.Topic); err != nil {
		return nil, err
	}
	r.Filled = h.memory()
	stop, err := startProfile()
	if err != nil {
		return nil, err
	}
	most := h.peak()
	r.Cost, err = h.do(ctx, p)
	r.Peak = most()
	profile := stop()
	if err != nil {
		return nil, err
	}
	r.PerSecond = float64(r.Rows) / r.Cost.Wall.Seconds()
	r.PerCPUSecond = float64(r.Rows) / r.Cost.cpu().Seconds()
	r.PerOwnCPUSecond = float64(r.Rows) / r.Cost.Own.Seconds()
	r.PerEngineCPUSecond = float64(r.Rows) / r.Cost.Engine.Seconds()
	c.say("ingest: %d rows in %v; load %s", r.Rows, r.Cost.Wall.Round(time.Millisecond), loadAverage())
	if err := wait(ctx, 10*time.Second); err != nil {
		return nil, err
	}
	r.After = h.memory()
	if r.Stages, err = readStages([][]byte{profile}, r.Rows); err != nil {
		return nil, err
	}
	return r, writeProfiles(r.Profile, [][]byte{profile})
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
