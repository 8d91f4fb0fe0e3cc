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

	// MB is a million bytes of the records' values.
	MBPerSecond          float64 `json:"mb_per_s"`
	MBPerCPUSecond       float64 `json:"mb_per_cpu_s"`
	MBPerOwnCPUSecond    float64 `json:"mb_per_own_cpu_s"`
	MBPerEngineCPUSecond float64 `json:"mb_per_engine_cpu_s"`
	Signals              int     `json:"signals"`

	Stages  stages `json:"stages"` // of this process, a row
	Profile string `json:"profile"`
}

// wideBytes and wideGroups make records of the size and the nested form of ClickPipes' published workload; all 98 numbers of one are signals.
const (
	wideBytes  = 1600
	wideGroups = 7
)

// ingest reads a topic of rows of one length into readings.
func (c *config) ingest(ctx context.Context) (*ingestResult, error) {
	return c.readIn(ctx, "ingest", load{Rows: c.rows, Assets: 1000, Signals: c.demo.Source.Signals[:ingestSignals], Bytes: rowBytes}, c.windows)
}

// wide is ingest with large nested rows.
func (c *config) wide(ctx context.Context) (*ingestResult, error) {
	return c.readIn(ctx, "wide", load{Rows: c.wideRows, Assets: 1000, Signals: c.demo.Source.Signals, Bytes: wideBytes, Groups: wideGroups}, false)
}

func (c *config) readIn(ctx context.Context, name string, l load, windows bool) (_ *ingestResult, err error) {
	source := c.demo.Source
	source.Signals = l.paths()
	h, err := c.open(ctx, topicBytes(l.Rows, 2*l.Bytes))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	r := &ingestResult{Rows: l.Rows, Bytes: l.Bytes, Signals: len(source.Signals), Windows: windows, Load: loadAverage(), Profile: filepath.Join(c.profiles, "andon-line-"+name+".prof")}
	p := pass{pipeline: c.demo.Name, source: source, rows: l.Rows}
	if windows {
		w := c.demo.Window
		w.Recipe.Signals = source.Signals
		p.features = &w
	}
	runtime.GC()
	if err := wait(ctx, 3*time.Second); err != nil {
		return nil, err
	}
	r.Idle = h.memory()
	c.say("%s: filling %s with %d rows", name, source.Topic, l.Rows)
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
	mb := float64(r.Bytes) / 1e6
	r.MBPerSecond, r.MBPerCPUSecond, r.MBPerOwnCPUSecond, r.MBPerEngineCPUSecond = mb*r.PerSecond, mb*r.PerCPUSecond, mb*r.PerOwnCPUSecond, mb*r.PerEngineCPUSecond
	c.say("%s: %d rows in %v; load %s", name, r.Rows, r.Cost.Wall.Round(time.Millisecond), loadAverage())
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
