package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"andon/event"
	"andon/scorer"
)

// way is one who scores the same windows: runs calls of batch windows a turn.
type way struct {
	name string
	turn func(runs int) (cpu time.Duration, times []time.Duration, err error)

	perSecond []float64 // scores per CPU-second, of each round
	times     []time.Duration
}

// batches sets calls of one size through the scorer beside the bare loops in Go and Python. One caller and one worker: what is compared is what a run costs, at equal
// batch. 256 windows come twice: in one run, and cut at the default's 32, beside bare loops of 32.
func batches(ctx context.Context, out io.Writer, nets []*loaded, py *python, o options) error {
	fmt.Fprintln(out, "| network | windows a call | scores per CPU-second: scorer | Go | Python | of Go's loop | of Python's | p50, p99 µs a call: scorer | Go | Python |\n"+
		"|---|---|---|---|---|---|---|---|---|---|")
	for _, n := range nets {
		for _, c := range []struct{ windows, maxBatch int }{{1, 32}, {8, 32}, {32, 32}, {256, 256}, {256, 32}} {
			if err := batch(ctx, out, n, py, c.windows, c.maxBatch, o); err != nil {
				return fmt.Errorf("%s, %d windows: %w", n.name, c.windows, err)
			}
		}
	}
	return nil
}

func batch(ctx context.Context, out io.Writer, n *loaded, py *python, windows, maxBatch int, o options) error {
	s, err := newScorer(func(c *scorer.Config) { c.MaxBatch, c.Workers = maxBatch, 1 })
	if err != nil {
		return err
	}
	defer s.Close()
	size := min(windows, maxBatch)
	loop, err := newBare(n.Model, n.windows, size)
	if err != nil {
		return err
	}
	defer loop.Close()
	verdicts := make([]event.Verdict, windows)
	x := n.windows[:windows*n.length*n.width]
	timed := func(call func() error) func(int) (time.Duration, []time.Duration, error) {
		return func(runs int) (time.Duration, []time.Duration, error) {
			times := make([]time.Duration, 0, runs)
			c0, last := cpu(), time.Now()
			for range runs {
				if err := call(); err != nil {
					return 0, nil, err
				}
				now := time.Now()
				times, last = append(times, now.Sub(last)), now
			}
			return cpu() - c0, times, nil
		}
	}
	ways := []*way{
		{name: "scorer", turn: timed(func() error { return s.Score(ctx, n.Model, x, verdicts) })},
		{name: "Go", turn: timed(func() error {
			for range windows / size {
				if err := loop.Run(); err != nil {
					return err
				}
			}
			return nil
		})},
	}
	if py != nil {
		ways = append(ways, &way{name: "Python", turn: func(runs int) (time.Duration, []time.Duration, error) {
			a, err := py.do(map[string]any{"do": "turn", "name": n.name, "batch": size, "runs": runs * windows / size})
			return a.CPU, together(a.Times, windows/size), err
		}})
	}
	runs := max(1, o.turn/windows)
	for round := range o.rounds + 1 {
		for i := range ways {
			w := ways[(round+i)%len(ways)]
			spent, times, err := w.turn(runs)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if round > 0 { // the first warms all up
				w.perSecond, w.times = append(w.perSecond, float64(runs*windows)/spent.Seconds()), append(w.times, times...)
			}
		}
	}
	row := fmt.Sprintf("| %s | %d", n.name, windows)
	if size < windows {
		row += fmt.Sprintf(", cut at %d", size)
	}
	row += cells(ways, func(w *way) string { return fmt.Sprintf("%.0f", median(w.perSecond)) })
	row += fmt.Sprintf(" | %.1f %%", 100*median(ratios(ways[0].perSecond, ways[1].perSecond)))
	if py != nil {
		row += fmt.Sprintf(" | %.1f %%", 100*median(ratios(ways[0].perSecond, ways[2].perSecond)))
	} else {
		row += " | –"
	}
	row += cells(ways, func(w *way) string {
		return fmt.Sprintf("%.0f, %.0f", us(median(w.times)), us(percentile(w.times, 99)))
	})
	fmt.Fprintln(out, row+" |")
	return nil
}

// together adds up every k times.
func together(times []time.Duration, k int) []time.Duration {
	var sums []time.Duration
	for i := 0; i+k <= len(times); i += k {
		sum := time.Duration(0)
		for _, t := range times[i : i+k] {
			sum += t
		}
		sums = append(sums, sum)
	}
	return sums
}

// cells are the table's cells of the scorer, Go and Python, which may be missing.
func cells(ways []*way, of func(*way) string) (row string) {
	for _, w := range ways {
		row += " | " + of(w)
	}
	if len(ways) < 3 {
		row += " | –"
	}
	return row
}
