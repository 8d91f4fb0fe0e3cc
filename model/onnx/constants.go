package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Constant is a float32 initializer of a graph.
type Constant struct {
	Name   string
	Dims   []int
	Values []float32
}

// Constants returns the float32 initializers of a file's graph in its order; those of other types, and those whose numbers are in another file, are left out.
func Constants(file []byte) ([]Constant, error) {
	var all []Constant
	err := fields(file, func(n protowire.Number, v []byte) error {
		if n != 7 { // ModelProto.graph
			return nil
		}
		return fields(v, func(n protowire.Number, v []byte) error {
			if n != 5 { // GraphProto.initializer
				return nil
			}
			c, ok, err := constantOf(v)
			if ok {
				all = append(all, c)
			}
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("onnx: not an ONNX file: %w", err)
	}
	return all, nil
}

// constantOf reads a TensorProto; false where it holds no float32 numbers.
func constantOf(b []byte) (c Constant, ok bool, err error) {
	var raw []byte
	float, size := false, 1
	dim := func(x uint64) error {
		if x > math.MaxInt32 || size > math.MaxInt32/max(int(x), 1) {
			return errors.New("a tensor is too large")
		}
		size *= int(x)
		c.Dims = append(c.Dims, int(x))
		return nil
	}
	err = Each(b, func(n protowire.Number, v []byte, x uint64) error {
		switch n {
		case 1: // dims, one by one or packed
			if v == nil {
				return dim(x)
			}
			for len(v) > 0 {
				d, k := protowire.ConsumeVarint(v)
				if k < 0 {
					return protowire.ParseError(k)
				}
				if err := dim(d); err != nil {
					return err
				}
				v = v[k:]
			}
		case 2: // data_type
			float = Type(x) == Float
		case 4: // float_data, packed
			raw = append(raw, v...)
		case 8:
			c.Name = string(v)
		case 9: // raw_data
			raw = v
		}
		return nil
	})
	if err != nil || !float || len(raw) != 4*size {
		return c, false, err
	}
	c.Values = make([]float32, size)
	for i := range c.Values {
		c.Values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return c, true, nil
}
