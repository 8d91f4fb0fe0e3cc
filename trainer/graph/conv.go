package graph

import (
	"slices"

	"andon/model/onnx"
)

// Conv is a two-dimensional convolution (a cross-correlation, as ONNX and PyTorch have it): x is [batch, in, height, width], w [out, in, k, k] and b, which
// may be nil, [out]. The window moves by stride, over pad zeros on every side. The result is [batch, out, (height+2pad-k)/stride+1, the same of width].
func (g *Graph) Conv(x, w, b *Value, stride, pad int) *Value {
	if len(x.shape) != 4 || len(w.shape) != 4 || x.shape[1] != w.shape[1] || w.shape[2] != w.shape[3] || stride < 1 || pad < 0 ||
		b != nil && !slices.Equal(b.shape, w.shape[:1]) {
		fault("convolution of x %v, w %v, b %v, stride %d, pad %d", x.shape, w.shape, shapeOf(b), stride, pad)
	}
	k := w.shape[2]
	high, wide := (x.shape[2]+2*pad-k)/stride+1, (x.shape[3]+2*pad-k)/stride+1
	if x.shape[2]+2*pad < k || x.shape[3]+2*pad < k {
		fault("a convolution of %v by windows of %d over pad %d", x.shape, k, pad)
	}
	if g.rows && byRows(x, k, stride, pad) {
		y := g.convRows(g.Transpose(x, 0, 2, 3, 1), w, b, stride, pad)
		return g.Transpose(g.Reshape(y, x.shape[0], high, wide, w.shape[0]), 0, 3, 1, 2)
	}
	n := &node{op: "Conv", in: []*Value{x, w}, attrs: convAttrs(k, stride, pad), args: args{stride: stride, pad: pad}}
	if b != nil {
		n.in = append(n.in, b)
	}
	n.back = func(dys []*Value) []*Value {
		fixed("Conv", x)
		dy := dys[0]
		grads := []*Value{g.convInput(dy, w, x.shape, stride, pad), g.convWeights(x, dy, w.shape, stride, pad)}
		if b != nil {
			grads = append(grads, g.ReduceSum(dy, []int{0, 2, 3}, false))
		}
		return grads
	}
	return g.add1(n, []int{x.shape[0], w.shape[0], high, wide})
}

func shapeOf(v *Value) []int {
	if v == nil {
		return nil
	}
	return v.shape
}

func convAttrs(k, stride, pad int) []onnx.Attr {
	s, p := int64(stride), int64(pad)
	return []onnx.Attr{onnx.Ints("kernel_shape", int64(k), int64(k)), onnx.Ints("strides", s, s), onnx.Ints("pads", p, p, p, p)}
}

// convInput is the gradient by a convolution's input: the transposed convolution. Rows and columns that no window reached get zeros by output_padding.
func (g *Graph) convInput(dy, w *Value, shape []int, stride, pad int) *Value {
	k := w.shape[2]
	rest := func(in, out int) int64 { return int64(in - ((out-1)*stride - 2*pad + k)) }
	n := &node{op: "ConvTranspose", in: []*Value{dy, w}, attrs: append(convAttrs(k, stride, pad),
		onnx.Ints("output_padding", rest(shape[2], dy.shape[2]), rest(shape[3], dy.shape[3])))}
	return g.add1(n, slices.Clone(shape))
}

// convWeights is the gradient by a convolution's weights. What is faster depends on the stride; CPU ms for batches of 32 and 3x3 windows, the least of nine
// turns on a loaded machine (BenchmarkConvWeights):
//
//	in, side, stride   dilated   slices
//	 3, 64, 2           2.5       3.9
//	32, 16, 2           2.3       3.3
//	16, 32, 1          12.2       7.6
//	32, 16, 1           7.5       6.4
//	64,  8, 1           4.3       3.9
func (g *Graph) convWeights(x, dy *Value, shape []int, stride, pad int) *Value {
	if stride > 1 {
		return g.convWeightsDilated(x, dy, shape, stride, pad)
	}
	return g.convWeightsSlices(x, dy, shape, stride, pad)
}

// convWeightsDilated lets dy slide over x, with batch and channels in each other's place: what was the stride is how far dy is spread.
func (g *Graph) convWeightsDilated(x, dy *Value, shape []int, stride, pad int) *Value {
	k, high, wide := shape[2], dy.shape[2], dy.shape[3]
	// What no window reached is cut off; otherwise zeros are added until the last window is whole.
	end := func(axis, out int) int64 {
		rest := (out-1)*stride + k - x.shape[axis] - pad
		if rest < 0 {
			x = g.Slice(x, axis, 0, x.shape[axis]+rest)
		}
		return int64(max(rest, 0))
	}
	bottom, right := end(2, high), end(3, wide)
	s, p := int64(stride), int64(pad)
	n := &node{op: "Conv", in: []*Value{g.Transpose(x, 1, 0, 2, 3), g.Transpose(dy, 1, 0, 2, 3)}, attrs: []onnx.Attr{
		onnx.Ints("kernel_shape", int64(high), int64(wide)), onnx.Ints("dilations", s, s), onnx.Ints("pads", p, p, bottom, right)}}
	return g.Transpose(g.add1(n, []int{shape[1], shape[0], k, k}), 1, 0, 2, 3)
}

// convWeightsSlices multiplies dy, for every place of the window, by what of x lay under it.
func (g *Graph) convWeightsSlices(x, dy *Value, shape []int, stride, pad int) *Value {
	out, in, k := shape[0], shape[1], shape[2]
	n, high, wide := dy.shape[0], dy.shape[2], dy.shape[3]
	if pad > 0 {
		padded := &node{op: "Pad", in: []*Value{x}, ints: [][]int{{0, 0, pad, pad, 0, 0, pad, pad}}}
		x = g.add1(padded, []int{n, in, x.shape[2] + 2*pad, x.shape[3] + 2*pad})
	}
	var taps []*Value
	for i := range k {
		for j := range k {
			tap := &node{op: "Slice", in: []*Value{x}, ints: [][]int{{i, j}, {i + (high-1)*stride + 1, j + (wide-1)*stride + 1}, {2, 3}, {stride, stride}}}
			taps = append(taps, g.add1(tap, []int{n, in, high, wide}))
		}
	}
	under := g.Reshape(g.Concat(1, taps...), n, k*k*in, high*wide)
	each := g.MatMul(g.Reshape(dy, n, out, high*wide), g.turn(under))
	return g.Transpose(g.Reshape(g.ReduceSum(each, []int{0}, false), out, k, k, in), 0, 3, 1, 2)
}
