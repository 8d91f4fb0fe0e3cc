// Package onnx reads and writes ONNX files (ModelProto, https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto) without generated code.
package onnx

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of ModelProto and StringStringEntryProto.
const (
	modelMetadataProps = 14
	entryKey           = 1
	entryValue         = 2
)

// AppendMetadata adds one entry to the file's metadata_props. Fields of a protobuf message may come in any order, so adding is appending.
func AppendMetadata(file []byte, key, value string) []byte {
	var e []byte
	e = protowire.AppendTag(e, entryKey, protowire.BytesType)
	e = protowire.AppendString(e, key)
	e = protowire.AppendTag(e, entryValue, protowire.BytesType)
	e = protowire.AppendString(e, value)
	out := make([]byte, len(file), len(file)+len(e)+8)
	copy(out, file)
	out = protowire.AppendTag(out, modelMetadataProps, protowire.BytesType)
	return protowire.AppendBytes(out, e)
}

// Metadata returns the file's metadata_props; a later entry of the same key wins.
func Metadata(file []byte) (map[string]string, error) {
	props := map[string]string{}
	if len(file) == 0 {
		return nil, errors.New("onnx: the file is empty")
	}
	err := fields(file, func(n protowire.Number, v []byte) error {
		if n != modelMetadataProps {
			return nil
		}
		return entry(v, props)
	})
	if err != nil {
		return nil, fmt.Errorf("onnx: not an ONNX file: %w", err)
	}
	return props, nil
}

// fields calls f for every length-delimited field of a message and skips the others.
func fields(b []byte, f func(n protowire.Number, v []byte) error) error {
	return Each(b, func(n protowire.Number, v []byte, _ uint64) error {
		if v == nil {
			return nil
		}
		return f(n, v)
	})
}

// entry reads a pair of texts into a map.
func entry(b []byte, into map[string]string) error {
	var key, value string
	err := fields(b, func(n protowire.Number, v []byte) error {
		switch n {
		case entryKey:
			key = string(v)
		case entryValue:
			value = string(v)
		}
		return nil
	})
	into[key] = value
	return err
}
