package processors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// shadowedLine is a line with records of four assets, each of which completes a window from its second on.
func shadowedLine(t *testing.T, w *world, chunk int) (*Line, *prometheus.Registry, *strings.Builder) {
	t.Helper()
	for i := range 40 {
		w.log = append(w.log, entry{offset: int64(i), row: &event.Row{Offset: int64(i), Asset: fmt.Sprint("asset-", i%4), Time: int64(i/4) * 10e9, Values: []float64{1, float64(i)}}})
	}
	w.end = 40
	cfg := small()
	cfg.ScoreChunk = chunk
	reg, said := prometheus.NewRegistry(), &strings.Builder{}
	l, err := New(cfg, w.judge(), Outlets{Sink: w, Publisher: w, Watch: w}, NewMetrics(reg), slog.New(&says{said}))
	if err != nil {
		t.Fatal(err)
	}
	w.model = fits(l, "m1")
	return l, reg, said
}

// says writes each message and its model, a line each.
type says struct{ out *strings.Builder }

func (s *says) Enabled(context.Context, slog.Level) bool { return true }
func (s *says) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *says) WithGroup(string) slog.Handler            { return s }
func (s *says) Handle(_ context.Context, r slog.Record) error {
	s.out.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "model" || a.Key == "shed" || a.Key == "percent" {
			fmt.Fprintf(s.out, " %v", a.Value)
		}
		return true
	})
	s.out.WriteString("\n")
	return nil
}

func handle(t *testing.T, w *world, p *Pipeline, from, to int64) {
	t.Helper()
	if err := p.Handle(t.Context(), w.batch(from, to)); err != nil {
		t.Fatal(err)
	}
}

// The assets of a canary's share are scored by it and by nothing else that counts; shadows score the same windows; only what counts is published and shown.
func TestCanaryAndShadow(t *testing.T) {
	w := newWorld()
	var shown []string
	w.trace = func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); strings.HasPrefix(s, "observe") || strings.HasPrefix(s, "publish") {
			shown = append(shown, s)
		}
	}
	l, reg, said := shadowedLine(t, w, 5)
	w.canary, w.percent, w.shadow = scaled(l, "m2", 3), 50, scaled(l, "m3", 7)
	p, _, err := l.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	handle(t, w, p, 0, 40)
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	by := map[string]map[string]int{"scores": {}, "shadow_scores": {}}
	for table, counts := range by {
		for _, r := range w.tables[table][token{0, 40}] {
			f := strings.Fields(r)
			counts[f[1]+" "+f[len(f)-1]]++
		}
	}
	for i := range 4 {
		asset := fmt.Sprint("asset-", i)
		counts, beside := "m1", []string{"m3"}
		if model.InShare(asset, 50) {
			counts, beside = "m2", []string{"m1", "m3"}
		}
		if by["scores"][asset+" model="+counts] != 9 {
			t.Errorf("%s: %v", asset, by["scores"])
		}
		for _, m := range beside {
			if by["shadow_scores"][asset+" model="+m] != 9 {
				t.Errorf("%s beside: %v", asset, by["shadow_scores"])
			}
		}
	}
	if len(by["scores"]) != 4 || len(by["shadow_scores"]) != 5 || !slices.Equal(shown, []string{"observe rows [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39], 36 scores",
		"publish 36 scores, 0 dead letters"}) {
		t.Errorf("scores of %v, shadows %v, shown %q", by["scores"], by["shadow_scores"], shown)
	}
	if got := gather(t, reg); got["andon_pipeline_shadow_windows_total scored p"] != 45 || got["andon_pipeline_shadow_windows_total shed p"] != 0 {
		t.Errorf("%v", got)
	}
	// The canary ends; a shadow of the champion's version has nothing to do; a model with other windows scores nothing and stops nothing.
	w.canary, w.shadow = nil, fits(l, "m1")
	w.log[0].row.Time, w.log[0].offset, w.log[0].row.Offset = 100e9, 40, 40
	handle(t, w, p, 40, 41)
	w.shadow = fits(l, "odd")
	w.shadow.Recipe.Length = 5
	w.canary = w.shadow
	w.log[0].row.Time, w.log[0].offset, w.log[0].row.Offset = 110e9, 41, 41
	handle(t, w, p, 41, 42)
	if len(p.block.Scores) != 2 || p.block.Scores[0].Version != "m1" || len(p.shades[0].jobs)+len(p.shades[1].jobs) != 0 || p.block.Scores[1].Version != "m1" {
		t.Errorf("%+v", p.block.Scores)
	}
	want := "partition opened\nmodel in use m1\ncanary in use m2 50\nthe canary has no drift reference of its own: its windows are not watched m2\nshadow in use m3\ncanary ended\nshadow in use m1\n" +
		"the canary makes other windows than this pipeline, so the champion scores all assets odd\nthe shadow makes other windows than this pipeline, so it scores nothing odd\n"
	if said.String() != want {
		t.Errorf("said\n%s", said)
	}
}

// A shadow that lags is shed chunk by chunk; the windows that count are all scored, the block is stored with what is there, and the change is told once.
func TestShadowIsShed(t *testing.T) {
	w := newWorld()
	l, reg, said := shadowedLine(t, w, 4)
	now := time.Unix(5000, 0)
	l.now = func() time.Time { return now }
	w.shadow = scaled(l, "m3", 7)
	// Chunks of 4 windows: one is done, one done at last, one of the next never; with two under way no third is tried.
	fates := []fate{fateNow, fateInTime, fateNever}
	asked := 0
	w.busy = func() fate {
		asked++
		if len(fates) == 0 {
			return fateNow
		}
		f := fates[0]
		fates = fates[1:]
		return f
	}
	p, _, err := l.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	handle(t, w, p, 0, 20) // 16 windows
	if asked != 3 || len(p.shades[0].jobs) != 2 {
		t.Errorf("asked for %d chunks, %d under way", asked, len(p.shades[0].jobs))
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows := w.tables["shadow_scores"][token{0, 20}]
	if len(w.tables["scores"][token{0, 20}]) != 16 || len(rows) != 8 || !strings.HasPrefix(rows[0], "@4 ") || !strings.HasPrefix(rows[7], "@11 ") {
		t.Errorf("%d scores, shadows %q", len(w.tables["scores"][token{0, 20}]), rows)
	}
	fates = []fate{fateFull, fateFails}
	handle(t, w, p, 20, 28)
	now = now.Add(shadeQuiet + time.Second)
	handle(t, w, p, 28, 36)
	handle(t, w, p, 36, 40)
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := gather(t, reg)
	for outcome, want := range map[string]float64{"scored": 20, "shed": 12, "failed": 4} {
		if n := got["andon_pipeline_shadow_windows_total "+outcome+" p"]; n != want {
			t.Errorf("%v windows %s, want %v", n, outcome, want)
		}
	}
	told := "the shadow is shed: the scorer has no time for it beside the windows that count m3\nthe shadow fails m3\nthe shadow keeps up again m3 12\n"
	if !strings.HasSuffix(said.String(), told) {
		t.Errorf("said\n%s", said)
	}
}
