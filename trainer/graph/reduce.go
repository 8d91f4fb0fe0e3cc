package graph

import (
	"slices"

	"andon/model/onnx"
)

// ReduceSum sums over the axes; keep leaves them in the shape with size 1.
func (g *Graph) ReduceSum(x *Value, axes []int, keep bool) *Value {
	n := &node{op: "ReduceSum", in: []*Value{x}, ints: [][]int{axes}, attrs: []onnx.Attr{onnx.Int("keepdims", flag(keep))},
		args: args{axes: axes, keep: keep}}
	n.back = func(dy []*Value) []*Value { return []*Value{g.stretch(dy[0], x.shape, axes)} }
	return g.add1(n, reduced(x.shape, axes, keep))
}

// ReduceMean averages over the axes; keep leaves them in the shape with size 1.
func (g *Graph) ReduceMean(x *Value, axes []int, keep bool) *Value {
	if g.passes(x) && x.node.op == "Transpose" && !keep {
		// The same axes of what was transposed, if the others keep their order.
		var there, rest []int
		for i, from := range x.node.args.axes {
			if slices.Contains(axes, i) {
				there = append(there, from)
			} else {
				rest = append(rest, from)
			}
		}
		if slices.IsSorted(rest) {
			slices.Sort(there)
			return g.ReduceMean(x.node.in[0], there, keep)
		}
	}
	n := &node{op: "ReduceMean", in: []*Value{x}, args: args{axes: axes, keep: keep},
		attrs: []onnx.Attr{onnx.Ints("axes", int64s(axes)...), onnx.Int("keepdims", flag(keep))}}
	n.back = func(dy []*Value) []*Value {
		fixed("ReduceMean", x)
		share := float32(size(dy[0].shape)) / float32(size(x.shape))
		return []*Value{g.stretch(g.Mul(dy[0], g.Scalar(share)), x.shape, axes)}
	}
	return g.add1(n, reduced(x.shape, axes, keep))
}

// stretch repeats a reduction's gradient over the axes that it lost.
func (g *Graph) stretch(dy *Value, shape, axes []int) *Value {
	return g.Expand(g.Reshape(dy, reduced(shape, axes, true)...), shape...)
}

func reduced(shape, axes []int, keep bool) []int {
	var out []int
	for i, d := range shape {
		switch {
		case !slices.Contains(axes, i):
			out = append(out, d)
		case keep:
			out = append(out, 1)
		}
	}
	for _, a := range axes {
		if a < 0 || a >= len(shape) {
			fault("reduce axis %d of shape %v", a, shape)
		}
	}
	return out
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}
