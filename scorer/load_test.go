package scorer

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// ports makes a model of 2x3 windows with ports of its own.
func ports(build func(g *onnx.Graph)) []byte {
	g := onnx.NewGraph("test")
	build(g)
	return g.Model()
}

var batch1 = onnx.Dim{Name: "batch"}

func TestBrokenModels(t *testing.T) {
	orttest.Open(t)
	s := start(t, nil)
	bad := func(name string, file []byte, want ...string) {
		t.Helper()
		m := seal(t, file, 2, 3)
		for _, err := range []error{s.Load(t.Context(), m), s.Score(t.Context(), m, make([]float32, 6), make([]event.Verdict, 1))} {
			for _, w := range append(want, m.Version) {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%s: error %v, want one with %q", name, err, w)
				}
			}
		}
	}
	scoring := func(build func(g *onnx.Graph, sum string)) []byte {
		g := orttest.Scoring(2, 3)
		build(g, g.Op("Unsqueeze", []string{g.Op("ReduceSum", []string{"window", g.Ints("axes", 1, 2)}, onnx.Int("keepdims", 0)), g.Ints("one", 1)}))
		return g.Model()
	}
	bad("other width", orttest.Sum(2, 4, 0), "declares window float[-1 2 4], the recipe needs window float[-1 2 3]")
	bad("other length", orttest.Sum(3, 3, 0), "declares window float[-1 3 3]")
	bad("other names", ports(func(g *onnx.Graph) {
		g.Input("x", onnx.Float, batch1, onnx.Dim{Size: 1})
		g.Output("y", onnx.Float, batch1, onnx.Dim{Size: 1})
		g.Node("Identity", []string{"x"}, []string{"y"})
	}), "wants an input x float[-1 1]", "has no window", "has no value", "has no risk")
	bad("batch of one", ports(func(g *onnx.Graph) {
		g.Input("window", onnx.Float, onnx.Fixed(1, 2, 3)...)
		g.Output("value", onnx.Float, onnx.Fixed(1, 1)...)
		g.Output("risk", onnx.Float, onnx.Fixed(1, 1)...)
		sum := g.Op("ReduceSum", []string{"window", g.Ints("axes", 2)}, onnx.Int("keepdims", 0))
		g.Node("ReduceSum", []string{sum, g.Ints("axes1", 1)}, []string{"value"}, onnx.Int("keepdims", 1))
		g.Node("Sigmoid", []string{"value"}, []string{"risk"})
	}), "declares window float[1 2 3]", "declares value float[1 1]")
	bad("integers", ports(func(g *onnx.Graph) {
		g.Input("window", onnx.Int64, append([]onnx.Dim{batch1}, onnx.Fixed(2, 3)...)...)
		g.Output("value", onnx.Int64, batch1, onnx.Dim{Size: 1})
		g.Output("risk", onnx.Int64, batch1, onnx.Dim{Size: 1})
		g.Node("Neg", []string{"window"}, []string{"value"})
		g.Node("Neg", []string{"window"}, []string{"risk"})
	}), "declares window int64[-1 2 3]", "declares risk int64[-1 1]")
	bad("no number", scoring(func(g *onnx.Graph, sum string) {
		g.Node("Log", []string{g.Op("Sub", []string{sum, g.Floats("c", nil, []float32{1e6})})}, []string{"value"})
		g.Node("Sigmoid", []string{sum}, []string{"risk"})
	}), "value NaN", "not finite")
	bad("risk no share", scoring(func(g *onnx.Graph, sum string) {
		g.Node("Identity", []string{sum}, []string{"value"})
		g.Node("Add", []string{sum, g.Floats("c", nil, []float32{7})}, []string{"risk"})
	}), "not between 0 and 1")
	bad("neighbours", scoring(func(g *onnx.Graph, sum string) {
		mean := g.Op("ReduceMean", []string{sum}, onnx.Ints("axes", 0), onnx.Int("keepdims", 1))
		g.Node("Sub", []string{sum, mean}, []string{"value"})
		g.Node("Sigmoid", []string{sum}, []string{"risk"})
	}), "mixes the rows of a batch")
	bad("wrong rows", scoring(func(g *onnx.Graph, sum string) {
		g.Node("ReduceMean", []string{sum}, []string{"value"}, onnx.Ints("axes", 0), onnx.Int("keepdims", 1))
		g.Node("Sigmoid", []string{sum}, []string{"risk"})
	}), "invalid dimensions for output: value")
	bad("unknown operator", scoring(func(g *onnx.Graph, sum string) {
		g.Node("Frobnicate", []string{sum}, []string{"value"})
		g.Node("Sigmoid", []string{sum}, []string{"risk"})
	}), "Frobnicate")
	if n := number(t, s.metrics.models); n != 0 || len(s.queues) != 0 || len(s.ready) != 0 {
		t.Errorf("%v models loaded, %d queues", n, len(s.queues))
	}
}

// A model that leaves shapes open, or has more outputs, is fine when its first runs are.
func TestOpenShapes(t *testing.T) {
	orttest.Open(t)
	s := start(t, nil)
	m := seal(t, ports(func(g *onnx.Graph) {
		any3 := []onnx.Dim{batch1, {Name: "length"}, {Name: "width"}}
		g.Input("window", onnx.Float, any3...)
		g.Output("doubled", onnx.Float, any3...)
		g.Output("risk", onnx.Float, batch1, onnx.Dim{Size: 1})
		g.Output("value", onnx.Float, batch1, onnx.Dim{Name: "columns"})
		g.Node("Add", []string{"window", "window"}, []string{"doubled"})
		sum := g.Op("ReduceSum", []string{"doubled", g.Ints("axes", 1)}, onnx.Int("keepdims", 0))
		g.Node("ReduceSum", []string{sum, g.Ints("axes1", 1)}, []string{"value"}, onnx.Int("keepdims", 1))
		g.Node("Sigmoid", []string{"value"}, []string{"risk"})
	}), 2, 3)
	out := make([]event.Verdict, 2)
	if err := s.Score(t.Context(), m, []float32{1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0}, out); err != nil || out[0].Value != 42 || out[1].Risk != 0.5 {
		t.Errorf("%v, %v", out, err)
	}
}

func TestLoadOnce(t *testing.T) {
	orttest.Open(t)
	s := start(t, nil)
	m := seal(t, orttest.GRU(10, 4, 32, 1, 1), 10, 4)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.Load(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := number(t, s.metrics.models); n != 1 {
		t.Errorf("%v models loaded", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Load(ctx, seal(t, orttest.Sum(2, 3, 0), 2, 3)); err == nil {
		t.Error("loaded for a cancelled context")
	}
}

func TestRetire(t *testing.T) {
	orttest.Open(t)
	loaded := func(s *Scorer) float64 { return number(t, s.metrics.models) }
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	score := func(s *Scorer) error {
		return s.Score(t.Context(), m, make([]float32, 1), make([]event.Verdict, 1))
	}

	s := start(t, func(c *Config) { c.Grace = time.Millisecond })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.Retire(m.Version)
	s.Retire(m.Version)
	s.Retire("unknown")
	eventually(t, "freed", func() bool { return loaded(s) == 0 })
	if err := score(s); err != nil || loaded(s) != 1 {
		t.Errorf("score of a freed model: %v, %v loaded", err, loaded(s))
	}

	// A call inside keeps it.
	release := hold(s)
	done := make(chan error)
	go func() { done <- score(s) }()
	queued(t, s, 1)
	s.Retire(m.Version)
	eventually(t, "expired", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.queues[m.Version].expired
	})
	if loaded(s) != 1 {
		t.Error("freed under a call")
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "freed after the call", func() bool { return loaded(s) == 0 })

	// Load within the grace keeps it, Close within the grace frees it.
	s = start(t, func(c *Config) { c.Grace = time.Hour })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.Retire(m.Version)
	if err := s.Load(t.Context(), m); err != nil || s.queues[m.Version].retired != nil {
		t.Errorf("still on its way out after a load (%v)", err)
	}
	s.Retire(m.Version)
	s.Close()
	if loaded(s) != 0 {
		t.Error("loaded after close")
	}
}

// A model that is revived as its grace ends, and retired again at once, has its whole new grace: the old timer, late for the lock, frees nothing.
func TestRetireAgain(t *testing.T) {
	orttest.Open(t)
	s := start(t, func(c *Config) { c.Grace = time.Millisecond })
	m := seal(t, orttest.Sum(1, 1, 0), 1, 1)
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	q := s.queues[m.Version]
	s.retireLocked(q)
	time.Sleep(20 * time.Millisecond) // the timer has fired and waits for the lock
	s.reviveLocked(q)
	s.cfg.Grace = 10 * time.Second
	s.retireLocked(q)
	s.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[m.Version] != q || q.expired {
		t.Error("freed by the timer of an earlier time")
	}
}

// Promotions and rollbacks through the registry under load: no call fails, every verdict is of the model that the call named, old models are freed.
func TestHotSwaps(t *testing.T) {
	orttest.Open(t)
	s := start(t, func(c *Config) { c.Grace = 5 * time.Millisecond })
	r, err := model.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.Prepare(s.Load)
	r.OnChange(func(mv model.Move) {
		if len(r.Aliases(mv.Pipeline, mv.From)) == 0 {
			s.Retire(mv.From)
		}
	})
	models, bias := []*model.Model{}, map[string]float32{}
	for i := range 5 {
		m := seal(t, orttest.Sum(2, 2, float32(1000*i)), 2, 2)
		models, bias[m.Version] = append(models, m), float32(1000*i)
		if err := r.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	swap := func(i int) {
		was := r.Live("p")
		if err := r.Promote("p", models[i%len(models)].Version, "test", "turn"); err != nil {
			t.Fatal(err)
		}
		if i%3 == 1 {
			if _, err := r.Rollback(t.Context(), "p", model.Champion, "test", "turn"); err != nil || r.Live("p").Version != was.Version {
				t.Fatalf("rolled back to %s, not %s: %v", r.Live("p").Version, was.Version, err)
			}
		}
	}
	swap(0)
	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			windows, out := make([]float32, 4*(1+10*g)), make([]event.Verdict, 1+10*g)
			for !stop.Load() {
				m := r.Live("p")
				windows[0]++
				if err := s.Score(t.Context(), m, windows, out); err != nil {
					t.Error(err)
					return
				}
				if out[0].Value != bias[m.Version]+windows[0] {
					t.Errorf("verdict %v is not of the model with bias %v", out[0].Value, bias[m.Version])
					return
				}
				calls.Add(1)
			}
		})
	}
	for i := 1; i <= 60; i++ {
		before := calls.Load()
		swap(i)
		for calls.Load() == before && !t.Failed() {
			time.Sleep(10 * time.Microsecond)
		}
	}
	stop.Store(true)
	wg.Wait()
	// A caller that the machine held up for longer than the grace has loaded its model again.
	for _, m := range models {
		if m.Version != r.Live("p").Version {
			s.Retire(m.Version)
		}
	}
	eventually(t, "old models freed", func() bool { return number(t, s.metrics.models) == 1 })
	t.Logf("%d calls", calls.Load())
}

// Where CUDA cannot work the scorer says so once and scores on the CPU.
func TestCUDAFallback(t *testing.T) {
	orttest.Open(t)
	s := start(t, func(c *Config) { c.Provider = ort.CUDA })
	m := seal(t, orttest.Sum(1, 2, 0), 1, 2)
	out := make([]event.Verdict, 1)
	if err := s.Score(t.Context(), m, []float32{1, 2}, out); err != nil || out[0].Value != 3 {
		t.Errorf("%v, %v", out, err)
	}
	want := 0.0
	if s.queues[m.Version].session.Provider() == ort.CPU {
		want = 1
	}
	if n := number(t, s.metrics.onCPU); n != want {
		t.Errorf("%v fallbacks counted, want %v", n, want)
	}
}
