package orttest

import (
	"fmt"
	"math/rand/v2"

	"andon/model/ort"
)

// Sum is a scoring model whose verdict a test can compute: value is the sum of the window's elements, risk its logistic function.
func Sum(length, width int64) []byte {
	var g Graph
	g.Input("window", ort.Float32, -1, length, width)
	g.Output("value", ort.Float32, -1, 1)
	g.Output("risk", ort.Float32, -1, 1)
	g.Ints("axes", 1, 2)
	g.Ints("one", 1)
	g.Node("ReduceSum", []string{"window", "axes"}, []string{"sum"}, Attr{"keepdims", int64(0)})
	g.Node("Unsqueeze", []string{"sum", "one"}, []string{"value"})
	g.Node("Sigmoid", []string{"value"}, []string{"risk"})
	return g.File()
}

// GRU is a scoring model of the shape that the trainer makes: layers of gated recurrent units of hidden cells with random weights, the last step's state to
// value by a linear map and to risk by a logistic one.
func GRU(length, width, hidden int64, layers int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // weights, not secrets
	random := func(n int64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = (rng.Float32()*2 - 1) * 0.2
		}
		return v
	}
	var g Graph
	g.Input("window", ort.Float32, -1, length, width)
	g.Output("value", ort.Float32, -1, 1)
	g.Output("risk", ort.Float32, -1, 1)
	g.Ints("zero", 0)
	g.Ints("one", 1)
	g.Node("Transpose", []string{"window"}, []string{"x0"}, Attr{"perm", []int64{1, 0, 2}})
	in := width
	for i := range layers {
		n := func(s string) string { return fmt.Sprintf("%s%d", s, i) }
		g.Floats(n("w"), random(3*hidden*in), 1, 3*hidden, in)
		g.Floats(n("r"), random(3*hidden*hidden), 1, 3*hidden, hidden)
		g.Floats(n("b"), random(6*hidden), 1, 6*hidden)
		out := []string{n("all"), n("last")}
		if i == layers-1 {
			out[0] = ""
		}
		g.Node("GRU", []string{n("x"), n("w"), n("r"), n("b")}, out, Attr{"hidden_size", hidden}, Attr{"linear_before_reset", int64(1)})
		if i < layers-1 {
			g.Node("Squeeze", []string{n("all"), "one"}, []string{fmt.Sprintf("x%d", i+1)})
		}
		in = hidden
	}
	g.Node("Squeeze", []string{fmt.Sprintf("last%d", layers-1), "zero"}, []string{"h"})
	g.Floats("vw", random(hidden), hidden, 1)
	g.Floats("vb", random(1), 1)
	g.Floats("rw", random(hidden), hidden, 1)
	g.Floats("rb", random(1), 1)
	g.Node("Gemm", []string{"h", "vw", "vb"}, []string{"value"})
	g.Node("Gemm", []string{"h", "rw", "rb"}, []string{"logit"})
	g.Node("Sigmoid", []string{"logit"}, []string{"risk"})
	return g.File()
}
