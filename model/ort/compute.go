package ort

import (
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"
)

// Array is an output as a run gave it: float32, row-major. It is the caller's.
type Array struct {
	Shape []int64
	Data  []float32
}

// Compute runs the model and finds out the outputs' shapes, for models that tell them only when they are there. It copies the outputs; where the shapes are known, Run and Bind do without. An output
// of another type than float32 is an error.
func (s *Session) Compute(inputs []Value) ([]Array, error) {
	if len(inputs) != len(s.inputs) {
		return nil, fmt.Errorf("run model: got %d inputs, the model has %d", len(inputs), len(s.inputs))
	}
	in, out := make([]onnx.Value, len(inputs)), make([]onnx.Value, len(s.outputs))
	for i, v := range inputs {
		in[i] = v.value()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.s == nil {
		return nil, ErrClosed
	}
	if err := s.s.Run(in, out); err != nil {
		return nil, fmt.Errorf("run model: %w", cause(err))
	}
	defer func() {
		for _, v := range out {
			v.Destroy()
		}
	}()
	arrays := make([]Array, len(out))
	for i, v := range out {
		t, ok := v.(*onnx.Tensor[float32]) // the binding has copied it into Go's memory
		if !ok {
			return nil, fmt.Errorf("run model: output %s is not a tensor of float32", s.outputs[i].Name)
		}
		arrays[i] = Array{Shape: t.GetShape(), Data: t.GetData()}
	}
	return arrays, nil
}
