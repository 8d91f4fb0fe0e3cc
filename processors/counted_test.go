package processors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// telling is a world that tells what it holds.
type telling struct{ *world }

func (s telling) Held(_ context.Context, _, _ string, _ int32, first, next int64) (handled, scored []int64, err error) {
	err = s.step(func() {
		for table, inserts := range s.tables {
			for at, rows := range inserts {
				for _, r := range rows {
					var o int64
					fmt.Sscanf(r, "@%d", &o)
					switch {
					case table == "handled":
						for o := max(at.first, first); o < min(at.next, next); o++ {
							handled = append(handled, o)
						}
					case o < first || o >= next:
					case table == "scores":
						scored = append(scored, o)
					default:
						handled = append(handled, o)
					}
				}
			}
		}
	})
	return handled, scored, err
}

// A pipeline that counts its readings accounts for each offset once, wherever it crashes, also when it is told to store them, or no longer to, between
// two starts; and each row that was taken is published.
func TestCountedExactlyOnce(t *testing.T) {
	ctx := context.Background()
	crashes, changed, counted := 0, 0, 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		cfg := small()
		cfg.Snapshot.Records = 0
		w := newWorld()
		w.publishes = true
		w.log, w.end = randomLog(rng, 200, 1+rng.IntN(4), 2)
		w.rng = rng
		calm := newWorld()
		calm.log, calm.end = w.log, w.end
		if err := calm.run(ctx, calm.line(t, cfg), rng); err != nil {
			t.Fatal(err)
		}
		cfg.Readings.Publish = true
		cfg.Readings.Store = rng.IntN(2) == 0
		for tries := 0; ; tries++ {
			if tries == 10000 {
				t.Fatalf("seed %d: does not end", seed)
			}
			if rng.IntN(3) == 0 {
				cfg.Readings.Store = !cfg.Readings.Store
				changed++
			}
			cfg.Flush.Rows = 1 + rng.IntN(60)
			w.fuse = rng.IntN(30) - 2
			l, err := New(cfg, Judge{Scorer: w, Live: func() *model.Model { return nil }}, Outlets{telling{w}, w, w, w}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(io.Discard, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if err = w.run(ctx, l, rng); err == nil && w.committed == w.end {
				break
			}
			if crashes++; err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if got, want := w.kinds(t), calm.kinds(t); got != want {
			t.Fatalf("seed %d: %s, want %s", seed, got, want)
		}
		for _, rows := range calm.tables["readings"] {
			for _, r := range rows {
				var o int64
				fmt.Sscanf(r, "@%d", &o)
				if taken := statusOf(r) == event.StatusOK; taken != (w.read[o] > 0) {
					t.Fatalf("seed %d: %s was published %d times", seed, r, w.read[o])
				}
			}
		}
		counted += len(w.tables["handled"])
	}
	if crashes < 500 || changed < 200 || counted < 500 {
		t.Fatalf("too easy: %d crashes, %d changes of the settings, %d blocks counted", crashes, changed, counted)
	}
}

func statusOf(reading string) (s event.Status) {
	_, rest, _ := strings.Cut(reading, "status=")
	fmt.Sscanf(rest, "%d", &s)
	return s
}

// kinds counts what became of the records by what is stored, and fails on an offset that is accounted for twice, or whose block counts other dead letters than there are.
func (w *world) kinds(t *testing.T) string {
	t.Helper()
	var ok, duplicate, filtered, labels, dead int
	seen, letters := map[int64]string{}, map[int64]bool{}
	claim := func(o int64, by string) {
		if seen[o] != "" {
			t.Fatalf("offset %d is in %s and in %s", o, seen[o], by)
		}
		seen[o] = by
	}
	for table, inserts := range w.tables {
		for _, rows := range inserts {
			for _, r := range rows {
				var o int64
				fmt.Sscanf(r, "@%d", &o)
				switch table {
				case "readings":
					claim(o, table)
					switch statusOf(r) {
					case event.StatusOK:
						ok++
					case event.StatusDuplicate:
						duplicate++
					case event.StatusFiltered:
						filtered++
					}
				case "labels":
					labels++
				case "deadletters":
					dead++
					letters[o] = true
				}
			}
		}
	}
	for at, rows := range w.tables["handled"] {
		var first, next int64
		var a, b, c, d, held int
		if _, err := fmt.Sscanf(rows[0], "@%d-%d ok=%d duplicate=%d filtered=%d dead=%d", &first, &next, &a, &b, &c, &d); err != nil || first != at.first || next != at.next {
			t.Fatalf("%s: %v", rows[0], err)
		}
		ok, duplicate, filtered = ok+a, duplicate+b, filtered+c
		for o := first; o < next; o++ {
			claim(o, "handled")
			if letters[o] {
				held++
			}
		}
		if held != d {
			t.Fatalf("%s: there are %d dead letters", rows[0], held)
		}
	}
	return fmt.Sprintf("ok=%d duplicate=%d filtered=%d labels=%d dead=%d", ok, duplicate, filtered, labels, dead)
}
