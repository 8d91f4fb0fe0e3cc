package ort_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

func tensor[T ort.Element](t testing.TB, shape ...int64) *ort.Tensor[T] {
	t.Helper()
	v, err := ort.NewTensor[T](shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func session(t testing.TB, file []byte, o ort.Options) *ort.Session {
	t.Helper()
	s, err := ort.NewSession(file, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestRun(t *testing.T) {
	orttest.Open(t)
	s := session(t, orttest.Sum(2, 3, 0), ort.Options{})
	if in, out := s.Inputs()[0].String(), s.Outputs()[1].String(); in != "window float[-1 2 3]" || out != "risk float[-1 1]" {
		t.Errorf("signature: %s, %s", in, out)
	}
	for batch := int64(1); batch <= 3; batch++ {
		x, value, risk := tensor[float32](t, batch, 2, 3), tensor[float32](t, batch, 1), tensor[float32](t, batch, 1)
		for round := range 2 {
			for i := range x.Data() {
				x.Data()[i] = float32(i + round)
			}
			if err := s.Run([]ort.Value{x}, []ort.Value{value, risk}); err != nil {
				t.Fatal(err)
			}
			for b := range int(batch) {
				want := float32(0)
				for _, v := range x.Data()[b*6 : b*6+6] {
					want += v
				}
				if value.Data()[b] != want || math.Abs(float64(risk.Data()[b])-1/(1+math.Exp(-float64(want)))) > 1e-6 {
					t.Errorf("batch %d row %d: value %v risk %v, want sum %v", batch, b, value.Data()[b], risk.Data()[b], want)
				}
			}
		}
	}
}

// A scalar's element must be shared both ways, run after run.
func TestScalars(t *testing.T) {
	orttest.Open(t)
	g := onnx.NewGraph("scalars")
	g.Input("a", onnx.Float)
	g.Input("n", onnx.Int64, onnx.Fixed(2)...)
	g.Output("twice", onnx.Float)
	g.Output("m", onnx.Int64, onnx.Fixed(2)...)
	g.Node("Add", []string{"a", "a"}, []string{"twice"})
	g.Node("Neg", []string{"n"}, []string{"m"})
	s := session(t, g.Model(), ort.Options{Outputs: []string{"m", "twice"}})
	a, n, twice, m := tensor[float32](t), tensor[int64](t, 2), tensor[float32](t), tensor[int64](t, 2)
	for i := range 3 {
		a.Data()[0], n.Data()[1] = float32(i)+0.5, int64(i)
		if err := s.Run([]ort.Value{a, n}, []ort.Value{m, twice}); err != nil {
			t.Fatal(err)
		}
		if twice.Data()[0] != 2*float32(i)+1 || m.Data()[1] != -int64(i) {
			t.Errorf("round %d: %v %v", i, twice.Data(), m.Data())
		}
	}
	if len(a.Shape()) != 0 || len(s.Inputs()[0].Shape) != 0 || s.Inputs()[0].Shape == nil {
		t.Errorf("scalar's shape: %v, declared %v", a.Shape(), s.Inputs()[0].Shape)
	}
}

func TestBindingSeesNewData(t *testing.T) {
	orttest.Open(t)
	s := session(t, orttest.Sum(2, 2, 0), ort.Options{})
	x, value, risk := tensor[float32](t, 1, 2, 2), tensor[float32](t, 1, 1), tensor[float32](t, 1, 1)
	b, err := s.Bind([]ort.Value{x}, []ort.Value{value, risk})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		x.Data()[2] = float32(i)
		if err := b.Run(); err != nil || value.Data()[0] != float32(i) {
			t.Fatalf("round %d: value %v, %v", i, value.Data()[0], err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := b.Run(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a bound run allocates %v times", n)
	}
	b.Close()
	if err := b.Run(); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("run of a closed binding: %v", err)
	}
	b.Close()
}

func TestConcurrentRunAndClose(t *testing.T) {
	orttest.Open(t)
	s := session(t, orttest.Sum(4, 4, 0), ort.Options{})
	var wg sync.WaitGroup
	started := make(chan struct{}, 4)
	for g := range 4 {
		x, value, risk := tensor[float32](t, 2, 4, 4), tensor[float32](t, 2, 1), tensor[float32](t, 2, 1)
		wg.Go(func() {
			for i := 0; ; i++ {
				x.Data()[0] = float32(g + i)
				err := s.Run([]ort.Value{x}, []ort.Value{value, risk})
				if errors.Is(err, ort.ErrClosed) && i > 0 {
					return
				}
				if err != nil || value.Data()[0] != float32(g+i) {
					t.Errorf("goroutine %d run %d: value %v, %v", g, i, value.Data()[0], err)
					started <- struct{}{}
					return
				}
				if i == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	s.Close()
	wg.Wait()
	s.Close()
}

func TestRunErrors(t *testing.T) {
	orttest.Open(t)
	s := session(t, orttest.Sum(2, 3, 0), ort.Options{})
	value, risk := tensor[float32](t, 1, 1), tensor[float32](t, 1, 1)
	bad := func(name, want string, in []ort.Value, out ...ort.Value) {
		t.Helper()
		if err := s.Run(in, out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	x := tensor[float32](t, 1, 2, 3)
	bad("no inputs", "got 0 inputs", nil, value, risk)
	bad("one output", "and 1 outputs", []ort.Value{x}, value)
	bad("wrong shape", "invalid dimensions", []ort.Value{tensor[float32](t, 1, 3, 3)}, value, risk)
	bad("wrong type", "Unexpected input data type", []ort.Value{tensor[int64](t, 1, 2, 3)}, value, risk)
	bad("wrong output shape", "shape", []ort.Value{x}, tensor[float32](t, 2, 1), risk)
}

func TestBrokenFiles(t *testing.T) {
	orttest.Open(t)
	good := orttest.GRU(5, 3, 4, 1, 1)
	noInput, unknown := onnx.NewGraph("no input"), onnx.NewGraph("unknown")
	noInput.Output("y", onnx.Float)
	noInput.Node("Identity", []string{noInput.Floats("y0", nil, []float32{1})}, []string{"y"})
	unknown.Input("x", onnx.Float, onnx.Fixed(1)...)
	unknown.Output("y", onnx.Float, onnx.Fixed(1)...)
	unknown.Node("Frobnicate", []string{"x"}, []string{"y"})
	bad := func(name string, file []byte, o ort.Options, want string) {
		t.Helper()
		s, err := ort.NewSession(file, o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
	bad("empty", nil, ort.Options{}, "holds no graph")
	bad("text", []byte("this is no model"), ort.Options{}, "not an ONNX file")
	bad("no input", noInput.Model(), ort.Options{}, "no input")
	bad("unknown operator", unknown.Model(), ort.Options{}, "Frobnicate")
	bad("unknown output", good, ort.Options{Outputs: []string{"speed"}}, `no output "speed"; it has [value risk]`)
	bad("unknown provider", good, ort.Options{Provider: "tpu"}, `provider "tpu"`)
	for n := 1; n < len(good); n += 7 {
		if s, err := ort.NewSession(good[:n], ort.Options{}); err == nil {
			s.Close()
			t.Errorf("the first %d bytes of %d load", n, len(good))
		}
	}
	bad("first run", good, ort.Options{Warm: func(*ort.Session) error { return errors.New("too cold") }}, "first run on cpu: too cold")
}

// On a library without CUDA, or a machine without a device, CUDA ends in a CPU session that says why.
func TestCUDAFallsBack(t *testing.T) {
	orttest.Open(t)
	warmed := 0
	s := session(t, orttest.Sum(2, 2, 0), ort.Options{Provider: ort.CUDA, DeviceMemory: 1 << 30, Warm: func(s *ort.Session) error {
		warmed++
		x, value, risk := tensor[float32](t, 1, 2, 2), tensor[float32](t, 1, 1), tensor[float32](t, 1, 1)
		return s.Run([]ort.Value{x}, []ort.Value{value, risk})
	}})
	switch s.Provider() {
	case ort.CUDA:
		if s.Fallback() != nil {
			t.Errorf("runs on CUDA and yet fell back: %v", s.Fallback())
		}
	case ort.CPU:
		if s.Fallback() == nil || !strings.Contains(s.Fallback().Error(), "CUDA") || strings.Contains(s.Fallback().Error(), "onnxruntime_src") {
			t.Errorf("fell back without saying why: %v", s.Fallback())
		}
		t.Logf("reported: %v", s.Fallback())
	}
	if warmed == 0 {
		t.Error("the session was never run")
	}
	if cpu := session(t, orttest.Sum(2, 2, 0), ort.Options{}); cpu.Provider() != ort.CPU || cpu.Fallback() != nil {
		t.Errorf("CPU session: %v, %v", cpu.Provider(), cpu.Fallback())
	}
}

func TestTensorErrors(t *testing.T) {
	orttest.Open(t)
	bad := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	_, err := ort.NewTensor[float32](2, -1)
	bad("negative", err)
	_, err = ort.NewTensor[float32](1<<30, 1<<30, 1<<30)
	bad("too many", err)
	_, err = ort.Wrap(make([]float32, 5), 2, 3)
	bad("6 elements, the slice 5", err)
	_, err = ort.Wrap(make([]float32, 1))
	bad("scalar", err)
	empty := tensor[float32](t, 0, 3)
	if len(empty.Data()) != 0 {
		t.Errorf("empty tensor holds %v", empty.Data())
	}
	data := []float32{1, 2}
	w, err := ort.Wrap(data, 2, 1)
	if err != nil || &w.Data()[0] != &data[0] {
		t.Fatalf("wrapped tensor is a copy (%v)", err)
	}
	w.Close()
	w.Close()
}
