package orttest

import (
	"math/rand/v2"
	"strconv"

	"andon/model/onnx"
)

// Scoring declares the ports of a scoring model on a new graph.
func Scoring(length, width int) *onnx.Graph {
	g := onnx.NewGraph("test")
	g.Input("window", onnx.Float, append([]onnx.Dim{{Name: "batch"}}, onnx.Fixed(length, width)...)...)
	g.Output("value", onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	g.Output("risk", onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	return g
}

// Sum is a scoring model whose verdict a test can compute: value is bias and the sum of the window's elements, risk its logistic function.
func Sum(length, width int, bias float32) []byte {
	g := Scoring(length, width)
	sum := g.Op("ReduceSum", []string{"window", g.Ints("axes", 1, 2)}, onnx.Int("keepdims", 0))
	column := g.Op("Unsqueeze", []string{sum, g.Ints("one", 1)})
	g.Node("Add", []string{column, g.Floats("bias", nil, []float32{bias})}, []string{"value"})
	g.Node("Sigmoid", []string{"value"}, []string{"risk"})
	return g.Model()
}

// GRU is a scoring model of the shape that the trainer makes: layers of gated recurrent units of hidden cells with random weights, the last step's state to
// value by a linear map and to risk by a logistic one.
func GRU(length, width, hidden, layers int, seed uint64) []byte {
	g := Scoring(length, width)
	rng := rand.New(rand.NewPCG(seed, 0))
	random := func(dims ...int) string {
		n := 1
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = (rng.Float32()*2 - 1) * 0.2
		}
		return g.Floats(g.Name(), dims, v)
	}
	zero, one := g.Ints("zero", 0), g.Ints("one", 1)
	x, last := g.Op("Transpose", []string{"window"}, onnx.Ints("perm", 1, 0, 2)), ""
	for i := range layers {
		in := hidden
		if i == 0 {
			in = width
		}
		all := "all" + strconv.Itoa(i)
		if i == layers-1 {
			all = ""
		}
		last = "last" + strconv.Itoa(i)
		g.Node("GRU", []string{x, random(1, 3*hidden, in), random(1, 3*hidden, hidden), random(1, 6*hidden)}, []string{all, last},
			onnx.Int("hidden_size", int64(hidden)), onnx.Int("linear_before_reset", 1))
		if all != "" {
			x = g.Op("Squeeze", []string{all, one})
		}
	}
	h := g.Op("Squeeze", []string{last, zero})
	g.Node("Gemm", []string{h, random(hidden, 1), random(1)}, []string{"value"})
	g.Node("Sigmoid", []string{g.Op("Gemm", []string{h, random(hidden, 1), random(1)})}, []string{"risk"})
	return g.Model()
}
