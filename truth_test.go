package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
	"andon/trainer/truth"
)

// emptyStore returns a store of an engine of the test's own.
func emptyStore(t *testing.T) *clickhouse.Store {
	t.Helper()
	needLibraries(t)
	cfg := engine.Default()
	cfg.Library = "lib/libchdb.so"
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(cfg, t.TempDir(), []string{exe, "engine"}, slog.New(slog.DiscardHandler), nil)
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s, err := clickhouse.Open(t.Context(), clickhouse.Default(), e.Endpoint, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// world is predictions and labels as they come, in any order, and what must come of them.
type world struct {
	t        *testing.T
	store    *clickhouse.Store
	pipeline truth.Pipeline
	rng      *rand.Rand
	offset   int64
	now      map[string]int64 // slots
	said     []truth.Outcome
	labels   []event.Label // in the order of telling
	last     map[string][]int64
}

const slot = int64(time.Minute)

var truthOrigin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// live lets each asset go on some slots, with readings, scores and now and then a shadow.
func (w *world) live() {
	b := &event.Block{Pipeline: w.pipeline.Name, Topic: "fleet " + w.pipeline.Name, First: w.offset}
	b.Readings.Signals = []string{"x"}
	frames := w.pipeline.Rule.Task == model.Classification || w.pipeline.Rule.Task == model.Detection
	for _, a := range []string{"a", "b", "c"} {
		for range w.rng.IntN(6) {
			begin := truthOrigin + w.now[a]*slot
			w.now[a]++
			at := begin + w.rng.Int64N(slot/1000)*1000
			pos := event.Position{Topic: b.Topic, Offset: w.offset}
			w.offset++
			b.Readings.Append(&event.Row{Asset: a, Time: at, Offset: pos.Offset, Values: []float64{1}}, event.StatusOK)
			w.last[a] = append(w.last[a], at)
			for _, version := range []string{"one", "two"} {
				if version == "two" && w.rng.IntN(3) == 0 {
					continue
				}
				o := truth.Outcome{Pipeline: w.pipeline.Name, Asset: a, Start: begin - 4*slot, End: begin + slot, Version: version,
					Value: float64(float32(w.rng.Float64()*30 - 5)), Risk: float64(w.rng.Float32()), ScoredAt: truthOrigin}
				if frames {
					o.Start, o.End, o.Value = begin, begin, o.Risk
					o.Class = []string{"helmet", "head", "clear"}[w.rng.IntN(3)]
				}
				w.said = append(w.said, o)
				s := event.Score{Pipeline: o.Pipeline, Asset: a, Start: o.Start, End: o.End, Version: version, ScoredAt: o.ScoredAt, Position: pos,
					Verdict: event.Verdict{Value: float32(o.Value), Risk: float32(o.Risk)}}
				sight := event.Sight{Pipeline: o.Pipeline, Camera: a, Captured: begin, Width: 2, Height: 2, Status: event.SightScored, Version: version, Label: o.Class,
					Risk: float32(o.Risk), Position: pos, ScoredAt: o.ScoredAt}
				switch {
				case frames && version == "one":
					b.Sights = append(b.Sights, sight)
				case frames:
					b.ShadowSights = append(b.ShadowSights, sight)
				case version == "one":
					b.Scores = append(b.Scores, s)
				default:
					b.Shadows = append(b.Shadows, s)
				}
			}
		}
	}
	b.Next = w.offset
	if b.Next > b.First {
		w.write(b)
	}
}

func (w *world) write(b *event.Block) {
	w.t.Helper()
	if err := w.store.Write(w.t.Context(), b); err != nil {
		w.t.Fatal(err)
	}
}

// tell tells, corrects or takes back a label.
func (w *world) tell() {
	var l event.Label
	if n := len(w.labels); n > 0 && w.rng.IntN(3) == 0 {
		l = w.labels[w.rng.IntN(n)]
		l.Withdrawn = w.rng.IntN(2) == 0
	} else {
		l = event.Label{Pipeline: w.pipeline.Name, Asset: []string{"a", "b", "c"}[w.rng.IntN(3)], Value: math.NaN(), Who: []string{"mia", "tom"}[w.rng.IntN(2)]}
		l.Time = truthOrigin + w.rng.Int64N(2*w.now[l.Asset]+4)*slot/2 // of a slot's begin or its middle, perhaps to come
		kinds := []string{event.KindFailure}
		switch w.pipeline.Rule.Task {
		case model.Anomaly:
			kinds = []string{event.KindAnomaly, event.KindMissed, event.KindNormal, event.KindNormal}
		case model.Classification, model.Detection:
			kinds = []string{"helmet", "head", event.KindClear, event.KindMissed}
		}
		l.Kind = kinds[w.rng.IntN(len(kinds))]
	}
	if w.pipeline.Rule.Task != model.RemainingLife && w.rng.IntN(2) == 0 {
		l.Until = l.Time + (1+w.rng.Int64N(8))*slot
	}
	l.Weight = float64(1 + w.rng.IntN(3))
	l.Position = event.Position{Topic: "labels " + w.pipeline.Name, Offset: int64(len(w.labels))}
	l.Told = truthOrigin + int64(len(w.labels))*int64(time.Second)
	w.labels = append(w.labels, l)
	w.write(&event.Block{Pipeline: "labels", Topic: l.Topic, First: l.Offset, Next: l.Offset + 1, Labels: []event.Label{l}})
}

// want says by the rules, one prediction at a time, what is settled.
func (w *world) want() []truth.Outcome {
	labels, err := w.store.Labels(w.t.Context(), w.pipeline.Name, "")
	if err != nil {
		w.t.Fatal(err)
	}
	of := map[string]*truth.History{}
	for _, a := range []string{"a", "b", "c"} {
		h := &truth.History{Last: map[int64]int64{}, Seen: truthOrigin + w.now[a]*slot}
		for _, l := range labels {
			if l.Asset != a {
				continue
			}
			h.Labels = append(h.Labels, l)
			for _, at := range w.last[a] {
				if at <= l.Time && at >= l.Time-slot {
					h.Last[l.Time] = at
				}
			}
		}
		of[a] = h
	}
	var out []truth.Outcome
	for _, o := range w.said {
		if o, ok := w.pipeline.Rule.Settle(o, of[o.Asset]); ok {
			out = append(out, o)
		}
	}
	return out
}

// counted counts what is asked beside marks.
type counted struct {
	*clickhouse.Store
	asked int
}

func (c *counted) ToldLabels(ctx context.Context, since int64) ([]event.Label, int64, error) {
	c.asked++
	return c.Store.ToldLabels(ctx, since)
}

func (c *counted) LabelsOf(ctx context.Context, pipeline string, assets []string) ([]event.Label, error) {
	c.asked++
	return c.Store.LabelsOf(ctx, pipeline, assets)
}

func (c *counted) SeenEnds(ctx context.Context, pipeline string, frames bool, known map[string]int64) (map[string]int64, error) {
	c.asked++
	return c.Store.SeenEnds(ctx, pipeline, frames, known)
}

func (c *counted) Outcomes(ctx context.Context, pipeline string, versions []string, since int64, limit int) ([]event.Outcome, int64, error) {
	c.asked++
	return c.Store.Outcomes(ctx, pipeline, versions, since, limit)
}

func (c *counted) SettleOutcomes(ctx context.Context, w *event.Settling) (uint64, error) {
	c.asked++
	return c.Store.SettleOutcomes(ctx, w)
}

// listener remembers what it is told.
type listener struct{ told *[]truth.Outcome }

func (*listener) Restore(string, []byte)                     {}
func (l *listener) Take(_ string, all []truth.Outcome)       { *l.told = append(*l.told, all...) }
func (*listener) Tell(context.Context, string) (bool, error) { return false, nil }
func (*listener) State(string) []byte                        { return nil }

// The keeper settles in ClickHouse, bit by bit, as labels come late, are corrected and withdrawn, and through restarts, what the rules say of all that is known in the end.
func TestTruthIsKept(t *testing.T) {
	store := emptyStore(t)
	for _, p := range []truth.Pipeline{
		{Name: "lives", Rule: truth.Rule{Task: model.RemainingLife, Grid: time.Minute, Cap: 12, Horizon: 4}},
		{Name: "odd-warned", Rule: truth.Rule{Task: model.Anomaly, Grid: time.Minute, Horizon: 2, MatureAfter: 6 * time.Minute}},
		{Name: "helmets", Rule: truth.Rule{Task: model.Classification}},
	} {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, store: store, pipeline: p, rng: rand.New(rand.NewPCG(7, 1)), now: map[string]int64{}, last: map[string][]int64{}}
			var told []truth.Outcome
			newKeeper := func() *truth.Keeper {
				return truth.NewKeeper(truth.Default(), func() []truth.Pipeline { return []truth.Pipeline{p} }, store, &listener{told: &told}, nil,
					slog.New(slog.DiscardHandler), nil)
			}
			k := newKeeper()
			now := time.Now().Add(-time.Hour)
			for step := range 18 {
				w.live()
				w.tell()
				if step%3 != 0 {
					continue
				}
				now = now.Add(40 * time.Second)
				if err := k.Round(t.Context(), now); err != nil {
					t.Fatal(err)
				}
				if step == 9 { // what was not marked is settled again
					k = newKeeper()
				}
			}
			for range 3 {
				if err := k.Round(t.Context(), now); err != nil {
					t.Fatal(err)
				}
			}
			got, watermark, err := truth.Mature(t.Context(), store, p.Name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := w.want()
			if len(want) < 15 || len(want) == len(w.said) {
				t.Errorf("only %d of %d are settled: the test shows nothing", len(want), len(w.said))
			}
			order := func(a, b truth.Outcome) int {
				return cmp.Or(cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.End, b.End), cmp.Compare(a.Version, b.Version))
			}
			slices.SortFunc(got, order)
			slices.SortFunc(want, order)
			text := func(all []truth.Outcome, i int) string {
				if i >= len(all) {
					return "none"
				}
				o := all[i]
				return fmt.Sprintf("%s %d %s value %.4f risk %.4f %s by %q truth %.4f happened %v loss %.4f %.4f weight %v", o.Asset, (o.End-truthOrigin)/slot, o.Version, o.Value, o.Risk, o.Class, o.Label, o.Truth, o.Happened, o.Loss, o.RiskLoss, o.Weight)
			}
			for i := range max(len(got), len(want)) {
				if g, w := text(got, i), text(want, i); g != w {
					t.Fatalf("outcome %d of %d, want %d:\n got %s\nwant %s", i, len(got), len(want), g, w)
				}
			}
			_, p95, conflicts, err := store.LabelLag(t.Context(), p.Name)
			if err != nil {
				t.Error(err)
			}
			predictions, settled, err := store.Coverage(t.Context(), p.Name)
			scored := 0
			for i := range w.said {
				if w.said[i].Version == "one" {
					scored++
				}
			}
			if err != nil || p95 == 0 || predictions != uint64(scored) || settled == 0 || conflicts > uint64(len(w.labels)) {
				t.Errorf("lag %v, conflicts %d, %d of %d settled, want of %d: %v", p95, conflicts, settled, predictions, scored, err)
			}
			if len(told) == 0 {
				t.Error("nothing was told")
			}
			// Where nothing has changed nothing is read.
			quiet := &counted{Store: store}
			k = truth.NewKeeper(truth.Default(), func() []truth.Pipeline { return []truth.Pipeline{p} }, quiet, nil, nil, slog.New(slog.DiscardHandler), nil)
			for range 4 {
				if err := k.Round(t.Context(), now); err != nil {
					t.Fatal(err)
				}
			}
			before := quiet.asked
			labels, err := store.LabelsMark(t.Context())
			if err := errors.Join(err, k.Round(t.Context(), now)); err != nil {
				t.Fatal(err)
			}
			if after, err := store.LabelsMark(t.Context()); before == 0 || quiet.asked != before && after == labels || err != nil { // other pipelines are told labels meanwhile
				t.Errorf("%d questions more after %d, %v", quiet.asked-before, before, err)
			}
			if again, same, err := truth.Mature(t.Context(), store, p.Name, nil, watermark); err != nil || len(again) != 0 || same != watermark {
				t.Errorf("after the watermark: %d, %v", len(again), err)
			}
		})
	}
}
