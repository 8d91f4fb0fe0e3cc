package clickhouse

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

// small stores rows that no block holds, once, trying again like Write.
func (s *Store) small(ctx context.Context, table string, f *frame) error {
	if _, err := s.insert(ctx, table, f.rows, s.insertSettings(rand.Text()), func() *frame { return f }); err != nil {
		return fmt.Errorf("insert into %s: %w", table, explain(err))
	}
	return nil
}

// WriteTraining stores one step of a training run.
func (s *Store) WriteTraining(ctx context.Context, t event.Training) error {
	f := &frame{rows: 1}
	text := func(name, v string) { f.texts(name, func(int) string { return v }) }
	text("run", t.Run)
	f.word("pipeline", t.Pipeline)
	f.word("state", t.State)
	same(f, "epoch", "UInt32", uint32(t.Epoch))
	same(f, "epochs", "UInt32", uint32(t.Epochs))
	same(f, "loss", "Float64", t.Loss)
	same(f, "val_loss", "Float64", t.ValLoss)
	same(f, "rows_per_second", "Float64", t.RowsPerSecond)
	same(f, "rows", "UInt64", uint64(t.Rows))
	same(f, "elapsed_ns", "Int64", t.Elapsed)
	f.micros("time", func(int) int64 { return t.Time })
	f.word("version", t.Version)
	text("detail", t.Detail)
	f.word("worker", t.Worker)
	same(f, "cpu_seconds", "Float64", t.CPUSeconds)
	same(f, "gpu_seconds", "Float64", t.GPUSeconds)
	same(f, "joules", "Float64", t.Joules)
	f.word("energy", t.Energy)
	return s.small(ctx, "trainings", f)
}

// Trainings returns the last limit steps of a pipeline's training runs, oldest first; an empty pipeline means all.
func (s *Store) Trainings(ctx context.Context, pipeline string, limit int) (out []event.Training, err error) {
	err = s.scan(ctx, `SELECT * FROM (SELECT run, pipeline, state, epoch, epochs, loss, val_loss, rows_per_second, rows, elapsed_ns, time, version, detail, worker, cpu_seconds, gpu_seconds, joules, energy
		FROM trainings WHERE {pipeline:String} = '' OR pipeline = {pipeline:String} ORDER BY time DESC, elapsed_ns DESC LIMIT {limit:UInt64}) ORDER BY time, elapsed_ns`,
		func(rows driver.Rows) error {
			var t event.Training
			var at time.Time
			var epoch, epochs uint32
			var n uint64
			err := rows.Scan(&t.Run, &t.Pipeline, &t.State, &epoch, &epochs, &t.Loss, &t.ValLoss, &t.RowsPerSecond, &n, &t.Elapsed, &at, &t.Version, &t.Detail, &t.Worker, &t.CPUSeconds, &t.GPUSeconds, &t.Joules, &t.Energy)
			t.Epoch, t.Epochs, t.Rows, t.Time = int(epoch), int(epochs), int(n), at.UnixNano()
			out = append(out, t)
			return err
		}, ch.Named("pipeline", pipeline), ch.Named("limit", max(limit, 0)))
	if err != nil {
		return nil, fmt.Errorf("read the trainings of %s: %w", pipeline, explain(err))
	}
	return out, nil
}

// Model is something that happened to a model.
type Model struct {
	// Time is when, Unix nanoseconds.
	Time     int64
	Pipeline string
	Version  string
	// Alias is what the version became: "" when it was registered, "champion" when it went live.
	Alias   string
	Task    string
	Unit    string
	Network string
	Metrics map[string]float64
	// Lineage is JSON.
	Lineage string
	// Who did it, a person or a part of andon, and why.
	Who, Why string
}

// WriteModel stores what happened to a model.
func (s *Store) WriteModel(ctx context.Context, m Model) error {
	f := &frame{rows: 1}
	text := func(name, v string) { f.texts(name, func(int) string { return v }) }
	f.micros("time", func(int) int64 { return m.Time })
	f.word("pipeline", m.Pipeline)
	text("version", m.Version)
	f.word("alias", m.Alias)
	f.word("task", m.Task)
	f.word("unit", m.Unit)
	f.word("network", m.Network)
	var names []byte
	var values []float64
	for name, v := range m.Metrics {
		names = appendText(names, name)
		values = append(values, v)
	}
	f.add("metrics", "Map(String, Float64)", bytesOf([]uint64{uint64(len(values))}), names, bytesOf(values))
	text("lineage", m.Lineage)
	text("who", m.Who)
	text("why", m.Why)
	// Every replica of the appliance tells of the same event: the first one's row is the row.
	token := fmt.Sprintf("model %s %s %s", m.Pipeline, m.Version, m.Alias)
	if m.Alias != "" {
		token = fmt.Sprintf("%s %d", token, m.Time)
	}
	if _, err := s.insert(ctx, "models", f.rows, s.insertSettings(token), func() *frame { return f }); err != nil {
		return fmt.Errorf("insert into models: %w", explain(err))
	}
	return nil
}

// RecordMetrics stores what g gathers, every so often, until ctx ends; names that do not start with andon_ are left out. A gathering that cannot be
// stored is dropped and logged: metrics are no reason to wait.
func (s *Store) RecordMetrics(ctx context.Context, g prometheus.Gatherer, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			samples, err := gather(g)
			if err == nil && len(samples) > 0 {
				limited, cancel := context.WithTimeout(ctx, every)
				err = s.small(limited, "metrics", metricsFrame(now, samples))
				cancel()
			}
			if err != nil && ctx.Err() == nil {
				s.log.Warn("metrics were not stored", "error", err)
			}
		}
	}
}

type sample struct {
	name   string
	labels [][2]string
	value  float64
}

func gather(g prometheus.Gatherer) ([]sample, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var out []sample
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "andon_") {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels [][2]string
			for _, l := range m.GetLabel() {
				labels = append(labels, [2]string{l.GetName(), l.GetValue()})
			}
			add := func(suffix string, v float64) { out = append(out, sample{f.GetName() + suffix, labels, v}) }
			switch {
			case m.Counter != nil:
				add("", m.Counter.GetValue())
			case m.Gauge != nil:
				add("", m.Gauge.GetValue())
			case m.Untyped != nil:
				add("", m.Untyped.GetValue())
			case m.Histogram != nil:
				add("_sum", m.Histogram.GetSampleSum())
				add("_count", float64(m.Histogram.GetSampleCount()))
			case m.Summary != nil:
				add("_sum", m.Summary.GetSampleSum())
				add("_count", float64(m.Summary.GetSampleCount()))
			}
		}
	}
	return out, nil
}

func metricsFrame(now time.Time, samples []sample) *frame {
	f := &frame{rows: len(samples)}
	same(f, "time", "DateTime64(3, 'UTC')", now.UnixMilli())
	f.words("name", func(i int) string { return samples[i].name })
	f.wordMap("labels", func(i int) [][2]string { return samples[i].labels })
	each(f, "value", "Float64", func(i int) float64 { return samples[i].value })
	return f
}
