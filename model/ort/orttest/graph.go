package orttest

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"andon/model/ort"
)

// Graph gathers an ONNX graph; field numbers are those of onnx.proto.
type Graph struct {
	nodes, weights, inputs, outputs [][]byte
}

// Attr is one attribute of a node: an int64 or a []int64.
type Attr struct {
	Name  string
	Value any
}

// Input declares an input; a dimension is an int64, where -1 is free.
func (g *Graph) Input(name string, t ort.Type, shape ...int64) {
	g.inputs = append(g.inputs, port(name, t, shape))
}

// Output declares an output.
func (g *Graph) Output(name string, t ort.Type, shape ...int64) {
	g.outputs = append(g.outputs, port(name, t, shape))
}

// Node adds an operator.
func (g *Graph) Node(op string, in, out []string, attrs ...Attr) {
	var b []byte
	for _, s := range in {
		b = text(b, 1, s)
	}
	for _, s := range out {
		b = text(b, 2, s)
	}
	b = text(b, 4, op)
	for _, a := range attrs {
		c := text(nil, 1, a.Name)
		switch v := a.Value.(type) {
		case int64:
			c = number(number(c, 3, v), 20, 2)
		case []int64:
			for _, x := range v {
				c = number(c, 8, x)
			}
			c = number(c, 20, 7)
		}
		b = message(b, 5, c)
	}
	g.nodes = append(g.nodes, b)
}

// Floats adds a constant; no dimensions make a scalar.
func (g *Graph) Floats(name string, values []float32, shape ...int64) {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	g.weight(name, ort.Float32, raw, shape)
}

// Ints adds a constant of one dimension.
func (g *Graph) Ints(name string, values ...int64) {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v)) //nolint:gosec // two's complement is what the file wants
	}
	g.weight(name, ort.Int64, raw, []int64{int64(len(values))})
}

func (g *Graph) weight(name string, t ort.Type, raw []byte, shape []int64) {
	var b []byte
	for _, d := range shape {
		b = number(b, 1, d)
	}
	b = number(b, 2, int64(t))
	b = text(b, 8, name)
	g.weights = append(g.weights, message(b, 9, raw))
}

// File returns the ONNX file.
func (g *Graph) File() []byte {
	var b []byte
	for _, part := range []struct {
		field protowire.Number
		list  [][]byte
	}{{1, g.nodes}, {5, g.weights}, {11, g.inputs}, {12, g.outputs}} {
		for _, m := range part.list {
			b = message(b, part.field, m)
		}
	}
	b = text(b, 2, "test")
	file := number(nil, 1, 8) // IR version
	file = message(file, 7, b)
	return message(file, 8, number(text(nil, 1, ""), 2, 17)) // opset
}

func port(name string, t ort.Type, shape []int64) []byte {
	var dims []byte
	for _, d := range shape {
		dim := text(nil, 2, "batch")
		if d >= 0 {
			dim = number(nil, 1, d)
		}
		dims = message(dims, 1, dim)
	}
	tensor := message(number(nil, 1, int64(t)), 2, dims)
	return message(text(nil, 1, name), 2, message(nil, 1, tensor))
}

func text(b []byte, n protowire.Number, s string) []byte { return message(b, n, []byte(s)) }

func message(b []byte, n protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), m)
}

func number(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v)) //nolint:gosec // two's complement
}
