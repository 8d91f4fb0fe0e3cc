package processors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A part of the past is scored anew: through any crash, it gives what the live line gave of that part, once, and nothing but scores.
func TestRescore(t *testing.T) {
	ctx := context.Background()
	scores, crashes, again := 0, 0, 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		cfg := small()
		cfg.Snapshot.Records = 0
		cfg.Features.Horizon = 2 * time.Minute
		live := newWorld()
		live.log, live.end = randomLog(rng, 300, 1+rng.IntN(5), 2)
		line := live.line(t, cfg)
		live.model = fits(line, "m1")
		if err := live.run(ctx, line, rng); err != nil {
			t.Fatal(err)
		}

		first := rng.Int64N(live.end)
		span := &Rescore{From: rng.Int64N(200) * 1e9}
		span.To = span.From + 1 + rng.Int64N(800)*1e9
		var want []string
		for _, row := range live.stored(t) {
			var offset int64
			var asset string
			var begin, end float64
			if n, _ := fmt.Sscanf(row, "scores @%d %s [%g,%g)", &offset, &asset, &begin, &end); n == 4 && offset >= first && span.wants(int64(end*1e9)) {
				want = append(want, row)
			}
		}

		w := newWorld()
		w.log, w.end, w.rng, w.model = live.log, live.end, rng, live.model
		w.committed, w.note = first, Begin(0)
		cfg.Rescore = span
		for tries := 0; ; tries++ {
			if tries == 10000 {
				t.Fatalf("seed %d: does not end", seed)
			}
			cfg.Flush.Rows = 1 + rng.IntN(100)
			cfg.ScoreChunk = 1 + rng.IntN(8)
			if strings.Contains(w.note, "intent") {
				again++
			}
			w.fuse = rng.IntN(10) - 2
			err := w.run(ctx, w.line(t, cfg), rng)
			if err == nil && w.committed == w.end {
				break
			}
			if crashes++; err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if got := w.stored(t); !slices.Equal(want, got) {
			t.Fatalf("seed %d: from @%d, windows [%d, %d): stored %d\n%s\nwant %d\n%s", seed, first, span.From, span.To, len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
		}
		scores += len(want)
	}
	if scores < 1000 || crashes < 200 || again < 100 {
		t.Fatalf("too easy: %d scores, %d crashes, %d blocks formed again", scores, crashes, again)
	}
}

func TestRescoreConfig(t *testing.T) {
	fault := func(change func(*Config), want string) {
		t.Helper()
		c := small()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	fault(func(c *Config) { c.Rescore = &Rescore{From: 5e9, To: 5e9} }, "rescore: from 1970-01-01T00:00:05Z to 1970-01-01T00:00:05Z is no range")
	fault(func(c *Config) { c.Rescore, c.Features = &Rescore{To: 1}, nil }, "rescore: the pipeline makes no windows")
}
