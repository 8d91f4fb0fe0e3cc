package graph

import (
	"slices"

	"andon/model/onnx"
)

// Reshape gives the elements a new shape in the same order.
func (g *Graph) Reshape(x *Value, shape ...int) *Value {
	if slices.Equal(x.shape, shape) {
		return x
	}
	if g.passes(x) && x.node.op == "Reshape" {
		return g.Reshape(x.node.in[0], shape...)
	}
	if size(shape) != size(x.shape) {
		fault("reshape %v to %v", x.shape, shape)
	}
	// Batch is -1, which is ONNX's word for "what is left" here.
	n := &node{op: "Reshape", in: []*Value{x}, ints: [][]int{shape}}
	n.back = func(dy []*Value) []*Value { return []*Value{g.Reshape(dy[0], x.shape...)} }
	return g.add1(n, slices.Clone(shape))
}

// Squeeze drops axes of size 1.
func (g *Graph) Squeeze(x *Value, axes ...int) *Value {
	for _, a := range axes {
		if a < 0 || a >= len(x.shape) || x.shape[a] != 1 {
			fault("squeeze axis %d of %v", a, x.shape)
		}
	}
	n := &node{op: "Squeeze", in: []*Value{x}, ints: [][]int{axes}, args: args{axes: axes}}
	n.back = func(dy []*Value) []*Value { return []*Value{g.Reshape(dy[0], x.shape...)} }
	return g.add1(n, reduced(x.shape, axes, false))
}

// Expand repeats x along its axes of size 1 until it has the shape.
func (g *Graph) Expand(x *Value, shape ...int) *Value {
	if slices.Equal(x.shape, shape) {
		return x
	}
	if !slices.Equal(broadcast("Expand", x.shape, shape), shape) {
		fault("expand %v to %v", x.shape, shape)
	}
	n := &node{op: "Expand", in: []*Value{x}, ints: [][]int{shape}}
	n.back = func(dy []*Value) []*Value { return []*Value{g.sumTo(dy[0], x.shape)} }
	return g.add1(n, slices.Clone(shape))
}

// Transpose reorders the axes: axis i of the result is axis perm[i] of x.
func (g *Graph) Transpose(x *Value, perm ...int) *Value {
	if len(perm) != len(x.shape) {
		fault("transpose %v by %v", x.shape, perm)
	}
	if g.rows {
		if slices.IsSorted(perm) {
			return x
		}
		if g.passes(x) && x.node.op == "Transpose" {
			all := make([]int, len(perm))
			for i, p := range perm {
				all[i] = x.node.args.axes[p]
			}
			return g.Transpose(x.node.in[0], all...)
		}
	}
	shape, inverse := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], inverse[p] = x.shape[p], i
	}
	n := &node{op: "Transpose", in: []*Value{x}, attrs: []onnx.Attr{onnx.Ints("perm", int64s(perm)...)}, args: args{axes: perm}}
	n.back = func(dy []*Value) []*Value { return []*Value{g.Transpose(dy[0], inverse...)} }
	return g.add1(n, shape)
}

// Slice takes [from, to) of one axis.
func (g *Graph) Slice(x *Value, axis, from, to int) *Value {
	if axis < 0 || axis >= len(x.shape) || from < 0 || from >= to || to > x.shape[axis] {
		fault("slice [%d, %d) of axis %d of %v", from, to, axis, x.shape)
	}
	shape := slices.Clone(x.shape)
	shape[axis] = to - from
	n := &node{op: "Slice", in: []*Value{x}, ints: [][]int{{from}, {to}, {axis}}, args: args{axes: []int{axis}, from: from, to: to}}
	n.back = func(dy []*Value) []*Value {
		fixed("Slice", x)
		var parts []*Value
		zeros := func(n int) {
			if n > 0 {
				s := slices.Clone(x.shape)
				s[axis] = n
				parts = append(parts, g.fill(0, s))
			}
		}
		zeros(from)
		parts = append(parts, dy[0])
		zeros(x.shape[axis] - to)
		return []*Value{g.Concat(axis, parts...)}
	}
	return g.add1(n, shape)
}

// Concat joins values along an axis.
func (g *Graph) Concat(axis int, xs ...*Value) *Value {
	shape := slices.Clone(xs[0].shape)
	for _, x := range xs[1:] {
		shape[axis] += x.shape[axis]
	}
	for _, x := range xs {
		s := slices.Clone(x.shape)
		s[axis] = shape[axis]
		if !slices.Equal(s, shape) || x.shape[axis] == Batch {
			fault("concatenate %v and %v along axis %d", xs[0].shape, x.shape, axis)
		}
	}
	if len(xs) == 1 {
		return xs[0]
	}
	n := &node{op: "Concat", in: slices.Clone(xs), attrs: []onnx.Attr{onnx.Int("axis", int64(axis))}, args: args{axes: []int{axis}}}
	n.back = func(dy []*Value) []*Value {
		var out []*Value
		at := 0
		for _, x := range n.in {
			out = append(out, g.Slice(dy[0], axis, at, at+x.shape[axis]))
			at += x.shape[axis]
		}
		return out
	}
	return g.add1(n, shape)
}

// Split cuts a vector into values of the given shapes, one after the other; what is left over is a fault.
func (g *Graph) Split(v *Value, shapes [][]int) []*Value {
	var out []*Value
	at := 0
	for _, s := range shapes {
		part := g.Reshape(g.Slice(v, 0, at, at+size(s)), s...)
		part.kept = true
		out = append(out, part)
		at += size(s)
	}
	if at != v.shape[0] {
		fault("split %v into %v", v.shape, shapes)
	}
	return out
}

// Join is the inverse of Split.
func (g *Graph) Join(vs ...*Value) *Value {
	flat := make([]*Value, len(vs))
	for i, v := range vs {
		flat[i] = g.Reshape(v, size(v.shape))
	}
	return g.Concat(0, flat...)
}
