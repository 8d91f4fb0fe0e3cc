package graph

import (
	"slices"

	"andon/model/onnx"
)

// MatMul multiplies matrices of the last two axes; the axes before them broadcast.
func (g *Graph) MatMul(a, b *Value) *Value {
	i, j := len(a.shape), len(b.shape)
	if i < 2 || j < 2 || a.shape[i-1] != b.shape[j-2] {
		fault("multiply matrices %v and %v", a.shape, b.shape)
	}
	shape := append(broadcast("MatMul", a.shape[:i-2], b.shape[:j-2]), a.shape[i-2], b.shape[j-1])
	n := &node{op: "MatMul", in: []*Value{a, b}}
	n.back = func(dy []*Value) []*Value {
		fixed("MatMul", a, b)
		if i == 2 && j == 2 {
			return []*Value{g.Gemm(dy[0], b, nil, false, true), g.Gemm(a, dy[0], nil, true, false)}
		}
		return []*Value{g.sumTo(g.MatMul(dy[0], g.turn(b)), a.shape), g.sumTo(g.MatMul(g.turn(a), dy[0]), b.shape)}
	}
	return g.add1(n, shape)
}

// turn swaps the last two axes.
func (g *Graph) turn(x *Value) *Value {
	perm := make([]int, len(x.shape))
	for i := range perm {
		perm[i] = i
	}
	k := len(perm)
	perm[k-1], perm[k-2] = k-2, k-1
	return g.Transpose(x, perm...)
}

// Gemm returns op(a)·op(b) + c for matrices a and b, where op transposes if asked to, and c, which may be nil, broadcasts.
func (g *Graph) Gemm(a, b, c *Value, transA, transB bool) *Value {
	m, k := matrix(a, transA)
	k2, n := matrix(b, transB)
	if k != k2 {
		fault("Gemm of %v and %v, transposed %v and %v", a.shape, b.shape, transA, transB)
	}
	op := &node{op: "Gemm", in: []*Value{a, b}, args: args{transA: transA, transB: transB},
		attrs: []onnx.Attr{onnx.Int("transA", flag(transA)), onnx.Int("transB", flag(transB))}}
	if c != nil {
		if !slices.Equal(broadcast("Gemm", c.shape, []int{m, n}), []int{m, n}) {
			fault("Gemm adds %v to [%d %d]", c.shape, m, n)
		}
		op.in = append(op.in, c)
	}
	op.back = func(dys []*Value) []*Value {
		fixed("Gemm", a, b)
		dy, grads := dys[0], make([]*Value, len(op.in))
		if transA {
			grads[0] = g.Gemm(b, dy, nil, transB, true)
		} else {
			grads[0] = g.Gemm(dy, b, nil, false, !transB)
		}
		if transB {
			grads[1] = g.Gemm(dy, a, nil, true, transA)
		} else {
			grads[1] = g.Gemm(a, dy, nil, !transA, false)
		}
		if c != nil {
			grads[2] = g.sumTo(dy, c.shape)
		}
		return grads
	}
	return g.add1(op, []int{m, n})
}

func matrix(v *Value, trans bool) (rows, cols int) {
	if len(v.shape) != 2 {
		fault("%v is not a matrix", v.shape)
	}
	if trans {
		return v.shape[1], v.shape[0]
	}
	return v.shape[0], v.shape[1]
}
