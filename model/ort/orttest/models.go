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

// Convolutions is a model of pictures of side x side pixels with random weights: 3x3 convolutions of stride 2 with ReLU, one of each number of channels, and a 1x1 convolution whose result is flattened
// to float32 [batch, outs, places], as a detector's is.
func Convolutions(side, outs int, channels ...int) []byte {
	g := onnx.NewGraph("test")
	batch := onnx.Dim{Name: "batch"}
	g.Input("frame", onnx.Float, append([]onnx.Dim{batch}, onnx.Fixed(3, side, side)...)...)
	rng := rand.New(rand.NewPCG(1, 0))
	conv := func(x string, in, out, k, stride int) string {
		w := make([]float32, out*in*k*k)
		for i := range w {
			w[i] = float32(rng.NormFloat64()) * 0.1
		}
		return g.Op("Conv", []string{x, g.Floats(g.Name(), []int{out, in, k, k}, w)}, onnx.Ints("kernel_shape", int64(k), int64(k)),
			onnx.Ints("strides", int64(stride), int64(stride)), onnx.Ints("pads", int64(k/2), int64(k/2), int64(k/2), int64(k/2)))
	}
	x, in := "frame", 3
	for _, c := range channels {
		x = g.Op("Relu", []string{conv(x, in, c, 3, 2)})
		in, side = c, (side+1)/2
	}
	g.Node("Reshape", []string{conv(x, in, outs, 1, 1), g.Ints("flat", -1, int64(outs), int64(side*side))}, []string{"boxes"})
	g.Output("boxes", onnx.Float, batch, onnx.Dim{Size: int64(outs)}, onnx.Dim{Size: int64(side * side)})
	return g.Model()
}
