package graph

import (
	"math"
	"slices"

	"andon/model/onnx"
)

// Peaks keeps of each plane of [batch, channels, height, width] what no cell of the eight around it exceeds, and makes the rest 0. It has no gradient.
func (g *Graph) Peaks(x *Value) *Value {
	if len(x.shape) != 4 {
		fault("peaks of %v", x.shape)
	}
	n := &node{op: "Peaks", in: []*Value{x}}
	n.write = func(w *onnx.Graph, in, out []string) {
		top := w.Op("MaxPool", []string{in[0]}, onnx.Ints("kernel_shape", 3, 3), onnx.Ints("pads", 1, 1, 1, 1), onnx.Ints("strides", 1, 1))
		is := w.Op("Cast", []string{w.Op("Equal", []string{in[0], top})}, onnx.Int("to", int64(onnx.Float)))
		w.Node("Mul", []string{in[0], is}, out)
	}
	return g.add1(n, slices.Clone(x.shape))
}

// Reverse turns the order of an axis around. It has no gradient.
func (g *Graph) Reverse(x *Value, axis int) *Value {
	if axis < 0 || axis >= len(x.shape) {
		fault("reverse axis %d of %v", axis, x.shape)
	}
	// Down to and with the first: an end below any index.
	return g.add1(&node{op: "Slice", in: []*Value{x}, ints: [][]int{{-1}, {math.MinInt32}, {axis}, {-1}}}, slices.Clone(x.shape))
}
