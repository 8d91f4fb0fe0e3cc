package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Op names an operator; the domain of ONNX's own is "".
type Op struct{ Domain, Name string }

// String writes the operator as Gather or ai.onnx.ml.Scaler.
func (o Op) String() string {
	if o.Domain == "" {
		return o.Name
	}
	return o.Domain + "." + o.Name
}

// Facts is what a file says of itself without being run.
type Facts struct {
	IR       int64
	Producer string           // as "pytorch 2.9.0"
	Opsets   map[string]int64 // operator sets by domain; "" is ONNX's own
	// Ops counts the nodes by operator; those of control flow's bodies and of the file's own functions are among them.
	Ops   map[Op]int
	Nodes int
	// Functions are operators that the file itself defines.
	Functions map[Op]bool
	// External names the tensors whose numbers lie in other files.
	External []string
	Inputs   []string // without constants, in the file's order
	Outputs  []string
}

// maxDepth is how deep graphs may lie inside each other; files of exporters have three or four.
const maxDepth = 32

var errDeep = errors.New("graphs lie too deep inside each other")

// Inspect reads a file's facts. Bytes that are no ONNX file are an error.
func Inspect(file []byte) (*Facts, error) {
	f := &Facts{Opsets: map[string]int64{}, Ops: map[Op]int{}, Functions: map[Op]bool{}}
	if len(file) == 0 {
		return nil, errors.New("onnx: the file is empty")
	}
	graphs, version := 0, ""
	err := Each(file, func(n protowire.Number, v []byte, x uint64) error {
		switch n {
		case modelIR:
			f.IR = int64(x)
		case modelProducer:
			f.Producer = string(v)
		case modelProducerVersion:
			version = string(v)
		case modelOpset:
			domain, set := "", int64(0)
			err := Each(v, func(n protowire.Number, v []byte, x uint64) error {
				switch n {
				case opsetDomain:
					domain = plainDomain(string(v))
				case opsetVersion:
					set = int64(x)
				}
				return nil
			})
			f.Opsets[domain] = set
			return err
		case modelGraph:
			graphs++
			return f.graph(v, 0)
		case modelFunctions:
			return f.function(v)
		}
		return nil
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("it holds %d graphs", graphs)
	}
	if err != nil {
		return nil, fmt.Errorf("onnx: not an ONNX file: %w", err)
	}
	if version != "" {
		f.Producer += " " + version
	}
	return f, nil
}

// Domains returns the operators' domains, sorted, but for those whose operators the file defines itself.
func (f *Facts) Domains() []string {
	set := map[string]bool{}
	for op := range f.Ops {
		if !f.Functions[op] {
			set[op.Domain] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func (f *Facts) graph(b []byte, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	constants := map[string]bool{}
	var inputs, outputs []string
	err := Each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case graphNode:
			return f.node(v, depth)
		case graphInit:
			name, err := f.tensor(v)
			constants[name] = true
			return err
		case graphSparse:
			return Each(v, func(_ protowire.Number, v []byte, _ uint64) error {
				if v == nil {
					return nil
				}
				name, err := f.tensor(v)
				constants[name] = true
				return err
			})
		case graphInput, graphOutput:
			name := ""
			err := Each(v, func(m protowire.Number, v []byte, _ uint64) error {
				if m == valueName {
					name = string(v)
				}
				return nil
			})
			if n == graphInput {
				inputs = append(inputs, name)
			} else {
				outputs = append(outputs, name)
			}
			return err
		}
		return nil
	})
	if depth == 0 {
		f.Inputs = slices.DeleteFunc(inputs, func(s string) bool { return constants[s] })
		f.Outputs = outputs
	}
	return err
}

func (f *Facts) node(b []byte, depth int) error {
	var op Op
	err := Each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case nodeOp:
			op.Name = string(v)
		case nodeDomain:
			op.Domain = plainDomain(string(v))
		case nodeAttr:
			return Each(v, func(n protowire.Number, v []byte, _ uint64) error {
				switch n {
				case attrTensor, attrTensors:
					_, err := f.tensor(v)
					return err
				case attrGraph, attrGraphs:
					return f.graph(v, depth+1)
				}
				return nil
			})
		}
		return nil
	})
	f.Ops[op]++
	f.Nodes++
	return err
}

func (f *Facts) tensor(b []byte) (name string, err error) {
	external := false
	err = Each(b, func(n protowire.Number, v []byte, x uint64) error {
		switch n {
		case tensorName:
			name = string(v)
		case tensorExternal:
			external = true
		case tensorLocation:
			external = external || x == 1
		}
		return nil
	})
	if external {
		f.External = append(f.External, name)
	}
	return name, err
}

func (f *Facts) function(b []byte) error {
	var op Op
	err := Each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case functionName:
			op.Name = string(v)
		case functionDomain:
			op.Domain = plainDomain(string(v))
		case functionNode:
			return f.node(v, 1)
		}
		return nil
	})
	f.Functions[op] = true
	return err
}

// plainDomain writes ONNX's own domain one way.
func plainDomain(s string) string {
	if s == "ai.onnx" {
		return ""
	}
	return s
}

// Each calls f for every field of a protobuf message: v is set for a length-delimited field (never nil), x for a number; other kinds are passed over.
func Each(b []byte, f func(n protowire.Number, v []byte, x uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v []byte
		var x uint64
		switch typ {
		case protowire.BytesType:
			if v, n = protowire.ConsumeBytes(b); v == nil {
				v = []byte{}
			}
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if typ != protowire.BytesType && typ != protowire.VarintType {
			continue
		}
		if err := f(num, v, x); err != nil {
			return err
		}
	}
	return nil
}
