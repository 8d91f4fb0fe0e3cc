package processors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/processors/features"
)

func TestMetrics(t *testing.T) {
	ctx := context.Background()
	w := newWorld()
	row := func(at int64, values ...float64) {
		w.log = append(w.log, entry{offset: w.end, row: &event.Row{Offset: w.end, Asset: "x", Time: at * 1e9, Values: values}})
		w.end++
	}
	row(5, 1, 10)
	row(6, 1, 10)
	row(15, 2, 20)
	row(15, 2, 20)
	row(3, 1, 10)
	reg := prometheus.NewRegistry()
	line, err := New(small(), Judge{Scorer: w, Live: func() *model.Model { return w.model }}, Outlets{Sink: w}, NewMetrics(reg), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.model = fits(line, "m1")
	p, _, err := line.Open(ctx, w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Handle(ctx, w.batch(0, w.end)); err != nil {
		t.Fatal(err)
	}
	got := gather(t, reg)
	for name, want := range map[string]float64{
		"andon_features_rows_total p ok": 3, "andon_features_rows_total p duplicate": 1, "andon_features_rows_total p late": 1,
		"andon_features_surplus_rows_total p": 1, "andon_features_windows_total p": 1, "andon_features_assets 1 p": 1,
		"andon_pipeline_latency_seconds p": 1, "andon_pipeline_folded_rows_total p": 0, "andon_pipeline_unfit_windows_total p": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, %v; want %v", name, v, ok, want)
		}
	}
	p.Close()
	if _, ok := gather(t, reg)["andon_features_assets 1 p"]; ok {
		t.Error("a closed partition has assets")
	}
	// A row of another width ends the line with an error that says where.
	w.log[0].row.Offset, w.log[0].offset, w.log[0].row.Values = 5, 5, nil
	if err := p.Handle(ctx, w.batch(5, 6)); err == nil || !strings.HasPrefix(err.Error(), "handle p t/1@5-6: ") {
		t.Errorf("got %v", err)
	}
}

// gather returns each metric's value, a histogram's count, by name and label values.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// Scores carry what is needed to find their cause.
func TestScore(t *testing.T) {
	ctx := context.Background()
	w := newWorld()
	for i := range 3 {
		w.log = append(w.log, entry{offset: int64(i), row: &event.Row{Offset: int64(i), Asset: "x", Time: int64(i) * 10e9, Values: []float64{1, 2}}})
	}
	line := w.line(t, small())
	w.model = fits(line, "m1")
	now := time.Unix(5000, 0)
	line.now = func() time.Time { return now }
	p, _, err := line.Open(ctx, w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	b := w.batch(0, 3)
	b.Received = now.Add(-250 * time.Millisecond).UnixNano()
	if err := p.Handle(ctx, b); err != nil {
		t.Fatal(err)
	}
	s := p.block.Scores[1]
	want := event.Score{Verdict: s.Verdict, Pipeline: "p", Asset: "x", Start: 10e9, End: 30e9, Version: "m1",
		Position: event.Position{Topic: "t", Partition: 1, Offset: 2}, Latency: 250e6, ScoredAt: now.UnixNano()}
	if len(p.block.Scores) != 2 || s != want || s.Risk != 3 {
		t.Errorf("got %+v, want %+v", s, want)
	}
	if due := p.Due(); due != now.Add(time.Second) {
		t.Errorf("due %v", due)
	}
	w.fuse = 0
	b = w.batch(3, 4)
	b.Rows = append(b.Rows, event.Row{Offset: 3, Asset: "x", Time: 30e9, Values: []float64{1, 2}})
	if err := p.Handle(ctx, b); !errors.Is(err, errCrash) || !strings.HasPrefix(err.Error(), "score p t/1@3-4: 1 windows by model m1: ") {
		t.Errorf("got %v", err)
	}
}

// nothing does nothing, as fast as can be.
type nothing struct{ blocks, scores int }

func (n *nothing) Write(_ context.Context, b *event.Block) error {
	n.blocks++
	n.scores += len(b.Scores)
	return nil
}

func (*nothing) Score(context.Context, *model.Model, []float32, []event.Verdict) error { return nil }

// BenchmarkHandle is the whole line but decoding, the network and the store: 14 signals, windows of 30 x 29 with model=yes, blocks of 100,000 rows.
func BenchmarkHandle(b *testing.B) {
	for _, assets := range []int{100, 10000} {
		for _, scored := range []string{"no", "yes"} {
			b.Run(fmt.Sprintf("assets=%d/model=%s", assets, scored), func(b *testing.B) { benchmarkHandle(b, assets, scored == "yes") })
		}
	}
}

func benchmarkHandle(b *testing.B, assets int, scored bool) {
	ctx := context.Background()
	cfg := Default()
	cfg.Pipeline = "compressors"
	for s := range 14 {
		cfg.Signals = append(cfg.Signals, fmt.Sprint("s_", s))
	}
	f := features.Default()
	f.Recipe.Grid, f.Recipe.Smooth, f.Recipe.Baseline, f.Recipe.Age = time.Hour, 0.1, 20, true
	cfg.Features = &f
	cfg.Flush.Interval = time.Hour
	var live *model.Model
	sink := &nothing{}
	l, err := New(cfg, Judge{Scorer: sink, Live: func() *model.Model { return live }}, Outlets{Sink: sink}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	if scored {
		live = &model.Model{Meta: model.Meta{Recipe: *l.Recipe()}, Version: "m"}
		for range live.Recipe.Width() {
			live.Recipe.Scale = append(live.Recipe.Scale, model.Scale{Mean: 600, Std: 3})
		}
	}
	p, _, err := l.Open(ctx, Assignment{Topic: "t", Commit: func(context.Context, int64, string) error { return nil }})
	if err != nil {
		b.Fatal(err)
	}
	// A fetch of 1000 rows a batch, each asset in turn.
	batch := &event.Batch{Received: time.Now().UnixNano()}
	for i := range 1000 {
		batch.Rows = append(batch.Rows, event.Row{Values: batch.Values(14)})
		for s := range batch.Rows[i].Values {
			batch.Rows[i].Values[s] = 600 + float64(s)
		}
	}
	names := make([]string, assets)
	for i := range names {
		names[i] = fmt.Sprintf("compressor-%05d", i)
	}
	at := int64(0)
	handle := func() {
		batch.First, batch.Next = at, at+1000
		for i := range batch.Rows {
			r := &batch.Rows[i]
			r.Offset, r.Asset, r.Time = at, names[at%int64(assets)], at/int64(assets)*int64(time.Hour)
			at++
		}
		if err := p.Handle(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	for at < int64(assets)*40 || sink.blocks == 0 {
		handle()
	}
	from := at
	b.ReportAllocs()
	used := cpu()
	for b.Loop() {
		handle()
	}
	b.ReportMetric(float64(cpu()-used)/float64(at-from), "cpu-ns/row")
}

// cpu is the process's CPU time in nanoseconds, which says more than the clock on a busy machine.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// A filtered row is stored as such; it makes no window, moves no clock, closes no slot, and nobody is shown it.
func TestFilteredRows(t *testing.T) {
	w := newWorld()
	row := func(offset, second int64, filtered bool) entry {
		return entry{offset: offset, row: &event.Row{Offset: offset, Asset: "x", Time: second * 1e9, Values: []float64{1, 2}, Filtered: filtered}}
	}
	w.log, w.end = []entry{row(0, 0, false), row(1, 3600, true), row(2, 10, false), row(3, 10, true), row(4, 20, false)}, 5
	var shown string
	w.trace = func(format string, args ...any) {
		if strings.HasPrefix(format, "observe") {
			shown += fmt.Sprintf(format, args...)
		}
	}
	l := w.line(t, small())
	w.model = fits(l, "m1")
	p, at, err := l.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Handle(t.Context(), w.batch(at, 5)), p.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(w.tables["readings"][token{0, 5}], "\n")
	if strings.Count(got, "status=1") != 3 || strings.Count(got, "status=3") != 2 || len(w.tables["scores"][token{0, 5}]) != 2 || !strings.HasPrefix(shown, "observe rows [0 2 4]") {
		t.Errorf("stored:\n%s\n%v\nshown: %s", got, w.tables["scores"], shown)
	}
}
