package graph

import (
	"slices"

	"andon/model/onnx"
)

// Rows makes Conv a product of matrices wherever the batch is fixed, which is what the CPU is fastest at: pictures lie as [batch, height, width, channels], a row of channels for each place, and for each place the rows
// under the window are gathered once, for the result and for the weights' gradient alike ("im2col": Chellapilla, Puri and Simard 2006). Elementwise operators go before the change of order that leads out of such a
// layout, so that between two convolutions none is made. Set it before the first operator; where a device runs the graph, its own convolutions are better. Gradients are then
// taken by inputs and by what Split gives.
func (g *Graph) Rows() { g.rows = true }

// byRows tells whether convRows knows the window.
func byRows(x *Value, k, stride, pad int) bool {
	return x.shape[0] != Batch && (k == 1 && stride == 1 && pad == 0 || k == 3 && pad == 1 && stride <= 2)
}

// fewChannels is below how many channels a row is too short to be copied as one, and planes are gathered instead.
const fewChannels = 8

// convRows is Conv of x, [batch, height, width, in]. Its result is a matrix of a row for each of the places [batch, height', width'], and of out columns.
func (g *Graph) convRows(x, w, b *Value, stride, pad int) *Value {
	out, in, k := w.shape[0], w.shape[1], w.shape[2]
	n := &node{op: "ConvRows", in: []*Value{x, w}, args: args{stride: stride, pad: pad}}
	if b != nil {
		n.in = append(n.in, b)
	}
	places := []int{x.shape[0], (x.shape[1]+2*pad-k)/stride + 1, (x.shape[2]+2*pad-k)/stride + 1}
	var under *Value
	planes := k == 3 && in < fewChannels
	switch {
	case k == 1:
		under = g.Reshape(x, size(places), in)
	case planes:
		under = g.planesUnder(g.Transpose(x, 0, 3, 1, 2), places, stride)
	default:
		under = g.rowsAt(x, places, stride, []int{-1, 0, 1}, []int{-1, 0, 1})
	}
	taps := g.Transpose(w, 2, 3, 1, 0)
	n.by = g.Gemm(under, g.Reshape(taps, k*k*in, out), b, planes, false)
	n.back = func(dys []*Value) []*Value {
		dy := dys[0]
		dw := g.Gemm(under, dy, nil, !planes, false)
		grads := []*Value{g.convRowsInput(dy, taps, x.shape, places, stride), g.Transpose(g.Reshape(dw, k, k, in, out), 3, 2, 0, 1)}
		if b != nil {
			// A product with ones is twice as fast as a sum over an outer axis.
			grads = append(grads, g.Reshape(g.Gemm(g.fill(1, []int{1, dy.shape[0]}), dy, nil, false, false), out))
		}
		return grads
	}
	return g.add1(n, []int{size(places), out})
}

// convRowsInput is the gradient by the input; taps are the weights as [k, k, in, out]. For a stride of 1 it is the convolution of dy with the window turned around. For one of 2, an even row of the input was seen by the
// window's middle row at one place only, an odd one by its last row and, at the place below, by its first. Of columns the same holds, and two neighbours lie together: what came of this place and of the next, times the
// weights that led there.
func (g *Graph) convRowsInput(dy, taps *Value, shape, places []int, stride int) *Value {
	k, in, out := taps.shape[0], taps.shape[2], taps.shape[3]
	if k == 1 {
		return g.Reshape(g.Gemm(dy, g.Reshape(taps, in, out), nil, false, true), shape...)
	}
	deep := g.Reshape(dy, append(slices.Clone(places), out)...)
	if stride == 1 {
		turned := g.Reshape(g.Transpose(g.Reverse(g.Reshape(taps, 9, in, out), 0), 1, 0, 2), in, 9*out)
		return g.Reshape(g.Gemm(g.rowsAt(deep, places, 1, []int{-1, 0, 1}, []int{-1, 0, 1}), turned, nil, false, true), shape...)
	}
	// By the window's row, [2 in, 2 out]: to the even and the odd column from this place and the next.
	this := g.Reshape(g.cut(taps, 1, 1, 3), 3, 2*in, out)
	next := g.Reshape(g.pad(g.cut(taps, 1, 0, 1), []int{0, 1, 0, 0}, []int{0, 0, 0, 0}), 3, 2*in, out)
	both := g.Concat(2, this, next)
	lead := func(row int) *Value { return g.Reshape(g.cut(both, 0, row, row+1), 2*in, 2*out) }
	even := g.Gemm(g.rowsAt(deep, places, 1, []int{0}, []int{0, 1}), lead(1), nil, false, true)
	odd := g.Gemm(g.rowsAt(deep, places, 1, []int{0, 1}, []int{0, 1}), g.Concat(1, lead(2), lead(0)), nil, false, true)
	batch, high, wide := places[0], places[1], places[2]
	row := []int{batch, high, 1, wide * 2 * in}
	dx := g.Reshape(g.Concat(2, g.Reshape(even, row...), g.Reshape(odd, row...)), batch, 2*high, 2*wide, in)
	return g.cut(g.cut(dx, 1, 0, shape[1]), 2, 0, shape[2])
}

// rowsAt gathers for each of the places the rows of x, [batch, height, width, channels], that lie as many rows down and columns to the right of it as downs and rights say, zeros beyond the edges:
// [places, downs * rights * channels]. Places are stride apart.
func (g *Graph) rowsAt(x *Value, places []int, stride int, downs, rights []int) *Value {
	batch, high, wide, channels := x.shape[0], x.shape[1], x.shape[2], x.shape[3]
	var at []int
	for i := range places[1] {
		for j := range places[2] {
			for _, down := range downs {
				for _, right := range rights {
					row, col := i*stride+down, j*stride+right
					if row < 0 || row >= high || col < 0 || col >= wide {
						row, col = high, 0 // the row of zeros behind the last
					}
					at = append(at, row*wide+col)
				}
			}
		}
	}
	x = g.pad(g.Reshape(x, batch, high*wide, channels), []int{0, 0, 0}, []int{0, 1, 0})
	n := &node{op: "Gather", in: []*Value{x}, ints: [][]int{at}, attrs: []onnx.Attr{onnx.Int("axis", 1)}}
	return g.Reshape(g.add1(n, []int{batch, len(at), channels}), size(places), len(downs)*len(rights)*channels)
}

// planesUnder gathers what lies under a 3x3 window over planes, x being [batch, in, height, width], the other way around: [9 in, places].
func (g *Graph) planesUnder(x *Value, places []int, stride int) *Value {
	batch, high, wide, in := places[0], places[1], places[2], x.shape[1]
	var parts []*Value
	tap := func(x *Value, from, shape []int) {
		parts = append(parts, g.Reshape(g.box(x, from, shape), in, size(places)))
	}
	if stride == 1 {
		x = g.Transpose(g.pad(x, []int{0, 0, 1, 1}, []int{0, 0, 1, 1}), 1, 0, 2, 3)
		for i := range 9 {
			tap(x, []int{0, 0, i / 3, i % 3}, []int{in, batch, high, wide})
		}
		return g.Concat(0, parts...)
	}
	// Every second column of every second row is a plane of its own first, so that what is cut lies together.
	x = g.Transpose(g.pad(x, []int{0, 0, 1, 1}, []int{0, 0, 2*high + 1 - x.shape[2], 2*wide + 1 - x.shape[3]}), 1, 0, 2, 3)
	apart := &node{op: "SpaceToDepth", in: []*Value{g.Reshape(x, in*batch, 1, 2*(high+1), 2*(wide+1))}, attrs: []onnx.Attr{onnx.Int("blocksize", 2)}}
	x = g.Reshape(g.add1(apart, []int{in * batch, 4, high + 1, wide + 1}), in, batch, 4, high+1, wide+1)
	for i := range 9 {
		row, col := i/3, i%3
		tap(x, []int{0, 0, 2*(row%2) + col%2, row / 2, col / 2}, []int{in, batch, 1, high, wide})
	}
	return g.Concat(0, parts...)
}

// box cuts a part of the given shape that begins at from; it has no gradient.
func (g *Graph) box(x *Value, from, shape []int) *Value {
	var start, end, axes []int
	for i, n := range shape {
		if n != x.shape[i] {
			start, end, axes = append(start, from[i]), append(end, from[i]+n), append(axes, i)
		}
	}
	if len(axes) == 0 {
		return x
	}
	return g.add1(&node{op: "Slice", in: []*Value{x}, ints: [][]int{start, end, axes}}, slices.Clone(shape))
}

// cut is box along one axis.
func (g *Graph) cut(x *Value, axis, from, to int) *Value {
	start, shape := make([]int, len(x.shape)), slices.Clone(x.shape)
	start[axis], shape[axis] = from, to-from
	return g.box(x, start, shape)
}

// pad adds zeros before and after along each axis; it has no gradient.
func (g *Graph) pad(x *Value, before, after []int) *Value {
	shape := slices.Clone(x.shape)
	for i := range shape {
		shape[i] += before[i] + after[i]
	}
	return g.add1(&node{op: "Pad", in: []*Value{x}, ints: [][]int{slices.Concat(before, after)}}, shape)
}

// passes tells whether operators on x may go before what made it.
func (g *Graph) passes(x *Value) bool { return g.rows && !x.kept }

// moved returns what x is another order or shape of, and a function that gives a value the same; nil where x is none, or Rows is not set.
func (g *Graph) moved(x *Value) (from *Value, again func(*Value) *Value) {
	if !g.passes(x) {
		return nil, nil
	}
	switch n := x.node; n.op {
	case "Transpose":
		return n.in[0], func(v *Value) *Value { return g.Transpose(v, n.args.axes...) }
	case "Reshape":
		return n.in[0], func(v *Value) *Value { return g.Reshape(v, x.shape...) }
	}
	return nil, nil
}

// movedAlike returns what both operands were before they were moved in the same way, or what a was, where b is one number.
func (g *Graph) movedAlike(a, b *Value) (fromA, fromB *Value, again func(*Value) *Value) {
	fromA, again = g.moved(a)
	if again == nil {
		return nil, nil, nil
	}
	if len(b.shape) == 0 {
		return fromA, b, again
	}
	fromB, other := g.moved(b)
	if other == nil || a.node.op != b.node.op || !slices.Equal(a.shape, b.shape) || !slices.Equal(fromA.shape, fromB.shape) || !slices.Equal(a.node.args.axes, b.node.args.axes) {
		return nil, nil, nil
	}
	return fromA, fromB, again
}
