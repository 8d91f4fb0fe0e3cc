package onnx

import (
	"encoding/binary"
	"math"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a decoded protobuf message: every field's values in order, numbers as uint64 and the rest as bytes.
type message map[protowire.Number][]any

func read(t *testing.T, b []byte) message {
	t.Helper()
	m := message{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var v any
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			v, n = protowire.ConsumeFixed32(b)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d has wire type %d", num, typ)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		m[num] = append(m[num], v)
	}
	return m
}

func (m message) text(n protowire.Number, i int) string { return string(m[n][i].([]byte)) }
func (m message) num(n protowire.Number, i int) int64   { return int64(m[n][i].(uint64)) }
func (m message) sub(t *testing.T, n protowire.Number, i int) message {
	t.Helper()
	return read(t, m[n][i].([]byte))
}

func (m message) texts(n protowire.Number) []string {
	var s []string
	for i := range m[n] {
		s = append(s, m.text(n, i))
	}
	return s
}

// sample has everything the builder writes: symbolic and fixed sizes, constants of both types, every kind of attribute, an inner graph.
func sample() *Graph {
	g := NewGraph("sample")
	x := g.Input("x", Float, append([]Dim{{Name: "batch"}}, Fixed(3, 2)...)...)
	first := g.Floats("first", []int{2}, []float32{0.5, -2})
	order := g.Op("Transpose", []string{x}, Ints("perm", 1, 0, 2))
	start := g.Op("ReduceSum", []string{order, g.Ints("axes", 0)}, Int("keepdims", 0))
	body := NewGraph("body")
	h := body.Input("h", Float, Dim{Name: "batch"}, Dim{Size: 2})
	xt := body.Input("xt", Float, Dim{Name: "batch"}, Dim{Size: 2})
	body.Node("Add", []string{body.Op("Mul", []string{h, first}), xt}, []string{"h_next"})
	body.Output("h_next", Float, Dim{Name: "batch"}, Dim{Size: 2})
	g.Node("Scan", []string{start, order}, []string{"last"}, Body("body", body), Int("num_scan_inputs", 1), Ints("scan_input_directions", 1))
	g.Node("LeakyRelu", []string{"last"}, []string{"y"}, F("alpha", 0.25))
	g.Output("y", Float, Dim{Name: "batch"}, Dim{Size: 2})
	return g
}

func TestGraphReadsBack(t *testing.T) {
	m := read(t, sample().Model())
	if m.num(modelIR, 0) != 8 || m.text(modelProducer, 0) != "andon" {
		t.Errorf("IR %d by %s", m.num(modelIR, 0), m.text(modelProducer, 0))
	}
	if set := m.sub(t, modelOpset, 0); set.num(opsetVersion, 0) != 17 {
		t.Errorf("opset %d", set.num(opsetVersion, 0))
	}
	g := m.sub(t, modelGraph, 0)
	if g.text(graphName, 0) != "sample" || len(g[graphNode]) != 4 || len(g[graphInit]) != 2 {
		t.Fatalf("graph %s: %d nodes, %d constants", g.text(graphName, 0), len(g[graphNode]), len(g[graphInit]))
	}

	shape := g.sub(t, graphInput, 0).sub(t, valueType, 0).sub(t, typeTensor, 0).sub(t, tensorTypeShape, 0)
	if batch := shape.sub(t, shapeDim, 0); batch.text(dimParam, 0) != "batch" || len(batch[dimValue]) != 0 {
		t.Errorf("first dimension %v", batch)
	}
	if n := shape.sub(t, shapeDim, 1).num(dimValue, 0); n != 3 {
		t.Errorf("second dimension %d", n)
	}

	c := g.sub(t, graphInit, 0)
	raw := c[tensorRaw][0].([]byte)
	if c.text(tensorName, 0) != "first" || c.num(tensorType, 0) != int64(Float) || c.num(tensorDims, 0) != 2 ||
		math.Float32frombits(binary.LittleEndian.Uint32(raw[4:])) != -2 {
		t.Errorf("constant %v", c)
	}

	scan := g.sub(t, graphNode, 2)
	if scan.text(nodeOp, 0) != "Scan" || !slices.Equal(scan.texts(nodeOutput), []string{"last"}) || len(scan.texts(nodeInput)) != 2 {
		t.Fatalf("third node %s of %v", scan.text(nodeOp, 0), scan.texts(nodeInput))
	}
	body := scan.sub(t, nodeAttr, 0)
	if body.num(attrType, 0) != attrKindGraph {
		t.Errorf("body has attribute type %d", body.num(attrType, 0))
	}
	mul := body.sub(t, attrGraph, 0).sub(t, graphNode, 0)
	if !slices.Equal(mul.texts(nodeInput), []string{"h", "first"}) {
		t.Errorf("the body multiplies %v, want the outer constant", mul.texts(nodeInput))
	}
	if a := scan.sub(t, nodeAttr, 2); a.text(attrName, 0) != "scan_input_directions" || a.num(attrInts, 0) != 1 || a.num(attrType, 0) != attrKindInts {
		t.Errorf("list attribute %v", a)
	}
	if a := g.sub(t, graphNode, 3).sub(t, nodeAttr, 0); math.Float32frombits(a[attrFloat][0].(uint32)) != 0.25 {
		t.Errorf("float attribute %v", a)
	}
}

func TestConstantMustFillItsShape(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a constant of 2x2 with 3 values was taken")
		}
	}()
	NewGraph("g").Floats("c", []int{2, 2}, []float32{1, 2, 3})
}

func TestMetadata(t *testing.T) {
	file := AppendMetadata(AppendMetadata(AppendMetadata(sample().Model(), "a", "1"), "b", "2"), "a", "3")
	props, err := Metadata(file)
	if err != nil || len(props) != 2 || props["a"] != "3" || props["b"] != "2" {
		t.Errorf("metadata %v, %v", props, err)
	}
	for _, bad := range [][]byte{nil, {0xff}, file[:len(file)-1]} {
		if _, err := Metadata(bad); err == nil {
			t.Errorf("read metadata of %d torn bytes", len(bad))
		}
	}
}

// ONNX_SAMPLE names a file to write the sample to, for a look with other tools: python -c 'import onnx; onnx.checker.check_model(PATH, full_check=True)'.
func TestWriteSample(t *testing.T) {
	path := os.Getenv("ONNX_SAMPLE")
	if path == "" {
		t.Skip("ONNX_SAMPLE names no file")
	}
	if err := os.WriteFile(path, sample().Model(), 0o644); err != nil {
		t.Fatal(err)
	}
}
