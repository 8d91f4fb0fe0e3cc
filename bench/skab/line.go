package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/processors"
	"andon/processors/anomaly"
	"andon/processors/features"
)

// lined tells where a pipeline with `detector: {baseline: …}` gives a file's rows a risk of one half or more, by the scores that it stores. Its grid is the benchmark's second, some of which have no row; rows come in order, so lateness is 0 and nothing waits for
// such a one. It learns an asset's first 400 slots.
func lined(f *file, settings anomaly.Baseline) ([]bool, error) {
	cfg := processors.Default()
	cfg.Pipeline = "skab"
	for i := range f.rows[0] {
		cfg.Signals = append(cfg.Signals, string(rune('a'+i)))
	}
	slots := features.Default()
	slots.Recipe.Grid, slots.Recipe.MaxGap, slots.Lateness = time.Second, 10, 0
	settings.Learn = training
	cfg.Features, cfg.Detector = &slots, &anomaly.Config{Baseline: &settings}
	said := make([]bool, len(f.rows))
	line, err := processors.New(cfg, processors.Judge{}, processors.Outlets{Sink: taken{said}}, processors.NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	p, _, err := line.Open(ctx, processors.Assignment{Topic: "skab", Commit: func(context.Context, int64, string) error { return nil }})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	b := &event.Batch{Topic: "skab", Next: int64(len(f.rows)), Received: time.Now().UnixNano()}
	b.Raw = func(offset int64) event.Record {
		return event.Record{Position: event.Position{Topic: "skab", Offset: offset}}
	}
	for i, row := range f.rows {
		b.Rows = append(b.Rows, event.Row{Offset: int64(i), Asset: f.name, Time: f.times[i].UnixNano(), Values: row})
	}
	if err := p.Handle(ctx, b); err != nil {
		return nil, err
	}
	return said, p.Flush(ctx)
}

// taken keeps which records have a score of one half or more.
type taken struct{ said []bool }

func (t taken) Write(_ context.Context, b *event.Block) error {
	for i := range b.Scores {
		if s := &b.Scores[i]; s.Risk >= 0.5 {
			t.said[s.Offset] = true
		}
	}
	return nil
}

// pipelines are two of one topic: one tells of departures, one of changes.
func pipelines(f *file, settings anomaly.Baseline) (outlier, change []bool, err error) {
	settings.Tell = anomaly.TellDepartures
	if outlier, err = lined(f, settings); err != nil {
		return nil, nil, err
	}
	settings.Tell = anomaly.TellChanges
	change, err = lined(f, settings)
	return outlier, change, err
}
