package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"andon/event"
	"andon/scorer"
)

// loop is what a closed loop of callers took, of each round.
type loop struct {
	perSecond, cpu, p95, run []float64 // scores a second, CPU µs a score, µs, windows a run as the mean window saw it
}

// callers has many callers who score one window at a time, each as soon as its last is scored: with dynamic batches of the default configuration, and with max_batch 1.
func callers(ctx context.Context, out io.Writer, nets []*loaded, o options) error {
	fmt.Fprintln(out, "| network | callers | scores/s: batched | single | ratio | CPU µs a score: batched | single | p95 µs: batched | single | ratio | windows a run |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|")
	for _, n := range nets {
		for _, many := range []int{8, 32, 64} {
			if err := compare(ctx, out, n, many, o); err != nil {
				return fmt.Errorf("%s, %d callers: %w", n.name, many, err)
			}
		}
	}
	return nil
}

func compare(ctx context.Context, out io.Writer, n *loaded, many int, o options) error {
	var loops [2]loop
	var scorers [2]*scorer.Scorer
	for i, change := range []func(*scorer.Config){func(*scorer.Config) {}, func(c *scorer.Config) { c.MaxBatch = 1 }} {
		s, err := newScorer(change)
		if err != nil {
			return err
		}
		defer s.Close()
		scorers[i] = s
	}
	for round := range o.rounds + 1 {
		for i := range loops {
			i = (i + round) % 2
			if err := loops[i].turn(ctx, scorers[i], n, many, 2*o.turn, round > 0); err != nil {
				return err
			}
		}
	}
	b, s := &loops[0], &loops[1]
	fmt.Fprintf(out, "| %s | %d | %.0f | %.0f | %.2f | %.1f | %.1f | %.0f | %.0f | %.2f | %.1f |\n", n.name, many, median(b.perSecond), median(s.perSecond),
		median(ratios(b.perSecond, s.perSecond)), median(b.cpu), median(s.cpu), median(b.p95), median(s.p95), median(ratios(b.p95, s.p95)), median(b.run))
	return nil
}

func (l *loop) turn(ctx context.Context, s *scorer.Scorer, n *loaded, many, windows int, keep bool) error {
	var left atomic.Int64
	left.Store(int64(windows))
	times, errs, batch := make([][]time.Duration, many), make([]error, many), make([]float64, many)
	var wg sync.WaitGroup
	c0, t0 := cpu(), time.Now()
	for g := range many {
		wg.Go(func() {
			size, at := n.length*n.width, g%most
			out := make([]event.Verdict, 1)
			for left.Add(-1) >= 0 {
				t := time.Now()
				if errs[g] = s.Score(ctx, n.Model, n.windows[at*size:(at+1)*size], out); errs[g] != nil {
					return
				}
				times[g], batch[g] = append(times[g], time.Since(t)), batch[g]+float64(out[0].Batch)
			}
		})
	}
	wg.Wait()
	spent, took := cpu()-c0, time.Since(t0)
	if err := errors.Join(errs...); err != nil || !keep {
		return err
	}
	scores, sum := float64(windows), 0.0
	for _, b := range batch {
		sum += b
	}
	l.perSecond, l.cpu = append(l.perSecond, scores/took.Seconds()), append(l.cpu, us(spent)/scores)
	l.p95, l.run = append(l.p95, us(percentile(slices.Concat(times...), 95))), append(l.run, sum/scores)
	return nil
}
