package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// MinOpset is the oldest operator set of a file that can be embedded: the nodes that we put around it mean the same from there on.
const MinOpset = 11

// Embed adds a file's nodes and constants to g as they are, so that nodes of g can feed them and take what they give. inputs maps each of the file's inputs to a
// tensor of g; what the file calls x is prefix+x in g, unless x is an input. The model that g becomes takes over the file's operator sets and functions. A graph
// takes one file.
func (g *Graph) Embed(file []byte, prefix string, inputs map[string]string) error {
	facts, err := Inspect(file)
	if err != nil {
		return err
	}
	for _, name := range facts.Inputs {
		if inputs[name] == "" {
			return fmt.Errorf("onnx: the file's input %q is fed by nothing", name)
		}
	}
	if set, ok := facts.Opsets[""]; ok && set < MinOpset {
		return fmt.Errorf("onnx: the file uses operator set %d: export it with %d or newer, %d is good", set, MinOpset, Opset)
	}
	r := renamer(func(name string) string {
		if to := inputs[name]; to != "" {
			return to
		}
		if name == "" { // an optional tensor that was left away
			return ""
		}
		return prefix + name
	})
	g.ir = max(IRVersion, facts.IR)
	return Each(file, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case modelOpset:
			g.opsets = append(g.opsets, v)
		case modelFunctions:
			g.functions = append(g.functions, v)
		case modelGraph:
			return Each(v, func(n protowire.Number, v []byte, _ uint64) error {
				switch n {
				case graphNode:
					b, err := r.node(v)
					g.nodes = append(g.nodes, b)
					return err
				case graphInit:
					b, err := r.named(v, tensorName)
					g.inits = append(g.inits, b)
					return err
				case graphSparse:
					b, err := r.sparse(v)
					g.sparse = append(g.sparse, b)
					return err
				}
				// Inputs and outputs become tensors like any other; shapes between them are inferred anew; notes on quantization are hints.
				return nil
			})
		}
		return nil
	})
}

// renamer gives tensors other names, in a graph and in the graphs inside it, which see the outer ones' tensors.
type renamer func(string) string

func (r renamer) graph(b []byte) ([]byte, error) {
	return rewrite(b, func(n protowire.Number, v []byte) ([]byte, error) {
		switch n {
		case graphNode:
			return r.node(v)
		case graphInit:
			return r.named(v, tensorName)
		case graphSparse:
			return r.sparse(v)
		case graphInput, graphOutput, graphValueInfo:
			return r.named(v, valueName)
		}
		return v, nil
	})
}

func (r renamer) node(b []byte) ([]byte, error) {
	return rewrite(b, func(n protowire.Number, v []byte) ([]byte, error) {
		switch n {
		case nodeInput, nodeOutput:
			return []byte(r(string(v))), nil
		case nodeAttr:
			return rewrite(v, func(n protowire.Number, v []byte) ([]byte, error) {
				if n == attrGraph || n == attrGraphs {
					return r.graph(v)
				}
				return v, nil
			})
		}
		return v, nil
	})
}

// named changes the message's field that holds its name.
func (r renamer) named(b []byte, field protowire.Number) ([]byte, error) {
	return rewrite(b, func(n protowire.Number, v []byte) ([]byte, error) {
		if n == field {
			return []byte(r(string(v))), nil
		}
		return v, nil
	})
}

// sparse changes the name of a SparseTensorProto, which is its values'.
func (r renamer) sparse(b []byte) ([]byte, error) {
	return rewrite(b, func(n protowire.Number, v []byte) ([]byte, error) {
		if n == sparseValues {
			return r.named(v, tensorName)
		}
		return v, nil
	})
}

// rewrite copies a message with each length-delimited field as f returns it.
func rewrite(b []byte, f func(n protowire.Number, v []byte) ([]byte, error)) ([]byte, error) {
	out := make([]byte, 0, len(b)+len(b)/8)
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if typ != protowire.BytesType {
			m := protowire.ConsumeFieldValue(num, typ, b[n:])
			if m < 0 {
				return nil, protowire.ParseError(m)
			}
			out = append(out, b[:n+m]...)
			b = b[n+m:]
			continue
		}
		v, m := protowire.ConsumeBytes(b[n:])
		if m < 0 {
			return nil, protowire.ParseError(m)
		}
		b = b[n+m:]
		v, err := f(num, v)
		if err != nil {
			return nil, err
		}
		out = appendBytes(out, num, v)
	}
	return out, nil
}
