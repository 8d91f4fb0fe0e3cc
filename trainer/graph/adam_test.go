package graph

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

// A whole training step, 30 times, against PyTorch's numbers (testdata/torch_steps.py).
func TestStepsEqualPyTorch(t *testing.T) {
	orttest.Open(t)
	var want struct {
		Steps, Batch, Time, Features, Hidden int
		Rate, Decay, Clip                    float64
		Losses, Params                       []float64
	}
	text, err := os.ReadFile("testdata/torch_steps.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}

	adam := DefaultAdam()
	adam.Decay, adam.Clip = want.Decay, want.Clip
	total := len(want.Params)
	g := New()
	x, y := g.Input("x", want.Time, want.Batch, want.Features), g.Input("y", want.Batch, 1)
	p, m, v, scalars := g.Input("p", total), g.Input("m", total), g.Input("v", total), g.Input("scalars", StepScalars)
	shapes := append(append(GRUShapes(want.Features, want.Hidden), GRUShapes(want.Hidden, want.Hidden)...), []int{1, want.Hidden}, []int{1})
	w := g.Split(p, shapes)
	all, _ := g.GRU(x, w[0], w[1], w[2])
	_, last := g.GRU(all, w[3], w[4], w[5])
	miss := g.Sub(g.Gemm(last, w[6], w[7], false, true), y)
	loss := g.ReduceMean(g.Mul(miss, miss), []int{0, 1}, false)
	p2, m2, v2 := adam.Step(g, g.Join(g.Gradients(loss, w...)...), p, m, v, scalars)
	s, err := ort.NewSession(g.Model("step", Output{"loss", loss}, Output{"p2", p2}, Output{"m2", m2}, Output{"v2", v2}), ort.Options{
		Inputs: []string{"x", "y", "p", "m", "v", "scalars"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	tensor := func(shape ...int64) *ort.Tensor[float32] {
		v, err := ort.NewTensor[float32](shape...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return v
	}
	state := uint64(1)
	fill := func(v []float32) {
		for i := range v {
			state = state * 48271 % 2147483647
			v[i] = float32(float64(state)/2147483647*2 - 1)
		}
	}
	n := int64(total)
	tx, ty := tensor(int64(want.Time), int64(want.Batch), int64(want.Features)), tensor(int64(want.Batch), 1)
	ts, tloss := tensor(StepScalars), tensor()
	var in, out [3]*ort.Tensor[float32]
	for i := range 3 {
		in[i], out[i] = tensor(n), tensor(n)
	}
	fill(in[0].Data())
	for i := range want.Steps {
		fill(tx.Data())
		fill(ty.Data())
		adam.Scalars(ts.Data(), i+1, want.Rate)
		if err := s.Run([]ort.Value{tx, ty, in[0], in[1], in[2], ts}, []ort.Value{tloss, out[0], out[1], out[2]}); err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(float64(tloss.Data()[0]) - want.Losses[i]); !(d < 1e-5) {
			t.Errorf("step %d: loss %v, PyTorch has %v", i+1, tloss.Data()[0], want.Losses[i])
		}
		in, out = out, in
	}
	worst := 0.0
	for i, w := range want.Params {
		worst = max(worst, math.Abs(float64(in[0].Data()[i])-w))
	}
	if !(worst < 1e-5) {
		t.Errorf("after %d steps a parameter differs by %v", want.Steps, worst)
	}
	t.Logf("largest difference of a parameter after %d steps: %.2g", want.Steps, worst)
}
