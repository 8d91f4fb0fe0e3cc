package graph

import (
	"slices"

	"andon/model/onnx"
)

// unary adds an operator of one operand; back gets the operand, the result and the result's gradient.
func (g *Graph) unary(op string, x *Value, back func(x, y, dy *Value) *Value) *Value {
	if from, again := g.moved(x); from != nil {
		return again(g.unary(op, from, back))
	}
	n := &node{op: op, in: []*Value{x}}
	y := g.add1(n, slices.Clone(x.shape))
	if back != nil {
		n.back = func(dy []*Value) []*Value { return []*Value{back(x, y, dy[0])} }
	}
	return y
}

// Neg returns -x.
func (g *Graph) Neg(x *Value) *Value {
	return g.unary("Neg", x, func(_, _, dy *Value) *Value { return g.Neg(dy) })
}

// Sigmoid returns 1/(1+exp(-x)).
func (g *Graph) Sigmoid(x *Value) *Value {
	return g.unary("Sigmoid", x, func(_, y, dy *Value) *Value { return g.Mul(dy, g.Mul(y, g.Sub(g.Scalar(1), y))) })
}

// Tanh returns the hyperbolic tangent.
func (g *Graph) Tanh(x *Value) *Value {
	return g.unary("Tanh", x, func(_, y, dy *Value) *Value { return g.Mul(dy, g.Sub(g.Scalar(1), g.Mul(y, y))) })
}

// Relu returns max(x, 0); its gradient at 0 is 0.
func (g *Graph) Relu(x *Value) *Value {
	return g.unary("Relu", x, func(_, y, dy *Value) *Value { return g.Mul(dy, g.positive(y)) })
}

// Abs returns |x|; its gradient at 0 is 0.
func (g *Graph) Abs(x *Value) *Value {
	return g.unary("Abs", x, func(x, _, dy *Value) *Value { return g.Mul(dy, g.sign(x)) })
}

// Exp returns e to the x.
func (g *Graph) Exp(x *Value) *Value {
	return g.unary("Exp", x, func(_, y, dy *Value) *Value { return g.Mul(dy, y) })
}

// Log returns the natural logarithm.
func (g *Graph) Log(x *Value) *Value {
	return g.unary("Log", x, func(x, _, dy *Value) *Value { return g.Div(dy, x) })
}

// Sqrt returns the square root.
func (g *Graph) Sqrt(x *Value) *Value {
	return g.unary("Sqrt", x, func(_, y, dy *Value) *Value { return g.Div(dy, g.Mul(y, g.Scalar(2))) })
}

// sign returns -1, 0 or 1; it has no gradient.
func (g *Graph) sign(x *Value) *Value { return g.unary("Sign", x, nil) }

// positive returns 1 where y, which is nowhere below 0, is above it, and 0 elsewhere; it has no gradient. It is a steep ramp, which ONNX Runtime computes four times as fast as the sign.
func (g *Graph) positive(y *Value) *Value {
	if from, again := g.moved(y); from != nil {
		return again(g.positive(from))
	}
	n := &node{op: "HardSigmoid", in: []*Value{y}, attrs: []onnx.Attr{onnx.F("alpha", 3e38), onnx.F("beta", 0)}}
	return g.add1(n, slices.Clone(y.shape))
}

// binary adds an operator of two operands that broadcast against each other as NumPy's do; back gets the operands, the result and the result's
// gradient, and returns gradients of the result's shape, which are summed here to the operands' shapes.
func (g *Graph) binary(op string, a, b *Value, back func(a, b, y, dy *Value) (da, db *Value)) *Value {
	if fromA, fromB, again := g.movedAlike(a, b); again != nil {
		return again(g.binary(op, fromA, fromB, back))
	}
	n := &node{op: op, in: []*Value{a, b}}
	y := g.add1(n, broadcast(op, a.shape, b.shape))
	if back != nil {
		n.back = func(dy []*Value) []*Value {
			fixed(op, y)
			da, db := back(a, b, y, dy[0])
			return []*Value{g.sumTo(da, a.shape), g.sumTo(db, b.shape)}
		}
	}
	return y
}

// Add returns a+b.
func (g *Graph) Add(a, b *Value) *Value {
	return g.binary("Add", a, b, func(_, _, _, dy *Value) (da, db *Value) { return dy, dy })
}

// Sub returns a-b.
func (g *Graph) Sub(a, b *Value) *Value {
	return g.binary("Sub", a, b, func(_, _, _, dy *Value) (da, db *Value) { return dy, g.Neg(dy) })
}

// Mul returns a*b, element by element.
func (g *Graph) Mul(a, b *Value) *Value {
	return g.binary("Mul", a, b, func(a, b, _, dy *Value) (da, db *Value) { return g.Mul(dy, b), g.Mul(dy, a) })
}

// Div returns a/b, element by element.
func (g *Graph) Div(a, b *Value) *Value {
	return g.binary("Div", a, b, func(_, b, y, dy *Value) (da, db *Value) {
		da = g.Div(dy, b)
		return da, g.Neg(g.Mul(da, y))
	})
}

// min returns the smaller of a and b; it has no gradient.
func (g *Graph) min(a, b *Value) *Value { return g.binary("Min", a, b, nil) }

// broadcast returns the shape that two shapes stretch to.
func broadcast(op string, a, b []int) []int {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := dimFromEnd(a, len(out)-1-i), dimFromEnd(b, len(out)-1-i)
		switch {
		case x == y || y == 1:
			out[i] = x
		case x == 1:
			out[i] = y
		default:
			fault("%s of shapes %v and %v", op, a, b)
		}
	}
	return out
}

func dimFromEnd(shape []int, i int) int {
	if i >= len(shape) {
		return 1
	}
	return shape[len(shape)-1-i]
}

// sumTo sums v over the dimensions that shape was stretched along.
func (g *Graph) sumTo(v *Value, shape []int) *Value {
	if slices.Equal(v.shape, shape) {
		return v
	}
	var axes []int
	for i := range v.shape {
		if dimFromEnd(shape, len(v.shape)-1-i) != v.shape[i] {
			axes = append(axes, i)
		}
	}
	if len(axes) > 0 {
		v = g.ReduceSum(v, axes, true)
	}
	return g.Reshape(v, shape...)
}
