package scorer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
)

func TestShadow(t *testing.T) {
	orttest.Open(t)
	m := seal(t, orttest.Sum(2, 2, 0), 2, 2)
	s := start(t, func(c *Config) { c.Workers, c.MaxBatch, c.ShadowQueue = 1, 4, 2 })
	windows := fill(4 * 10)
	if _, _, ok := s.Shadow(m, windows, make([]event.Verdict, 10)); ok {
		t.Error("a model that is not loaded was taken")
	}
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	shadow := func(n int) ([]event.Verdict, <-chan error, func()) {
		t.Helper()
		out := make([]event.Verdict, n)
		done, drop, ok := s.Shadow(m, windows[:4*n], out)
		if !ok {
			t.Fatal("not taken")
		}
		return out, done, drop
	}
	out, done, drop := shadow(10)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	drop() // late: nothing happens
	want := make([]event.Verdict, 10)
	if err := s.Score(t.Context(), m, windows, want); err != nil {
		t.Fatal(err)
	}
	for i, v := range out {
		if v.Value != want[i].Value || v.Batch != []uint32{4, 4, 2}[i/4] || v.Compute <= 0 {
			t.Errorf("window %d: %+v, want %+v", i, v, want[i])
		}
	}

	// While no place is free they wait; then what counts goes first, though it came last; more than the bound are shed; what is dropped never runs.
	release := hold(s)
	_, first, _ := shadow(10)
	_, second, give := shadow(10)
	if _, _, ok := s.Shadow(m, windows, make([]event.Verdict, 10)); ok {
		t.Error("a third waits")
	}
	give()
	if err := <-second; !errors.Is(err, ErrShed) {
		t.Errorf("dropped: %v", err)
	}
	counts := make(chan error)
	go func() { counts <- s.Score(t.Context(), m, windows, want) }()
	queued(t, s, 10)
	release()
	if err := <-counts; err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	rest(t, s)

	// Close ends what waits.
	hold(s)
	_, last, _ := shadow(1)
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	if err := <-last; !errors.Is(err, ErrClosed) {
		t.Errorf("at the end: %v", err)
	}
	<-closed
	if _, _, ok := s.Shadow(m, windows, make([]event.Verdict, 10)); ok {
		t.Error("taken after Close")
	}
}

// rest waits until nobody uses the scorer, with all places free.
func rest(t *testing.T, s *Scorer) {
	t.Helper()
	eventually(t, "at rest", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, q := range s.queues {
			if q.inUse != 0 || q.rows != 0 || q.flying != 0 {
				return false
			}
		}
		return s.idle == s.cfg.Workers && s.rows == 0 && len(s.shadows) == 0 && !s.shading
	})
}

// A shadow whose verdict is no number fails alone.
func TestShadowNotFinite(t *testing.T) {
	orttest.Open(t)
	g := orttest.Scoring(1, 1)
	column := g.Op("Reshape", []string{"window", g.Ints("shape", -1, 1)})
	g.Node("Sqrt", []string{g.Op("Add", []string{column, g.Floats("ten", nil, []float32{10})})}, []string{"value"})
	g.Node("Sigmoid", []string{column}, []string{"risk"})
	m := seal(t, g.Model(), 1, 1)
	s := start(t, nil)
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	done, _, ok := s.Shadow(m, []float32{1, -11}, make([]event.Verdict, 2))
	if err := <-done; !ok || err == nil || errors.Is(err, ErrShed) {
		t.Errorf("got %v", err)
	}
	rest(t, s)
}

// Calls that count and shadows from many sides, some of them given up, while models come and go: every call gets its own verdicts, and nothing is left behind.
func TestShadowsBesideCalls(t *testing.T) {
	orttest.Open(t)
	models := []*model.Model{seal(t, orttest.Sum(1, 2, 0), 1, 2), seal(t, orttest.Sum(1, 2, 5), 1, 2)}
	for _, workers := range []int{1, 3} {
		s := start(t, func(c *Config) { c.Workers, c.MaxBatch, c.Grace = workers, 8, time.Millisecond })
		for _, m := range models {
			if err := s.Load(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		var ran, shed atomic.Int64
		var wg sync.WaitGroup
		for g := range 6 {
			wg.Go(func() {
				for i := range 150 {
					m, bias := models[(g+i)%2], float32((g+i)%2*5)
					n := 1 + (i*7+g)%30
					windows, out := make([]float32, 2*n), make([]event.Verdict, n)
					for j := range windows {
						windows[j] = float32(g*1000 + i + j)
					}
					if g < 3 {
						if err := s.Score(context.Background(), m, windows, out); err != nil {
							t.Error(err)
							return
						}
					} else {
						done, drop, ok := s.Shadow(m, windows, out)
						if !ok {
							continue
						}
						if i%5 == 0 {
							drop()
						}
						if err := <-done; errors.Is(err, ErrShed) {
							shed.Add(1)
							continue
						} else if err != nil {
							t.Error(err)
							return
						}
						ran.Add(1)
					}
					for j, v := range out {
						if v.Value != windows[2*j]+windows[2*j+1]+bias {
							t.Errorf("window %d of %d: %v", j, n, v)
							return
						}
					}
					if i%40 == 0 {
						s.Retire(m.Version)
					}
				}
			})
		}
		wg.Wait()
		rest(t, s)
		if ran.Load() == 0 || shed.Load() == 0 {
			t.Errorf("%d ran, %d were shed", ran.Load(), shed.Load())
		}
	}
}
