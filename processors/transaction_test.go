package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/processors/features"
)

// What a reader of committed records sees is there once for each offset that gives any, and so are the stored rows, whatever crashes where.
func TestExactlyOnceIntoKafka(t *testing.T) {
	ctx := context.Background()
	crashes, again, undone := 0, 0, 0
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		cfg := small()
		cfg.Features.Stride = 1 + rng.IntN(2)
		cfg.Features.Lateness = time.Duration(rng.IntN(40)) * time.Second
		cfg.Features.Close = []features.Close{features.Complete, features.Watermark}[rng.IntN(2)]
		log, end := randomLog(rng, 300, 1+rng.IntN(5), 2)

		calm := newWorld()
		calm.log, calm.end, calm.atomic = log, end, true
		line := calm.line(t, cfg)
		calm.model = fits(line, "m1")
		if err := calm.run(ctx, line, rng); err != nil {
			t.Fatal(err)
		}
		want := calm.stored(t)

		w := newWorld()
		w.log, w.end, w.rng, w.model, w.atomic = log, end, rng, calm.model, true
		for tries := 0; ; tries++ {
			if tries == 10000 {
				t.Fatalf("seed %d: does not end", seed)
			}
			cfg.Flush.Rows = 1 + rng.IntN(100)
			cfg.ScoreChunk = 1 + rng.IntN(8)
			if strings.Contains(w.note, "intent") {
				again++
			}
			w.fuse = rng.IntN(40) - 3
			err := w.run(ctx, w.line(t, cfg), rng)
			if err == nil && w.committed == end {
				break
			}
			if crashes++; err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if got := w.stored(t); !slices.Equal(want, got) {
			t.Fatalf("seed %d: %d rows stored, want %d", seed, len(got), len(want))
		}
		if len(w.sent) > 0 || slices.Contains(w.order, "publish") {
			t.Fatalf("seed %d: published outside of a transaction", seed)
		}
		for offset, n := range calm.seen {
			if w.seen[offset] != n {
				t.Fatalf("seed %d: what came of offset %d is seen %d times, want %d", seed, offset, w.seen[offset], n)
			}
		}
		if len(w.seen) != len(calm.seen) {
			t.Fatalf("seed %d: %d offsets are seen, want %d", seed, len(w.seen), len(calm.seen))
		}
		undone += w.undone
	}
	if crashes < 1000 || again < 300 || undone < 200 {
		t.Fatalf("too easy: %d crashes, %d blocks formed again, %d transactions undone", crashes, again, undone)
	}
}

// Intent, then the store, then the transaction, which holds the commit; a block of which nothing is published is committed plainly.
func TestOrderOfATransaction(t *testing.T) {
	w := newWorld()
	w.atomic = true
	at := func(o int64) event.Position { return event.Position{Topic: "t", Partition: 1, Offset: o} }
	w.log = []entry{
		{offset: 0, row: &event.Row{Offset: 0, Asset: "a", Time: 1e9, Values: []float64{1, 2}}},
		{offset: 1, reject: &event.DeadLetter{Record: event.Record{Position: at(1)}, Pipeline: "p", Reason: event.ReasonMalformed}},
	}
	p, _, err := w.line(t, small()).Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for next := int64(1); next <= 2; next++ {
		if err := errors.Join(p.Handle(t.Context(), w.batch(next-1, next)), p.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(w.order, " "); got != "commit readings commit commit deadletters transaction" {
		t.Errorf("the order is %s", got)
	}
}

// Rows that the store refuses are published in the block's own transaction.
func TestRefusedRowsInATransaction(t *testing.T) {
	w, sink := newWorld(), &picky{refuse: map[int64]string{3: "too odd"}}
	w.atomic = true
	cfg := Default()
	cfg.Pipeline, cfg.Signals = "p", []string{"a"}
	line, err := New(cfg, Judge{}, Outlets{Sink: sink, Publisher: w}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := w.assignment()
	a.Read = func(_ context.Context, offsets []int64) (rs []event.Record, err error) {
		for _, o := range offsets {
			rs = append(rs, event.Record{Position: event.Position{Topic: "t", Offset: o}, Value: fmt.Appendf(nil, "bytes of %d", o)})
		}
		return rs, nil
	}
	p, _, err := line.Open(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	b := &event.Batch{Topic: "t", Partition: 1, Next: 6}
	for o := range int64(5) {
		b.Rows = append(b.Rows, event.Row{Offset: o, Asset: "x", Time: o, Values: []float64{1}})
	}
	b.Rejects = []event.DeadLetter{{Record: event.Record{Position: event.Position{Topic: "t", Partition: 1, Offset: 5}}, Pipeline: "p", Reason: event.ReasonMalformed}}
	if err := errors.Join(p.Handle(t.Context(), b), p.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if len(w.sent) > 0 || len(w.seen) != 2 || w.seen[3] != 1 || w.seen[5] != 1 || w.committed != 6 {
		t.Errorf("sent %v, seen %v, committed %d", w.sent, w.seen, w.committed)
	}
}

// After a crash between store and transaction, under other settings, what the store holds is not stored again, but it is published.
func TestOtherSettingsInATransaction(t *testing.T) {
	w := newWorld()
	w.atomic = true
	rng := rand.New(rand.NewPCG(3, 3))
	w.log, w.end = randomLog(rng, 60, 2, 2)
	cfg := small()
	cfg.Flush.Rows = 1000
	line := w.line(t, cfg)
	w.model = fits(line, "m1")
	p, _, err := line.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Handle(t.Context(), w.batch(0, w.end)); err != nil {
		t.Fatal(err)
	}
	want := len(p.block.Scores) + len(p.block.DeadLetters)
	w.fuse = 1 + 4 // the intent, the four tables; the transaction's first step
	if err := p.Flush(t.Context()); !errors.Is(err, errCrash) || w.committed != 0 || len(w.tables["scores"]) != 1 {
		t.Fatalf("crashed with %v at %d", err, w.committed)
	}
	w.fuse = -1
	cfg.Source = "other"
	l, err := New(cfg, line.judge, Outlets{settled{w, w.end}, w, w, w}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stored := len(w.stored(t))
	if err := w.run(t.Context(), l, rng); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, n := range w.seen {
		seen += n
	}
	if seen != want || len(w.stored(t)) != stored {
		t.Errorf("%d are seen, want %d; %d rows, were %d", seen, want, len(w.stored(t)), stored)
	}
}

// settled is a world that holds all offsets below next.
type settled struct {
	*world
	next int64
}

func (s settled) Held(context.Context, string, string, int32, int64, int64) (handled, scored []int64, err error) {
	for o := range s.next {
		handled = append(handled, o)
	}
	return handled, handled, nil
}
