package ort

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"andon/model/onnx"
)

// Port is one input or output as the file declares it.
type Port struct {
	Name string
	// Type is 0 when the port is not a tensor.
	Type onnx.Type
	// Shape has -1 for a dimension that is free; it is nil when the file does not say, and empty for a scalar.
	Shape []int64
}

// String writes the port as an error shows it: window float[-1 30 29].
func (p Port) String() string {
	if p.Type == 0 {
		return p.Name + " (not a tensor)"
	}
	if p.Shape == nil {
		return fmt.Sprintf("%s %s of unknown shape", p.Name, typeName(p.Type))
	}
	return fmt.Sprintf("%s %s%v", p.Name, typeName(p.Type), p.Shape)
}

// typeName names an element type as ONNX does.
func typeName(t onnx.Type) string {
	names := [...]string{"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "double",
		"uint32", "uint64", "complex64", "complex128", "bfloat16"}
	if t >= 0 && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Signature returns the inputs and outputs that an ONNX file declares, in its order, without loading it; weights are not inputs. Needs no Open.
func Signature(file []byte) (inputs, outputs []Port, err error) {
	graph := []byte(nil)
	err = onnx.Each(file, func(n protowire.Number, v []byte, _ uint64) error {
		if n == 7 { // ModelProto.graph
			graph = v
		}
		return nil
	})
	if err == nil && graph == nil {
		err = errors.New("it holds no graph")
	}
	weights := map[string]bool{}
	if err == nil {
		err = onnx.Each(graph, func(n protowire.Number, v []byte, _ uint64) error {
			switch n { // of GraphProto
			case 5:
				return onnx.Each(v, func(n protowire.Number, v []byte, _ uint64) error {
					if n == 8 { // TensorProto.name
						weights[string(v)] = true
					}
					return nil
				})
			case 11, 12:
				p, err := port(v)
				if err != nil {
					return err
				}
				if n == 11 {
					inputs = append(inputs, p)
				} else {
					outputs = append(outputs, p)
				}
			}
			return nil
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("not an ONNX file: %w", err)
	}
	kept := inputs[:0]
	for _, p := range inputs {
		if !weights[p.Name] {
			kept = append(kept, p)
		}
	}
	return kept, outputs, nil
}

// port reads a ValueInfoProto.
func port(b []byte) (p Port, err error) {
	err = onnx.Each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case 1:
			p.Name = string(v)
		case 2: // TypeProto
			return onnx.Each(v, func(n protowire.Number, v []byte, _ uint64) error {
				if n != 1 { // TypeProto.tensor_type
					return nil
				}
				return onnx.Each(v, func(n protowire.Number, v []byte, x uint64) error {
					switch n {
					case 1:
						p.Type = onnx.Type(x)
					case 2: // TensorShapeProto
						p.Shape = []int64{}
						return onnx.Each(v, func(n protowire.Number, v []byte, _ uint64) error {
							d := int64(-1)
							err := onnx.Each(v, func(n protowire.Number, _ []byte, x uint64) error {
								if n == 1 {
									d = int64(x)
								}
								return nil
							})
							if n == 1 {
								p.Shape = append(p.Shape, max(d, -1))
							}
							return err
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return p, err
}
