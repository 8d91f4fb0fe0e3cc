package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"andon/event"
	"andon/model"
	"andon/scorer"
)

const (
	// stretch is the number of swaps after which as long a time goes without any.
	stretch = 10
	// share is the load during swaps, of what the same callers get when each calls as soon as it can.
	share = 0.3
	// sources is the number of callers, of one window each.
	sources = 8
)

// swaps moves a pipeline's champion under a constant load: every other move is a rollback. The old model is freed soon after, so that every move has to load, check and warm
// the other one from its file, which a rollback within scorer.grace is spared.
func swaps(ctx context.Context, out io.Writer, nets []*loaded, o options) error {
	fmt.Fprintln(out, "| network | load, calls/s | swaps | of which loaded | calls | failed | wrong | p50, p99 µs steady | p50, p99 µs swapping | p99 ratio | swap p50, max ms | rollback p50, max ms |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, n := range nets {
		if err := swap(ctx, out, n, o); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// house is what of the appliance swaps models, wired as it wires them.
type house struct {
	judge  *scorer.Scorer
	models *model.Registry
	// versions alternate; want is what each says of the windows.
	versions [2]*model.Model
	want     map[string][]float32
	loads    atomic.Int64
}

func newHouse(n *loaded, dir string, grace time.Duration) (*house, error) {
	judge, err := newScorer(func(c *scorer.Config) { c.Grace = grace })
	if err != nil {
		return nil, err
	}
	h := &house{judge: judge, want: map[string][]float32{}}
	if err := h.fill(n, dir); err != nil {
		judge.Close()
		return nil, err
	}
	return h, nil
}

func (h *house) fill(n *loaded, dir string) (err error) {
	if h.models, err = model.Open(dir); err != nil {
		return err
	}
	h.models.Prepare(func(ctx context.Context, m *model.Model) error {
		if !h.judge.Loaded(m.Version) {
			h.loads.Add(1)
		}
		return h.judge.Load(ctx, m)
	})
	h.models.OnChange(func(m model.Move) {
		if m.From != "" && len(h.models.Aliases(m.Pipeline, m.From)) == 0 {
			h.judge.Retire(m.From)
		}
	})
	for i := range h.versions {
		m, err := n.seal(uint64(i + 1))
		if err != nil {
			return err
		}
		b, err := newBare(m, n.windows, sources)
		if err != nil {
			return err
		}
		defer b.Close()
		if err := b.Run(); err != nil {
			return err
		}
		h.versions[i], h.want[m.Version] = m, b.value
		if err := h.models.Add(m); err != nil {
			return err
		}
	}
	return h.models.Promote("pumps", h.versions[0].Version, "bench", "the first")
}

// tally is what the callers saw; phase 0 is steady, 1 swapping.
type tally struct {
	sync.Mutex
	times         [2][]time.Duration
	calls         int
	failed, wrong int
	err           error
}

func swap(ctx context.Context, out io.Writer, n *loaded, o options) error {
	dir, err := os.MkdirTemp("", "scorer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h, err := newHouse(n, dir, o.every/2)
	if err != nil {
		return err
	}
	defer h.judge.Close()
	pace, err := h.calibrate(ctx, n)
	if err != nil {
		return err
	}
	period := time.Duration(float64(sources) / (share * pace) * float64(time.Second))
	var (
		t     tally
		phase atomic.Int32
		stop  atomic.Bool
		wg    sync.WaitGroup
	)
	begun := time.Now()
	for g := range sources {
		wg.Go(func() {
			h.call(ctx, n, g, begun.Add(period*time.Duration(g)/sources), period, &phase, &stop, &t)
		})
	}
	var moves, rollbacks, steady, swapping, steady50, swapping50, ratio []float64
	h.loads.Store(0)
	time.Sleep(stretch * o.every / 2) // until it runs evenly; not counted
	for done := 0; err == nil && done < o.swaps; {
		t.take()
		time.Sleep(stretch * o.every)
		quiet := t.take()[0]
		phase.Store(1)
		for range min(stretch, o.swaps-done) {
			next := time.Now().Add(o.every)
			var took time.Duration
			if took, err = h.move(ctx, n, done); err != nil {
				break
			}
			if done++; done%2 == 0 {
				rollbacks = append(rollbacks, us(took)/1e3)
			} else {
				moves = append(moves, us(took)/1e3)
			}
			time.Sleep(time.Until(next))
		}
		busy := t.take()[1]
		phase.Store(0)
		steady, swapping = append(steady, us(percentile(quiet, 99))), append(swapping, us(percentile(busy, 99)))
		steady50, swapping50 = append(steady50, us(median(quiet))), append(swapping50, us(median(busy)))
	}
	stop.Store(true)
	wg.Wait()
	if err != nil {
		return err
	}
	ratio = ratios(swapping, steady)
	fmt.Fprintf(out, "| %s | %.0f | %d | %d | %d | %d | %d | %.0f, %.0f | %.0f, %.0f | %.2f | %.1f, %.1f | %.1f, %.1f |\n", n.name, share*pace, o.swaps, h.loads.Load(), t.calls, t.failed,
		t.wrong, median(steady50), median(steady), median(swapping50), median(swapping), median(ratio), median(moves), percentile(moves, 100), median(rollbacks),
		percentile(rollbacks, 100))
	if t.err != nil {
		return fmt.Errorf("%d of %d calls failed and %d gave another model's verdict, the first: %w", t.failed, t.calls, t.wrong, t.err)
	}
	return nil
}

// move makes move number i and returns how long it took until the first verdict of the model that it went to.
func (h *house) move(ctx context.Context, n *loaded, i int) (time.Duration, error) {
	start := time.Now()
	var err error
	if i%2 == 0 {
		err = h.models.Promote("pumps", h.versions[1].Version, "bench", "its turn")
	} else {
		_, err = h.models.Rollback(ctx, "pumps", model.Champion, "bench", "its turn")
	}
	if err != nil {
		return 0, err
	}
	m, verdict := h.models.Live("pumps"), make([]event.Verdict, 1)
	if want := h.versions[(i+1)%2].Version; m.Version != want {
		return 0, fmt.Errorf("move %d made %s live, not %s", i, m.Version, want)
	}
	err = h.judge.Score(ctx, m, n.windows[:n.length*n.width], verdict)
	return time.Since(start), err
}

// calibrate returns the calls a second that the callers get when each calls as soon as it can.
func (h *house) calibrate(ctx context.Context, n *loaded) (float64, error) {
	live := *n
	live.Model = h.versions[0]
	var l loop
	for range 5 {
		if err := l.turn(ctx, h.judge, &live, sources, 2000, true); err != nil {
			return 0, err
		}
	}
	return median(l.perSecond), nil
}

// call is one caller: one window every period with the model that is live. A call that is late because the one before was slow counts from when it was due.
func (h *house) call(ctx context.Context, n *loaded, g int, due time.Time, period time.Duration, phase *atomic.Int32, stop *atomic.Bool, t *tally) {
	size, verdict := n.length*n.width, make([]event.Verdict, 1)
	x := n.windows[g*size : (g+1)*size]
	for ; !stop.Load(); due = due.Add(period) {
		from := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			from = time.Now()
		}
		m, p := h.models.Live("pumps"), phase.Load()
		err := h.judge.Score(ctx, m, x, verdict)
		took := time.Since(from)
		t.add(p, took, err, m, verdict[0].Value, h.want[m.Version][g])
	}
}

func (t *tally) add(phase int32, took time.Duration, err error, m *model.Model, got, want float32) {
	t.Lock()
	defer t.Unlock()
	t.calls++
	switch {
	case err != nil:
		t.failed++
	case math.Abs(float64(got-want)) > tolerance:
		t.wrong++
		err = fmt.Errorf("model %s says %v of a window, and %v here", m.Version, want, got)
	default:
		t.times[phase] = append(t.times[phase], took)
	}
	if t.err == nil {
		t.err = err
	}
}

// take returns what was timed since the last.
func (t *tally) take() [2][]time.Duration {
	t.Lock()
	defer t.Unlock()
	times := t.times
	t.times = [2][]time.Duration{}
	return times
}
