// Package graph builds networks and their training steps as ONNX graphs. Gradients come from reverse-mode differentiation (Griewank and Walther,
// "Evaluating Derivatives", 2008): every operator brings the rule that turns the gradient of its results into that of its operands, and the rules
// add ordinary nodes to the same graph.
//
// Shapes are checked while the graph is built. A graph that does not fit together is a fault of the program that builds it, so the methods panic.
package graph

import (
	"fmt"
	"slices"

	"andon/model/onnx"
)

// Batch is the size of a dimension that each run of the model chooses. At most one dimension of a value has it, and gradients need it to be fixed.
const Batch = -1

// Graph is a network under construction. Values of different graphs must not meet.
type Graph struct {
	values  []*Value
	inputs  []*Value
	scalars map[float32]*Value
	rows    bool
}

// New returns an empty graph.
func New() *Graph { return &Graph{scalars: map[float32]*Value{}} }

// Value is a float32 tensor of the graph.
type Value struct {
	id    int
	shape []int
	node  *node // what makes it
	at    int   // which of the node's results it is
	kept  bool  // no operator goes before it, so that gradients by it can be taken
}

// Shape returns the value's dimensions; the caller must not change them.
func (v *Value) Shape() []int { return v.shape }

// node is one operator. Its op is the ONNX operator's name, or one of the kinds below.
type node struct {
	op    string
	in    []*Value
	ints  [][]int // operands that ONNX takes as int64 vectors after in
	attrs []onnx.Attr
	out   []*Value
	// back returns the gradient for each operand, given that of each result; nil in dy or in what it returns means zero.
	back func(dy []*Value) []*Value
	// by is a value that computes the only result and is written instead of the node.
	by *Value
	// write replaces the plain way of writing the node; results that nothing reads have no name.
	write func(w *onnx.Graph, in, out []string)

	name string    // of an input
	data []float32 // of a constant
	args args
}

// Kinds of node that are no ONNX operator.
const (
	kindInput = "input"
	kindConst = "constant"
)

// args keeps an operator's parameters in plain form for those who evaluate the graph by other means.
type args struct {
	axes           []int // of Reduce, Squeeze, Unsqueeze; the permutation of Transpose; the only axis of Concat and Slice
	keep           bool
	from, to       int
	transA, transB bool
	stride, pad    int
}

func (g *Graph) add(n *node, shapes ...[]int) []*Value {
	for i, s := range shapes {
		v := &Value{id: len(g.values), shape: s, node: n, at: i}
		g.values = append(g.values, v)
		n.out = append(n.out, v)
	}
	return n.out
}

func (g *Graph) add1(n *node, shape []int) *Value { return g.add(n, shape)[0] }

// Input declares a float32 input.
func (g *Graph) Input(name string, shape ...int) *Value {
	v := g.add1(&node{op: kindInput, name: name}, slices.Clone(shape))
	g.inputs = append(g.inputs, v)
	return v
}

// Const is a constant; it keeps data. Without dimensions it is a scalar.
func (g *Graph) Const(data []float32, shape ...int) *Value {
	if size(shape) != len(data) {
		fault("constant of shape %v given %d values", shape, len(data))
	}
	return g.add1(&node{op: kindConst, data: data}, slices.Clone(shape))
}

// Scalar is a constant without dimensions; equal ones are shared.
func (g *Graph) Scalar(x float32) *Value {
	v, ok := g.scalars[x]
	if !ok {
		v = g.Const([]float32{x})
		g.scalars[x] = v
	}
	return v
}

// size returns the number of elements of a shape; negative if a dimension is not fixed.
func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// fixed panics unless every dimension of the values is known, which gradients need.
func fixed(op string, vs ...*Value) {
	for _, v := range vs {
		if slices.Contains(v.shape, Batch) {
			fault("the gradient of %s needs a fixed batch, not %v", op, v.shape)
		}
	}
}

func fault(format string, a ...any) { panic("graph: " + fmt.Sprintf(format, a...)) }
