package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"andon/event"
	"andon/ingest"
	"andon/model"
	"andon/model/ort"
	"andon/processors"
	"andon/scorer"
	"andon/sinks/clickhouse"
)

// run reads, scores and stores until all is done or ctx ends, and returns the state that it ended in.
func (r *rescoring) run(ctx context.Context, workers int) (state string, err error) {
	cfg, pipe, reg := r.cfg, r.pipe, prometheus.NewRegistry()
	if pipe.Window == nil {
		return "", usage(fmt.Errorf("the pipeline %s makes no windows (window), so there is nothing to score", pipe.Name))
	}
	var by processors.Judge
	var m *model.Model // nil where a detector scores
	if pipe.Detector == nil {
		if m, err = r.models.Get(pipe.Name, r.def.Version); err != nil {
			return "", environment(err)
		}
		if err := ort.Open(cfg.library("libonnxruntime.so")); err != nil {
			return "", environment(err)
		}
		sc := cfg.Scorer
		sc.Workers, sc.Threads = workers, 1
		judge := scorer.New(sc, r.log, reg)
		defer judge.Close()
		if err := judge.Load(ctx, m); err != nil {
			return "", err
		}
		by = processors.Judge{Scorer: judge, Live: func() *model.Model { return m }}
	}
	pc := processors.Default()
	pc.Pipeline, pc.Signals, pc.Source, pc.Flush, pc.Features = pipe.Name, pipe.Source.Columns(), fmt.Sprintf("%+v", pipe.Source.Spec), cfg.Flush, pipe.Window
	pc.Detector, pc.Rescore = pipe.Detector, &processors.Rescore{From: r.def.From, To: r.def.To}
	line, err := processors.New(pc, by, processors.Outlets{Sink: r}, processors.NewMetrics(reg), r.log)
	if err != nil {
		return "", usage(err)
	}
	if m != nil && !m.Recipe.SameShape(line.Recipe()) {
		return "", usage(fmt.Errorf("model %s was trained on other windows than the pipeline %s makes now: name a model of the same signals, grid, length and features", m.Version, pipe.Name))
	}
	if r.def.State == clickhouse.RescoreStarted {
		r.def.Settings = line.Schema()
	} else if r.def.Settings != line.Schema() {
		return "", usage(fmt.Errorf("the settings of %s (source or window) changed since the replay %s began: it would be of two kinds; name another with --run", pipe.Name, r.def.Run))
	}

	source := pipe.Source
	source.Group, source.Start = r.group, ingest.StartEarliest
	pace := &ration{rate: r.rate}
	open := func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
		if a.Note == "" { // nothing was committed yet, or it is lost
			held, err := r.store.RescoredNext(ctx, r.def.Run, pipe.Name, a.Topic, a.Partition)
			if err != nil {
				return nil, 0, err
			}
			// The state is folded from the log's begin, as far as it goes back: lives, their baselines and ages must be those of the live line.
			a.Committed = max(a.Committed, r.def.FromOffsets[a.Partition], held)
			a.Note = processors.Begin(min(r.extents[a.Partition].Start, a.Committed))
		}
		p, at, err := line.Open(ctx, processors.Assignment(a))
		return &paced{p, pace, &r.rows}, at, err
	}
	reading := ingest.NewMetrics(reg)
	intake, err := ingest.New(cfg.Kafka, pipe.Name, source, open, ingest.NewBudget(cfg.Kafka.MaxInFlight, reading), reading, r.log)
	if err != nil {
		return "", usage(err)
	}
	intake.Until(r.def.ToOffsets)

	first := r.def
	if err := r.tell(ctx, first.State, ""); err != nil {
		return "", err
	}
	fmt.Fprintf(r.t.err, "replay %s of %s with model %s, as group %s\n", r.def.Run, pipe.Name, r.def.Version, r.group)
	var progress sync.WaitGroup
	showing, hide := context.WithCancel(ctx)
	progress.Go(func() { r.show(showing, intake) })
	err = intake.Run(ctx)
	hide()
	progress.Wait()

	last := context.WithoutCancel(ctx)
	switch {
	case err != nil:
		return "", errors.Join(err, r.tell(last, clickhouse.RescoreFailed, err.Error()))
	case ctx.Err() != nil:
		return clickhouse.RescoreStopped, r.tell(last, clickhouse.RescoreStopped, "by a signal")
	}
	if err := r.tell(last, clickhouse.RescoreFinished, ""); err != nil {
		return "", err
	}
	if err := r.brokers.DeleteGroup(last, r.group); err != nil { // another process of the run may still be in it
		r.log.Debug("the group is left", "error", err)
	}
	return clickhouse.RescoreFinished, nil
}

// Write stores the scores of a block as the run's.
func (r *rescoring) Write(ctx context.Context, b *event.Block) error {
	refused, err := r.store.WriteRescored(ctx, r.def.Run, b)
	if err == nil {
		r.scores.Add(int64(len(b.Scores) - refused))
		r.refused.Add(int64(refused))
	}
	return err
}

// tell stores the state of the run, with what this process has done.
func (r *rescoring) tell(ctx context.Context, state, detail string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s := r.def
	now := time.Now()
	s.State, s.Time, s.Detail, s.Elapsed = state, now.UnixNano(), detail, int64(now.Sub(r.begun))
	s.Rows, s.Scores, s.Refused = r.rows.Load(), r.scores.Load(), r.refused.Load()
	return r.store.WriteRescoring(ctx, s)
}

// show tells every five seconds how far it is.
func (r *rescoring) show(ctx context.Context, intake *ingest.Intake) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	rows, at := int64(0), time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var done, all int64
		for _, p := range intake.Progress() {
			if end, ok := r.def.ToOffsets[p.Partition]; ok {
				start := r.extents[p.Partition].Start
				done += max(0, min(p.Next, end)-start)
				all += end - start
			}
		}
		now, read := time.Now(), r.rows.Load()
		fmt.Fprintf(r.t.err, "replay %s: %d of %d offsets, %.0f rows/s, %d scores\n", r.def.Run, done, all, float64(read-rows)/now.Sub(at).Seconds(), r.scores.Load())
		rows, at = read, now
	}
}

// rescoreSummary is what --json prints.
type rescoreSummary struct {
	Run      string `json:"run"`
	Pipeline string `json:"pipeline"`
	Version  string `json:"version"`
	State    string `json:"state"`
	From     string `json:"from"`
	To       string `json:"to"`
	// Rows, Scores and Refused count what this process read, stored and could not store; zero when the run had finished before.
	Rows    int64   `json:"rows"`
	Scores  int64   `json:"scores"`
	Refused int64   `json:"refused"`
	Seconds float64 `json:"seconds"`
	// Comparison is the run's row of andon.replay_summary.
	Comparison map[string]any `json:"comparison,omitempty"`
}

// report says what came of it, beside the live line's scores.
func (r *rescoring) report(ctx context.Context, state string, asJSON bool) error {
	s := rescoreSummary{Run: r.def.Run, Pipeline: r.def.Pipeline, Version: r.def.Version, State: state, From: r.def.AskedFrom, To: r.def.AskedTo,
		Rows: r.rows.Load(), Scores: r.scores.Load(), Refused: r.refused.Load(), Seconds: math.Round(1000*time.Since(r.begun).Seconds()) / 1000}
	table, err := r.store.QueryParams(ctx, `SELECT windows, both, only_old, only_new, mean_abs_value_change, max_abs_value_change, value_correlation, mean_abs_risk_change,
		risk_raised, risk_lowered, old_versions, new_version FROM replay_summary WHERE run = {run:String} AND pipeline = {pipeline:String}`,
		map[string]string{"run": s.Run, "pipeline": s.Pipeline}, 1)
	if err != nil {
		fmt.Fprintf(r.t.err, "the scores are stored, and the comparison cannot be made: %v\n", err)
		table = &event.Table{}
	}
	if s.Refused > 0 {
		fmt.Fprintf(r.t.err, "ClickHouse refused %d scores\n", s.Refused)
	}
	if asJSON {
		if len(table.Rows) > 0 {
			s.Comparison = map[string]any{}
			for i, name := range table.Columns {
				s.Comparison[name] = table.Rows[0][i]
			}
		}
		return json.NewEncoder(r.t.out).Encode(s)
	}
	fmt.Fprintf(r.t.err, "replay %s of %s %s: %d rows, %d scores in %.1f s; see andon sql \"select * from andon.replay_comparison where run = '%s'\"\n",
		s.Run, s.Pipeline, s.State, s.Rows, s.Scores, s.Seconds, s.Run)
	if len(table.Rows) == 0 {
		return nil
	}
	return printTable(r.t.out, table)
}

// paced is a partition's line that counts its rows and is held back by the ration of all.
type paced struct {
	*processors.Pipeline
	pace *ration
	rows *atomic.Int64
}

func (p *paced) Handle(ctx context.Context, b *event.Batch) error {
	n := len(b.Rows)
	if err := p.pace.wait(ctx, n); err != nil {
		return err
	}
	err := p.Pipeline.Handle(ctx, b)
	p.rows.Add(int64(n))
	return err
}

// ration shares a rate among the partitions.
type ration struct {
	rate float64 // rows a second; 0 without a bound
	mu   sync.Mutex
	next time.Time
}

// wait returns when n more rows may be read, or ctx's error. What was not used is lost, so that no pause is followed by a burst.
func (r *ration) wait(ctx context.Context, n int) error {
	if r.rate == 0 || n == 0 {
		return ctx.Err()
	}
	r.mu.Lock()
	now := time.Now()
	at := r.next
	if at.Before(now) {
		at = now
	}
	r.next = at.Add(time.Duration(float64(n) / r.rate * float64(time.Second)))
	r.mu.Unlock()
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lowerPriority makes all threads of the process nicer, those that they start later included; it never makes one less nice.
func lowerPriority(nice int) error {
	var errs []error
	for range 2 { // threads may have been started while the first pass went on
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, f := range threads {
			id, err := strconv.Atoi(f.Name())
			if err != nil {
				continue
			}
			is, err := unix.Getpriority(unix.PRIO_PROCESS, id) // 20 less the niceness
			if err == nil && 20-is < nice {
				err = unix.Setpriority(unix.PRIO_PROCESS, id, nice)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				errs = append(errs, fmt.Errorf("make thread %d nicer: %w", id, err))
			}
		}
	}
	return errors.Join(errs...)
}
