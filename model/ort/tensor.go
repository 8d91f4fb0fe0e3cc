package ort

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"
)

// Element is what a tensor holds.
type Element interface{ float32 | int64 }

// Value is a tensor of any element type, as Run takes it.
type Value interface {
	// Shape returns the dimensions, outermost first; empty for a scalar. It is not to be written to.
	Shape() []int64
	Close()
	value() onnx.Value
}

// Tensor is a dense row-major array that Go and ONNX Runtime share without a copy: what is written to Data before Run is what the model reads, and what the
// model writes is in Data when Run returns. It is not safe for concurrent use and must be closed.
type Tensor[T Element] struct {
	shape []int64
	data  []T
	v     onnx.Value
	// pin keeps the array where ONNX Runtime, which holds its address between calls, expects it.
	pin runtime.Pinner
}

// NewTensor makes a tensor of zeros; no dimensions make a scalar.
func NewTensor[T Element](shape ...int64) (*Tensor[T], error) {
	if len(shape) == 0 {
		return newScalar[T]()
	}
	n, err := count(shape)
	if err != nil {
		return nil, fmt.Errorf("tensor %v: %w", shape, err)
	}
	return Wrap(make([]T, n), shape...)
}

// Wrap makes a tensor over data, which stays the caller's and must hold exactly as many elements as the shape says. A scalar cannot be wrapped.
func Wrap[T Element](data []T, shape ...int64) (*Tensor[T], error) {
	if !onnx.IsInitialized() {
		return nil, ErrNotOpen
	}
	n, err := count(shape)
	switch {
	case err != nil:
		return nil, fmt.Errorf("tensor %v: %w", shape, err)
	case len(shape) == 0:
		return nil, errors.New("tensor: a scalar cannot be laid over a slice; use NewTensor without dimensions")
	case n != int64(len(data)):
		return nil, fmt.Errorf("tensor %v: the shape has %d elements, the slice %d", shape, n, len(data))
	}
	t := &Tensor[T]{shape: slices.Clone(shape), data: data}
	if n > 0 {
		t.pin.Pin(&data[0])
	}
	v, err := onnx.NewTensor(onnx.Shape(t.shape), data)
	if err != nil {
		t.pin.Unpin()
		return nil, fmt.Errorf("tensor %v: %w", shape, err)
	}
	t.v = v
	return t, nil
}

// newScalar reaches through the binding's Scalar to its one element: Scalar.Set would put a new slice in its place, which ONNX Runtime never sees.
func newScalar[T Element]() (*Tensor[T], error) {
	if !onnx.IsInitialized() {
		return nil, ErrNotOpen
	}
	v, err := onnx.NewEmptyScalar[T]()
	if err != nil {
		return nil, fmt.Errorf("scalar: %w", err)
	}
	field := reflect.ValueOf(v).Elem().FieldByName("data")
	if field.Kind() != reflect.Slice || field.Len() != 1 {
		panic("ort: onnxruntime_go's Scalar does not keep its element in a slice named data; see newScalar")
	}
	t := &Tensor[T]{shape: []int64{}, v: v}
	t.data = unsafe.Slice((*T)(field.UnsafePointer()), 1)
	t.pin.Pin(&t.data[0])
	return t, nil
}

// Data returns the elements, row-major. The slice is shared with ONNX Runtime and valid until Close.
func (t *Tensor[T]) Data() []T { return t.data }

// Shape returns the dimensions, outermost first; empty for a scalar. It is not to be written to.
func (t *Tensor[T]) Shape() []int64 { return t.shape }

// Close lets go of the tensor; a second Close does nothing. No Run may be using it, and no Binding after.
func (t *Tensor[T]) Close() {
	if t.v == nil {
		return
	}
	t.v.Destroy()
	t.pin.Unpin()
	t.v, t.data = nil, nil
}

func (t *Tensor[T]) value() onnx.Value { return t.v }

// count returns the number of elements of a shape.
func count(shape []int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d is negative", d)
		}
		if d > 0 && n > (1<<40)/d {
			return 0, errors.New("too many elements")
		}
		n *= d
	}
	return n, nil
}
