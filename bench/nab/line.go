package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/processors"
	"andon/processors/anomaly"
	"andon/processors/features"
	"andon/processors/surprise"
)

// lined gives what a pipeline with `detector: {surprise: {}}` stores of the file's rows: the value of the score that each row completed, 0 where it completed none. The grid is the file's most usual step, as an operator would write it,
// and lateness is 0, since rows come in order; all else is the default.
func lined(s *series) ([]float64, error) {
	cfg := processors.Default()
	cfg.Pipeline, cfg.Signals = "nab", []string{"value"}
	slots := features.Default()
	slots.Recipe.Grid, slots.Recipe.MaxGap, slots.Lateness = s.step(), 6, 0
	slots.Horizon = 1000 * 24 * time.Hour
	settings := surprise.Default()
	cfg.Features, cfg.Detector = &slots, &anomaly.Config{Surprise: &settings}
	out := make([]float64, len(s.values))
	line, err := processors.New(cfg, processors.Judge{}, processors.Outlets{Sink: taken{out}}, processors.NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	p, at, err := line.Open(ctx, processors.Assignment{Topic: "nab", Commit: func(context.Context, int64, string) error { return nil }})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for end := int64(len(s.values)); at < end; {
		b := &event.Batch{Topic: "nab", First: at, Next: min(at+1000, end), Received: time.Now().UnixNano()}
		b.Raw = func(offset int64) event.Record {
			return event.Record{Position: event.Position{Topic: "nab", Offset: offset}}
		}
		for ; at < b.Next; at++ {
			b.Rows = append(b.Rows, event.Row{Offset: at, Asset: "x", Time: s.times[at].UnixNano(), Values: s.values[at : at+1]})
		}
		if err := p.Handle(ctx, b); err != nil {
			return nil, err
		}
	}
	return out, p.Flush(ctx)
}

// taken keeps the values of scores, by their record's offset.
type taken struct{ out []float64 }

func (t taken) Write(_ context.Context, b *event.Block) error {
	for i := range b.Scores {
		s := &b.Scores[i]
		t.out[s.Offset] = max(t.out[s.Offset], float64(s.Value))
	}
	return nil
}

// step is the most usual time between two rows.
func (s *series) step() time.Duration {
	var all []time.Duration
	for i := 1; i < len(s.times); i++ {
		if d := s.times[i].Sub(s.times[i-1]); d > 0 {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all[len(all)/2]
}
