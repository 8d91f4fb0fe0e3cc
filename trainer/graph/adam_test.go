package graph

import (
	"encoding/json"
	"fmt"
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
	checkSteps(t, g, adam, steps{losses: want.Losses, params: want.Params, rate: want.Rate, total: total, begin: 1,
		outputs: []Output{{"loss", loss}, {"p2", p2}, {"m2", m2}, {"v2", v2}}, inputs: []*Value{x, y}})
}

// The same of a convolutional classifier with class weights (testdata/torch_cnn.py).
func TestConvolutionStepsEqualPyTorch(t *testing.T) {
	orttest.Open(t)
	for _, rows := range []bool{false, true} {
		t.Run(fmt.Sprintf("rows=%v", rows), func(t *testing.T) { convolutionSteps(t, rows) })
	}
}

func convolutionSteps(t *testing.T, rows bool) {
	t.Helper()
	var want struct {
		Steps, Batch, Channels, Side, Classes int
		Rate, Decay, Clip                     float64
		Weights, Losses, Params               []float64
		Shapes                                [][]int
	}
	text, err := os.ReadFile("testdata/torch_cnn.json")
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
	if rows {
		g.Rows()
	}
	x, y, weight := g.Input("x", want.Batch, want.Channels, want.Side, want.Side), g.Input("y", want.Batch, want.Classes), g.Input("weight", want.Batch, 1)
	p, m, v, scalars := g.Input("p", total), g.Input("m", total), g.Input("v", total), g.Input("scalars", StepScalars)
	w := g.Split(p, want.Shapes)
	a := g.Relu(g.Conv(x, w[0], w[1], 2, 1))
	a = g.Relu(g.Conv(a, w[2], w[3], 2, 1))
	a = g.Relu(g.Add(a, g.Conv(a, w[4], w[5], 1, 1)))
	loss := g.CrossEntropy(g.Gemm(g.GlobalAverage(a), w[6], w[7], false, true), y, weight)
	p2, m2, v2 := adam.Step(g, g.Join(g.Gradients(loss, w...)...), p, m, v, scalars)
	checkSteps(t, g, adam, steps{losses: want.Losses, params: want.Params, rate: want.Rate, total: total, begin: 0.5,
		outputs: []Output{{"loss", loss}, {"p2", p2}, {"m2", m2}, {"v2", v2}}, inputs: []*Value{x, y, weight},
		fill: func(draw func([]float32), in [][]float32) {
			draw(in[0])
			labels := make([]float32, want.Batch)
			draw(labels)
			clear(in[1])
			sum := float32(0)
			for i, l := range labels {
				label := int((float64(l) + 1) * float64(want.Classes) / 2)
				in[1][i*want.Classes+label] = 1
				in[2][i] = float32(want.Weights[label])
				sum += in[2][i]
			}
			for i := range in[2] {
				in[2][i] /= sum
			}
		}})
}

// steps are recorded training steps: the parameters start as drawn numbers times begin, and each step's inputs are drawn by fill, in their order without it.
type steps struct {
	losses, params []float64
	rate, begin    float64
	total          int
	inputs         []*Value
	outputs        []Output // loss, p2, m2, v2
	fill           func(draw func([]float32), in [][]float32)
}

func checkSteps(t *testing.T, g *Graph, adam Adam, want steps) {
	t.Helper()
	var names []string
	for _, v := range want.inputs {
		names = append(names, v.node.name)
	}
	s, err := ort.NewSession(g.Model("step", want.outputs...), ort.Options{Inputs: append(names, "p", "m", "v", "scalars")})
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
	draw := func(v []float32) {
		for i := range v {
			state = state * 48271 % 2147483647
			v[i] = float32(float64(state)/2147483647*2 - 1)
		}
	}
	n := int64(want.total)
	var fed []ort.Value
	var data [][]float32
	for _, v := range want.inputs {
		x := tensor(int64s(v.shape)...)
		fed, data = append(fed, x), append(data, x.Data())
	}
	ts, tloss := tensor(StepScalars), tensor()
	var in, out [3]*ort.Tensor[float32]
	for i := range 3 {
		in[i], out[i] = tensor(n), tensor(n)
	}
	draw(in[0].Data())
	for i := range in[0].Data() {
		in[0].Data()[i] *= float32(want.begin)
	}
	for i, loss := range want.losses {
		if want.fill != nil {
			want.fill(draw, data)
		} else {
			for _, d := range data {
				draw(d)
			}
		}
		adam.Scalars(ts.Data(), i+1, want.rate)
		if err := s.Run(append(fed[:len(fed):len(fed)], in[0], in[1], in[2], ts), []ort.Value{tloss, out[0], out[1], out[2]}); err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(float64(tloss.Data()[0]) - loss); !(d < 1e-5) {
			t.Errorf("step %d: loss %v, PyTorch has %v", i+1, tloss.Data()[0], loss)
		}
		in, out = out, in
	}
	worst := 0.0
	for i, w := range want.params {
		worst = max(worst, math.Abs(float64(in[0].Data()[i])-w))
	}
	if !(worst < 1e-5) {
		t.Errorf("after %d steps a parameter differs by %v", len(want.losses), worst)
	}
	t.Logf("largest difference of a parameter after %d steps: %.2g", len(want.losses), worst)
}
