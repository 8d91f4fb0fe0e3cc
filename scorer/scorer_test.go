package scorer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seal makes a model of an ONNX file that takes windows of length by width.
func seal(t testing.TB, file []byte, length, width int) *model.Model {
	t.Helper()
	r := model.Recipe{Grid: time.Hour, Length: length, Smooth: 1}
	for i := range width {
		r.Signals = append(r.Signals, string(rune('A'+i)))
	}
	m, err := model.Seal(file, model.Meta{Pipeline: "p", Task: model.RemainingLife, Recipe: r})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start makes a scorer of the default configuration but for what change does.
func start(t testing.TB, change func(*Config)) *Scorer {
	t.Helper()
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := New(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	t.Cleanup(s.Close)
	return s
}

// fill returns n numbers that look like scaled readings.
func fill(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32((i*7919)%97)/48 - 1
	}
	return v
}

// hold takes all workers' places away, so that calls queue until the returned function gives them back.
func hold(s *Scorer) (release func()) {
	s.mu.Lock()
	n := s.idle
	s.idle = 0
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.idle = n
		if s.rows > 0 {
			s.idle--
			s.helpLocked()
		}
	}
}

// queued waits until so many windows wait for a run.
func queued(t *testing.T, s *Scorer, rows int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d windows queued", rows), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.rows == rows
	})
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// number returns what a counter or gauge says.
func number(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func TestScoreEqualsSession(t *testing.T) {
	orttest.Open(t)
	const length, width, n = 12, 5, 150
	m := seal(t, orttest.GRU(length, width, 16, 2, 3), length, width)
	direct, err := ort.NewSession(m.ONNX, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	x, err := ort.NewTensor[float32](n, length, width)
	value, err1 := ort.NewTensor[float32](n, 1)
	risk, err2 := ort.NewTensor[float32](n, 1)
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	defer value.Close()
	defer risk.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x.Data() {
		x.Data()[i] = float32(rng.NormFloat64())
	}
	if err := direct.Run([]ort.Value{x}, []ort.Value{value, risk}); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 3} {
		s := start(t, func(c *Config) { c.Workers, c.MaxBatch = workers, 16 })
		out := make([]event.Verdict, n)
		for at, size := 0, 1; at < n; at, size = at+size, size*2 {
			size = min(size, n-at)
			if err := s.Score(t.Context(), m, x.Data()[at*length*width:(at+size)*length*width], out[at:at+size]); err != nil {
				t.Fatal(err)
			}
		}
		for i, v := range out {
			if math.Abs(float64(v.Value-value.Data()[i])) > 1e-6 || math.Abs(float64(v.Risk-risk.Data()[i])) > 1e-6 {
				t.Errorf("%d workers: window %d is %v, direct run says %v %v", workers, i, v, value.Data()[i], risk.Data()[i])
			}
		}
	}
}

// Each verdict names the run that it came from.
func TestVerdictsNameTheirRun(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	s := start(t, func(c *Config) { c.Workers, c.MaxBatch = 1, 2 })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	release := hold(s)
	out, done := make([]event.Verdict, 5), make(chan error)
	go func() { done <- s.Score(t.Context(), m, make([]float32, 5), out) }()
	queued(t, s, 5)
	const held = 20 * time.Millisecond
	time.Sleep(held)
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i, batch := range []uint32{2, 2, 2, 2, 1} {
		v := out[i].Run
		if v.Batch != batch || v.Compute <= 0 || v.Queue < int64(held) || i > 0 && v.Queue < out[i-1].Queue || i == 4 && v.Queue < out[0].Queue+out[0].Compute {
			t.Errorf("window %d: %+v after %+v", i, v, out[0].Run)
		}
	}
}

// Many callers of many sizes must each get the verdicts of their own windows, whatever shares a run with them.
func TestConcurrentCallers(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(2, 2, 0), 2, 2)
	for _, c := range []Config{
		{MaxBatch: 1, Workers: 2, Queue: 4},
		{MaxBatch: 7, Workers: 1, Queue: 100},
		{MaxBatch: 32, Workers: 2, Queue: 100},
		{MaxBatch: 32, Workers: 3, Queue: 100, MaxDelay: time.Millisecond},
	} {
		t.Run(fmt.Sprintf("max_batch=%d,workers=%d,max_delay=%v", c.MaxBatch, c.Workers, c.MaxDelay), func(t *testing.T) {
			s := start(t, func(d *Config) {
				d.MaxBatch, d.Workers, d.Queue, d.MaxDelay = c.MaxBatch, c.Workers, c.Queue, c.MaxDelay
			})
			var wg sync.WaitGroup
			var total atomic.Int64
			for g := range 8 {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(g), 0))
					for range 100 {
						n := 1 + rng.IntN(3)
						if rng.IntN(10) == 0 {
							n = 1 + rng.IntN(100)
						}
						windows, out := make([]float32, n*4), make([]event.Verdict, n)
						for i := range windows {
							windows[i] = float32(rng.IntN(1000))
						}
						if err := s.Score(t.Context(), m, windows, out); err != nil {
							t.Error(err)
							return
						}
						total.Add(int64(n))
						for i, v := range out {
							if want := windows[4*i] + windows[4*i+1] + windows[4*i+2] + windows[4*i+3]; v.Value != want {
								t.Errorf("window %d of %d is %v, want %v", i, n, v.Value, want)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			if n := number(t, s.metrics.scores.WithLabelValues("p")); n != float64(total.Load()) {
				t.Errorf("%v scores counted, %d made", n, total.Load())
			}
			eventually(t, "at rest", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				q := s.queues[m.Version]
				return s.idle == c.Workers && s.rows == 0 && q.inUse == 0 && q.flying == 0
			})
		})
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(4, 3, 0), 4, 3)
	s := start(t, nil)
	for _, n := range []int{1, 20} {
		windows, out := fill(n*12), make([]event.Verdict, n)
		score := func() {
			if err := s.Score(context.Background(), m, windows, out); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			score()
		}
		// Some: a helper's goroutine now and then, and a pool that the collector empties.
		if allocs := testing.AllocsPerRun(200, score); allocs > 1 {
			t.Errorf("a call of %d windows allocates %v times", n, allocs)
		}
	}
}

// A short call that comes after a long one shares the long one's next run.
func TestShortCallsPassLongOnes(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	s := start(t, func(c *Config) { c.Workers, c.MaxBatch = 1, 8 })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	release := hold(s)
	var wg sync.WaitGroup
	call := func(n int) {
		wg.Go(func() {
			if err := s.Score(t.Context(), m, make([]float32, n), make([]event.Verdict, n)); err != nil {
				t.Error(err)
			}
		})
	}
	call(100)
	queued(t, s, 100)
	call(3)
	queued(t, s, 103)
	s.mu.Lock()
	first := s.takeLocked(s.nextLocked())
	second := s.takeLocked(s.nextLocked())
	if len(first.parts) != 1 || first.n != 8 || len(second.parts) != 2 || second.parts[0].n != 3 || second.parts[1].n != 5 || second.parts[1].at != 8 {
		t.Errorf("first run %d of %+v, second %d of %+v", first.n, first.parts, second.n, second.parts)
	}
	s.mu.Unlock()
	for _, b := range []*batch{first, second} {
		b.err = s.run(b)
		s.mu.Lock()
		s.finishLocked(b)
		s.mu.Unlock()
	}
	release()
	wg.Wait()
}

func TestRunSizes(t *testing.T) {
	s := &Scorer{cfg: Config{Workers: 2}}
	want := func(rows, flying, even int) {
		t.Helper()
		if got := s.evenLocked(&queue{session: &session{maxBatch: 32}, rows: rows, flying: flying}); got != even {
			t.Errorf("%d queued, %d in runs: even %d, want %d", rows, flying, got, even)
		}
	}
	want(1, 0, 1)
	want(2, 0, 1)
	want(1, 1, 1)
	want(2, 6, 4)
	want(40, 0, 20)
	want(20, 20, 20)
	want(1000, 0, 32)
}

// While a run is on, the next gathers those that may come back, and no longer than until nothing is on.
func TestGather(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	s := start(t, func(c *Config) { c.Workers, c.MaxBatch, c.MaxDelay = 2, 8, time.Second })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	call := func() {
		wg.Go(func() {
			if err := s.Score(t.Context(), m, make([]float32, 1), make([]event.Verdict, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	release := hold(s)
	for range 6 {
		call()
	}
	queued(t, s, 6)
	s.mu.Lock()
	b := s.takeLocked(s.nextLocked()) // 3 of 6, by hand
	s.mu.Unlock()
	if b.n != 3 {
		t.Fatalf("took %d", b.n)
	}
	b.err = s.run(b)
	s.mu.Lock()
	q := s.queues[m.Version]
	q.rows -= 2 // as if one were left: fewer than the other worker has
	if q.rows >= s.evenLocked(q) {
		t.Errorf("%d queued are enough beside %d in runs", q.rows, q.flying)
	}
	go func() {
		eventually(t, "gathering", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return q.gathering
		})
		s.mu.Lock()
		q.rows += 2
		s.rows += 2
		s.finishLocked(b)
		s.mu.Unlock()
	}()
	s.rows -= 2
	began := time.Now()
	if !s.gatherLocked(q) || q.flying != 0 || q.rows != 3 {
		t.Errorf("gathered after %v: %d in runs, %d queued", time.Since(began), q.flying, q.rows)
	}
	s.mu.Unlock()
	release()
	wg.Wait()
}

func TestCancelledCalls(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	s := start(t, func(c *Config) { c.Queue, c.MaxBatch = 2, 4 })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	release := hold(s)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	for range 3 { // two inside, one at the door
		go func() { errs <- s.Score(ctx, m, make([]float32, 10), make([]event.Verdict, 10)) }()
	}
	queued(t, s, 20)
	cancel()
	for range 3 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled call: %v", err)
		}
	}
	queued(t, s, 0)
	release()
	if err := s.Score(ctx, m, make([]float32, 1), make([]event.Verdict, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("call of a cancelled context: %v", err)
	}
	if err := s.Score(t.Context(), m, make([]float32, 10), make([]event.Verdict, 10)); err != nil {
		t.Errorf("next call: %v", err)
	}
	if n := number(t, s.metrics.failures.WithLabelValues("p")); n != 0 {
		t.Errorf("%v failures counted", n)
	}

	// Cancelled while windows are in runs: a call ends with all verdicts or with the context's error, and leaves nothing behind.
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(i*g)*time.Microsecond, cancel)
				windows, out := fill(200), make([]event.Verdict, 200)
				err := s.Score(ctx, m, windows, out)
				cancel()
				if err != nil && !errors.Is(err, context.Canceled) || err == nil && out[199].Value != windows[199] {
					t.Errorf("cancelled in the middle: %v", err)
				}
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[m.Version]; s.rows != 0 || q.rows != 0 || q.inUse != 0 || q.head != nil {
		t.Errorf("left behind: %d windows, %d calls", s.rows, q.inUse)
	}
}

func TestWrongSizes(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(2, 3, 0), 2, 3)
	s := start(t, nil)
	if err := s.Score(t.Context(), m, make([]float32, 13), make([]event.Verdict, 2)); err == nil || !strings.Contains(err.Error(), "13 numbers are not 2 windows of 2x3") {
		t.Errorf("wrong size: %v", err)
	}
	if err := s.Score(t.Context(), m, nil, nil); err != nil {
		t.Errorf("no windows: %v", err)
	}
}

// A verdict that is no number fails its own call, by name and row, and not the calls that shared the run.
func TestNotFinite(t *testing.T) {
	orttest.Open(t)
	g := orttest.Scoring(1, 1)
	column := g.Op("Reshape", []string{"window", g.Ints("shape", -1, 1)})
	g.Node("Sqrt", []string{g.Op("Add", []string{column, g.Floats("ten", nil, []float32{10})})}, []string{"value"})
	g.Node("Sigmoid", []string{column}, []string{"risk"})
	m := seal(t, g.Model(), 1, 1)
	s := start(t, func(c *Config) { c.Workers = 1 })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	release := hold(s)
	good, bad := make(chan error), make(chan error)
	out := make([]event.Verdict, 5)
	go func() { good <- s.Score(t.Context(), m, make([]float32, 5), out) }()
	queued(t, s, 5)
	go func() { bad <- s.Score(t.Context(), m, []float32{1, 2, -11, 3}, make([]event.Verdict, 4)) }()
	queued(t, s, 9)
	release()
	if err := <-good; err != nil || out[4].Value != float32(math.Sqrt(10)) {
		t.Errorf("call beside the bad one: %v, %v", out, err)
	}
	if err := <-bad; err == nil || !strings.Contains(err.Error(), m.Version+" of p: window 2 of 4: value NaN") {
		t.Errorf("bad call: %v", err)
	}
	if n := number(t, s.metrics.failures.WithLabelValues("p")); n != 1 {
		t.Errorf("%v failures counted", n)
	}
	var runs dto.Metric
	if err := s.metrics.batch.Write(&runs); err != nil || runs.Histogram.GetSampleCount() != 1 || runs.Histogram.GetSampleSum() != 9 {
		t.Errorf("runs: %v, %v; want one of 9 windows", &runs, err)
	}
}

func TestCloseDrains(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	s := start(t, func(c *Config) { c.MaxBatch, c.Queue = 4, 2 })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	release := hold(s)
	errs, door := make(chan error), make(chan error)
	for range 2 {
		go func() { errs <- s.Score(t.Context(), m, make([]float32, 10), make([]event.Verdict, 10)) }()
	}
	queued(t, s, 20)
	go func() { door <- s.Score(t.Context(), m, make([]float32, 10), make([]event.Verdict, 10)) }()
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	eventually(t, "closing", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closed
	})
	release()
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("call inside: %v", err)
		}
	}
	if err := <-door; !errors.Is(err, ErrClosed) {
		t.Errorf("call at the door: %v", err)
	}
	<-closed
	s.Close()
	if err := s.Load(t.Context(), m); !errors.Is(err, ErrClosed) {
		t.Errorf("load after close: %v", err)
	}
	if n := number(t, s.metrics.models); n != 0 {
		t.Errorf("%v models loaded after close", n)
	}
}

func TestConfig(t *testing.T) {
	cfg := Default()
	if err := cfg.Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	cfg = Config{MaxDelay: time.Hour, Workers: -1, Provider: "tpu", Device: -1, DeviceMemory: -1, Grace: -1}
	err := cfg.Validate()
	for _, key := range []string{"max_batch", "max_delay", "workers", "queue", "deadline", "shadow_queue", "threads", "provider", "device", "device_memory", "grace"} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key+": ") {
			t.Errorf("no fault of %s in %v", key, err)
		}
	}
}
