package onnx

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Inline brings the numbers that a file keeps in other files, as PyTorch's exporter may, into the file itself. read returns the content of the other file; what may
// be read is its business. A file that has none outside comes back equal.
func Inline(file []byte, read func(location string) ([]byte, error)) ([]byte, error) {
	i := &inliner{read: read, files: map[string][]byte{}}
	out, err := rewrite(file, func(n protowire.Number, v []byte) ([]byte, error) {
		if n == modelGraph {
			return i.graph(v, 0)
		}
		return v, nil
	})
	if err != nil {
		return nil, fmt.Errorf("onnx: bring in what lies outside the file: %w", err)
	}
	return out, nil
}

type inliner struct {
	read  func(string) ([]byte, error)
	files map[string][]byte
}

func (i *inliner) graph(b []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	return rewrite(b, func(n protowire.Number, v []byte) ([]byte, error) {
		switch n {
		case graphInit:
			return i.tensor(v)
		case graphNode:
			return rewrite(v, func(n protowire.Number, v []byte) ([]byte, error) {
				if n != nodeAttr {
					return v, nil
				}
				return rewrite(v, func(n protowire.Number, v []byte) ([]byte, error) {
					switch n {
					case attrTensor, attrTensors:
						return i.tensor(v)
					case attrGraph, attrGraphs:
						return i.graph(v, depth+1)
					}
					return v, nil
				})
			})
		}
		return v, nil
	})
}

// tensor replaces external_data by raw_data; both hold the elements as little-endian bytes.
func (i *inliner) tensor(b []byte) ([]byte, error) {
	outside, name := map[string]string{}, ""
	err := Each(b, func(n protowire.Number, v []byte, _ uint64) error {
		switch n {
		case tensorName:
			name = string(v)
		case tensorExternal:
			return entry(v, outside)
		}
		return nil
	})
	if err != nil || len(outside) == 0 {
		return b, err
	}
	data, err := i.bytes(outside)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	// Everything but the place outside stays.
	out := make([]byte, 0, len(b)+len(data))
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return nil, protowire.ParseError(m)
		}
		if num != tensorExternal && num != tensorLocation && num != tensorRaw {
			out = append(out, b[:n+m]...)
		}
		b = b[n+m:]
	}
	return appendBytes(out, tensorRaw, data), nil
}

func (i *inliner) bytes(outside map[string]string) ([]byte, error) {
	location := outside["location"]
	whole, ok := i.files[location]
	if !ok {
		var err error
		if whole, err = i.read(location); err != nil {
			return nil, err
		}
		i.files[location] = whole
	}
	offset, length := int64(0), int64(len(whole))
	var err error
	if s := outside["offset"]; s != "" {
		if offset, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, fmt.Errorf("offset %q in %s: not a number", s, location)
		}
		length -= offset
	}
	if s := outside["length"]; s != "" {
		if length, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, fmt.Errorf("length %q in %s: not a number", s, location)
		}
	}
	if offset < 0 || length < 0 || offset > int64(len(whole)) || length > int64(len(whole))-offset {
		return nil, fmt.Errorf("%d bytes at %d are beyond the end of %s, which has %d", length, offset, location, len(whole))
	}
	return whole[offset : offset+length], nil
}
