package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// The versions that Model writes. Operator set 17 and file format 8 are what PyTorch's exporter wrote for years, so every runtime reads them.
const (
	Opset     = 17
	IRVersion = 8
)

// Type is an element type (TensorProto.DataType).
type Type int32

// The element types that our graphs use.
const (
	Float   Type = 1
	Uint8   Type = 2
	Int64   Type = 7
	Bool    Type = 9
	Float16 Type = 10
	Double  Type = 11
)

// Dim is one dimension of a shape: a fixed size, or a name for a size that each run chooses.
type Dim struct {
	Size int64
	Name string
}

// Fixed returns dimensions of fixed sizes.
func Fixed(sizes ...int) []Dim {
	d := make([]Dim, len(sizes))
	for i, n := range sizes {
		d[i].Size = int64(n)
	}
	return d
}

// Graph gathers nodes in the order they are added, which must be an order in which they can run. A graph that belongs to a control-flow node may
// read the outer graph's tensors by name; names are therefore unique across both: give the inner graph a name of its own, which prefixes them.
type Graph struct {
	name                          string
	nodes, inits, inputs, outputs [][]byte
	fresh                         int

	// What an embedded file brings; see Embed.
	ir                        int64
	opsets, functions, sparse [][]byte
}

// NewGraph returns an empty graph; every name that it makes up starts with name.
func NewGraph(name string) *Graph { return &Graph{name: name} }

// Name makes up a tensor name that the graph has not used.
func (g *Graph) Name() string {
	g.fresh++
	return g.name + "_" + strconv.Itoa(g.fresh)
}

// Input declares an input and returns its name.
func (g *Graph) Input(name string, t Type, dims ...Dim) string {
	g.inputs = append(g.inputs, valueInfo(name, t, dims))
	return name
}

// Output declares that the tensor of that name is an output.
func (g *Graph) Output(name string, t Type, dims ...Dim) {
	g.outputs = append(g.outputs, valueInfo(name, t, dims))
}

// Floats adds a float32 constant and returns its name; no dims make it a scalar. It panics when values do not fill the shape.
func (g *Graph) Floats(name string, dims []int, values []float32) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return g.constant(name, Float, dims, len(values), raw)
}

// Ints adds an int64 vector and returns its name.
func (g *Graph) Ints(name string, values ...int64) string {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return g.constant(name, Int64, []int{len(values)}, len(values), raw)
}

func (g *Graph) constant(name string, t Type, dims []int, n int, raw []byte) string {
	size := 1
	var b []byte
	for _, d := range dims {
		size *= d
		b = appendInt(b, tensorDims, int64(d))
	}
	if size != n {
		panic(fmt.Sprintf("onnx: constant %s of shape %v given %d values", name, dims, n))
	}
	b = appendInt(b, tensorType, int64(t))
	b = appendString(b, tensorName, name)
	b = appendBytes(b, tensorRaw, raw)
	g.inits = append(g.inits, b)
	return name
}

// Node adds a node. An empty name among in or out leaves that optional tensor away.
func (g *Graph) Node(op string, in, out []string, attrs ...Attr) {
	var b []byte
	for _, s := range in {
		b = appendString(b, nodeInput, s)
	}
	for _, s := range out {
		b = appendString(b, nodeOutput, s)
	}
	b = appendString(b, nodeOp, op)
	for _, a := range attrs {
		b = appendBytes(b, nodeAttr, a)
	}
	g.nodes = append(g.nodes, b)
}

// Op adds a node with one output and returns the output's name.
func (g *Graph) Op(op string, in []string, attrs ...Attr) string {
	out := g.Name()
	g.Node(op, in, []string{out}, attrs...)
	return out
}

func (g *Graph) encode() []byte {
	var b []byte
	for _, n := range g.nodes {
		b = appendBytes(b, graphNode, n)
	}
	b = appendString(b, graphName, g.name)
	for _, n := range g.inits {
		b = appendBytes(b, graphInit, n)
	}
	for _, n := range g.sparse {
		b = appendBytes(b, graphSparse, n)
	}
	for _, n := range g.inputs {
		b = appendBytes(b, graphInput, n)
	}
	for _, n := range g.outputs {
		b = appendBytes(b, graphOutput, n)
	}
	return b
}

// Model returns the graph as a whole ONNX file.
func (g *Graph) Model() []byte {
	opsets := g.opsets
	if !hasPlainDomain(opsets) {
		var set []byte
		set = appendString(set, opsetDomain, "")
		opsets = append(opsets[:len(opsets):len(opsets)], appendInt(set, opsetVersion, Opset))
	}
	var b []byte
	b = appendInt(b, modelIR, max(IRVersion, g.ir))
	b = appendString(b, modelProducer, "andon")
	b = appendBytes(b, modelGraph, g.encode())
	for _, s := range opsets {
		b = appendBytes(b, modelOpset, s)
	}
	for _, f := range g.functions {
		b = appendBytes(b, modelFunctions, f)
	}
	return b
}

// hasPlainDomain reports whether one of the operator sets is ONNX's own.
func hasPlainDomain(opsets [][]byte) bool {
	for _, s := range opsets {
		domain := ""
		_ = fields(s, func(n protowire.Number, v []byte) error { // it was read before
			if n == opsetDomain {
				domain = string(v)
			}
			return nil
		})
		if plainDomain(domain) == "" {
			return true
		}
	}
	return false
}

// Attr is one attribute of a node, ready to be written.
type Attr []byte

func attr(name string, kind int64, fill func([]byte) []byte) Attr {
	b := fill(appendString(nil, attrName, name))
	return appendInt(b, attrType, kind)
}

// Int is an integer attribute.
func Int(name string, v int64) Attr {
	return attr(name, attrKindInt, func(b []byte) []byte { return appendInt(b, attrInt, v) })
}

// F is a float attribute.
func F(name string, v float32) Attr {
	return attr(name, attrKindFloat, func(b []byte) []byte {
		b = protowire.AppendTag(b, attrFloat, protowire.Fixed32Type)
		return protowire.AppendFixed32(b, math.Float32bits(v))
	})
}

// String is a text attribute.
func String(name, v string) Attr {
	return attr(name, attrKindString, func(b []byte) []byte { return appendString(b, attrString, v) })
}

// Ints is a list of integers.
func Ints(name string, vs ...int64) Attr {
	return attr(name, attrKindInts, func(b []byte) []byte {
		for _, v := range vs {
			b = appendInt(b, attrInts, v)
		}
		return b
	})
}

// Body is a graph that a control-flow node runs; it is taken as it is now.
func Body(name string, g *Graph) Attr {
	return attr(name, attrKindGraph, func(b []byte) []byte { return appendBytes(b, attrGraph, g.encode()) })
}
