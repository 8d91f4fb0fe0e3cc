package graph

import (
	"fmt"
	"slices"

	"andon/model/onnx"
)

// Output names a value for Model.
type Output struct {
	Name  string
	Value *Value
}

// Model writes the part of the graph that the outputs depend on as an ONNX file. Its inputs are those of that part, in the order they were declared;
// a dimension of size Batch is called "batch".
func (g *Graph) Model(name string, outputs ...Output) []byte {
	needed := make([]bool, len(g.values))
	for _, o := range outputs {
		needed[o.Value.id] = true
	}
	for id := len(g.values) - 1; id >= 0; id-- {
		if needed[id] {
			for _, x := range g.values[id].node.reads() {
				needed[x.id] = true
			}
		}
	}
	w := onnx.NewGraph(name)
	names := make([]string, len(g.values))
	vectors := map[string]string{}
	ints := func(v []int) string {
		key := fmt.Sprint(v)
		if _, ok := vectors[key]; !ok {
			vectors[key] = w.Ints(w.Name(), int64s(v)...)
		}
		return vectors[key]
	}
	for _, v := range g.values {
		if v.at == 0 && slices.ContainsFunc(v.node.out, func(o *Value) bool { return needed[o.id] }) {
			v.node.emit(w, names, needed, ints)
		}
	}
	for _, o := range outputs {
		w.Node("Identity", []string{names[o.Value.id]}, []string{o.Name})
		w.Output(o.Name, onnx.Float, dims(o.Value.shape)...)
	}
	return w.Model()
}

// reads returns the values that the node as it is written reads.
func (n *node) reads() []*Value {
	if n.by != nil {
		return []*Value{n.by}
	}
	return n.in
}

func (n *node) emit(w *onnx.Graph, names []string, needed []bool, ints func([]int) string) {
	switch n.op {
	case kindInput:
		names[n.out[0].id] = w.Input(n.name, onnx.Float, dims(n.out[0].shape)...)
		return
	case kindConst:
		names[n.out[0].id] = w.Floats(w.Name(), n.out[0].shape, n.data)
		return
	}
	if n.by != nil {
		names[n.out[0].id] = names[n.by.id]
		return
	}
	var in, out []string
	for _, x := range n.in {
		in = append(in, names[x.id])
	}
	for _, v := range n.ints {
		in = append(in, ints(v))
	}
	for _, v := range n.out {
		if needed[v.id] {
			names[v.id] = w.Name()
		}
		out = append(out, names[v.id])
	}
	if n.write != nil {
		n.write(w, in, out)
		return
	}
	w.Node(n.op, in, out, n.attrs...)
}

func dims(shape []int) []onnx.Dim {
	d := onnx.Fixed(shape...)
	for i, s := range shape {
		if s == Batch {
			d[i] = onnx.Dim{Name: "batch"}
		}
	}
	return d
}
