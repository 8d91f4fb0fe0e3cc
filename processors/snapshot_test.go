package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// talker is an asset that never falls silent: a row each 10 s.
func talker(rows int) *world {
	w := newWorld()
	for i := range int64(rows) {
		w.log = append(w.log, entry{offset: i, row: &event.Row{Offset: i, Asset: "x", Time: i * 10e9, Values: []float64{float64(i % 7), float64(i % 5)}}})
	}
	w.end = int64(rows)
	return w
}

// opened is a line over the world with its metrics and what it logs.
type opened struct {
	*Line
	reg *prometheus.Registry
	log strings.Builder
}

func (w *world) opened(t *testing.T, records int64, change func(*Config, *Outlets)) *opened {
	t.Helper()
	o := &opened{reg: prometheus.NewRegistry()}
	cfg, out := small(), Outlets{w, w, w, w}
	cfg.Snapshot.Records = records
	if change != nil {
		change(&cfg, &out)
	}
	var err error
	if o.Line, err = New(cfg, Judge{Scorer: w, Live: func() *model.Model { return w.model }}, out, NewMetrics(o.reg), slog.New(&said{&o.log})); err != nil {
		t.Fatal(err)
	}
	w.model = fits(o.Line, "m1")
	return o
}

// take opens the partition, hands it the log up to an offset in blocks of 10, and tells from where it read.
func (o *opened) take(t *testing.T, w *world, to int64) (from int64) {
	t.Helper()
	p, from, err := o.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for at := from; at < to; at += 10 {
		if err := errors.Join(p.Handle(t.Context(), w.batch(at, min(at+10, to))), p.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	return from
}

func (o *opened) outcomes(t *testing.T) string {
	all := gather(t, o.reg)
	var out []string
	for _, outcome := range []string{"saved", "failed", "restored", "lost", "changed"} {
		// Labels come sorted by name: outcome, pipeline.
		out = append(out, fmt.Sprint(outcome, " ", all["andon_pipeline_snapshots_total "+outcome+" p"]))
	}
	return strings.Join(out, ", ")
}

func TestSnapshotBoundsTheFold(t *testing.T) {
	w := talker(1000)
	o := w.opened(t, 50, nil)
	o.take(t, w, 500)
	if got, want := o.outcomes(t), "saved 8, failed 0, restored 0, lost 0, changed 0"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if want := `{"v":1,"fold":0,"snap":{"at":480,"ref":"1@8","schema":"` + o.schema + `","slot":1}}`; w.note != want {
		t.Errorf("the note is %s, want %s", w.note, want)
	}
	o = w.opened(t, 50, nil)
	if from := o.take(t, w, 510); from != 480 {
		t.Errorf("read from %d, want 480", from)
	}
	if got, want := o.outcomes(t), "saved 0, failed 0, restored 1, lost 0, changed 0"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	if !strings.Contains(o.log.String(), "log: state folded from=480 to=500") {
		t.Errorf("logged:\n%s", o.log.String())
	}
	// Switched off, none is made; the one there is is of use.
	o = w.opened(t, 0, nil)
	if from := o.take(t, w, 700); from != 480 || o.outcomes(t) != "saved 0, failed 0, restored 1, lost 0, changed 0" {
		t.Errorf("read from %d; %s", from, o.outcomes(t))
	}
	o = w.opened(t, 0, nil)
	if from := o.take(t, w, 700); from != 480 {
		t.Errorf("read from %d, want 480", from)
	}
}

// A snapshot that cannot be used is told and counted, and the state read back from where it began; the next one is made at once.
func TestSnapshotFallsBack(t *testing.T) {
	for name, c := range map[string]struct {
		damage  func(w *world, cfg *Config, out *Outlets)
		outcome string
		said    string
	}{
		"gone":       {func(w *world, _ *Config, _ *Outlets) { clear(w.vault) }, "lost", "there is no 1@8"},
		"no vault":   {func(_ *world, _ *Config, out *Outlets) { out.Vault = nil }, "lost", "nothing here keeps snapshots"},
		"settings":   {func(_ *world, cfg *Config, _ *Outlets) { cfg.Features.Lateness += time.Second }, "changed", "settings changed"},
		"source":     {func(_ *world, cfg *Config, _ *Outlets) { cfg.Source = "other" }, "changed", "settings changed"},
		"cut short":  {func(w *world, _ *Config, _ *Outlets) { w.vault["1@8"] = saved{data: w.vault["1@8"].data[:40]} }, "lost", "is damaged"},
		"of another": {func(w *world, _ *Config, _ *Outlets) { w.vault["1@8"] = saved{data: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}} }, "lost", "another recipe"},
	} {
		t.Run(name, func(t *testing.T) {
			w := talker(1000)
			w.opened(t, 50, nil).take(t, w, 500)
			o := w.opened(t, 50, func(cfg *Config, out *Outlets) { c.damage(w, cfg, out) })
			if from := o.take(t, w, 510); from != 0 {
				t.Errorf("read from %d, want 0", from)
			}
			if got := gather(t, o.reg)["andon_pipeline_snapshots_total "+c.outcome+" p"]; got != 1 || !strings.Contains(o.log.String(), c.said) {
				t.Errorf("%s; logged:\n%s", o.outcomes(t), o.log.String())
			}
			if w.saves != 8 && name == "no vault" || w.saves != 9 && name != "no vault" {
				t.Errorf("%d snapshots", w.saves)
			}
		})
	}
}

// stubborn is a Vault that fails; broken as long as err is set.
type stubborn struct {
	*world
	err   error
	tries int
}

func (s *stubborn) Save(ctx context.Context, key string, partition int32, data []byte) (string, error) {
	s.tries++
	if s.err != nil {
		return "", s.err
	}
	return s.world.Save(ctx, key, partition, data)
}

// The line goes on without its snapshots, and tries again after as many records; only where it must end is nothing committed.
func TestSnapshotFails(t *testing.T) {
	w := talker(1000)
	v := &stubborn{world: w, err: errors.New("topic is missing")}
	o := w.opened(t, 50, func(_ *Config, out *Outlets) { out.Vault = v })
	o.take(t, w, 500)
	if got := o.outcomes(t); got != "saved 0, failed 8, restored 0, lost 0, changed 0" || v.tries != 8 || w.committed != 500 {
		t.Errorf("%s; %d tries, committed %d", got, v.tries, w.committed)
	}
	if w.note != `{"v":1,"fold":0}` || !strings.Contains(o.log.String(), "no snapshot of the state") || !strings.Contains(o.log.String(), "topic is missing") {
		t.Errorf("the note is %s; logged:\n%s", w.note, o.log.String())
	}
	v.err = nil
	p, from, err := o.Open(t.Context(), w.assignment())
	if err != nil || from != 0 {
		t.Fatalf("read from %d, %v", from, err)
	}
	if err := p.Handle(t.Context(), w.batch(0, 510)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v.err = context.Canceled
	if err := p.Flush(ctx); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "keep the state of p t/1@500-510: ") {
		t.Errorf("got %v", err)
	}
	if w.committed != 500 || len(w.tables["readings"][token{500, 510}]) != 10 {
		t.Errorf("committed %d, stored %q", w.committed, w.tables["readings"][token{500, 510}])
	}
	// A start that ends while it loads must not take the snapshot for lost.
	v.err = nil
	o.take(t, w, 600)
	if _, _, err := o.Open(ctx, w.assignment()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := o.outcomes(t); !strings.Contains(got, "lost 0") {
		t.Error(got)
	}
}

// A large state is kept more seldom: no more is written than so many bytes a record.
func TestSnapshotOfALargeState(t *testing.T) {
	w := talker(20_000)
	for i := range w.log {
		w.log[i].row.Asset, w.log[i].row.Time = fmt.Sprint("asset-", i%500), int64(i/500)*10e9
	}
	o := w.opened(t, 10, nil)
	o.take(t, w, 20_000)
	if w.saves < 3 || w.written > perRecord*20_000+w.largest {
		t.Errorf("%d snapshots of %d bytes for 20000 records, the largest of %d", w.saves, w.written, w.largest)
	}
}

// The longest note fits a broker's limit with room to spare.
func TestNoteSize(t *testing.T) {
	clock, far := int64(-1)<<63, int64(1)<<62
	n := note{V: noteVersion, Fold: far, Clock: &clock, Kept: &kept{At: far, Ref: strings.Repeat("r", 200), Schema: strings.Repeat("s", 12), Slot: 1},
		Intent: &intent{Next: far, Rows: 1 << 40, Model: strings.Repeat("m", 200), Schema: strings.Repeat("s", 12)}}
	if size := len(n.String()); size > 1000 {
		t.Errorf("%d bytes", size)
	}
	got, err := parseNote(n.String(), far)
	if err == nil {
		t.Errorf("an intent that ends where it begins was read: %+v", got)
	}
	n.Intent.Next++
	if got, err = parseNote(n.String(), far); err != nil || *got.Kept != *n.Kept || *got.Intent != *n.Intent {
		t.Errorf("read %+v, %v", got, err)
	}
	n.Kept.At++
	if _, err = parseNote(n.String(), far); err == nil {
		t.Error("a snapshot of what is not handled yet was taken")
	}
}
