package ort

import (
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"
)

// Binding is a run prepared with fixed tensors: what changes from run to run is what they hold. On the CPU Run allocates nothing.
// It is not safe for concurrent use, and must be closed before its tensors and its session.
type Binding struct {
	s               *Session
	inputs, outputs []Value
	b               *onnx.IoBinding
	closed          bool
}

// Bind prepares a run; the tensors stay the caller's.
func (s *Session) Bind(inputs, outputs []Value) (*Binding, error) {
	if len(inputs) != len(s.inputs) || len(outputs) != len(s.outputs) {
		return nil, fmt.Errorf("bind model: got %d inputs and %d outputs, the model has %d and %d", len(inputs), len(outputs), len(s.inputs), len(s.outputs))
	}
	b := &Binding{s: s, inputs: inputs, outputs: outputs}
	if s.provider != CPU {
		return b, nil // binding would copy the inputs to the device now, once and for all
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.s == nil {
		return nil, ErrClosed
	}
	var err error
	if b.b, err = s.s.CreateIoBinding(); err != nil {
		return nil, fmt.Errorf("bind model: %w", cause(err))
	}
	for i, v := range inputs {
		if err = b.b.BindInput(s.inputs[i].Name, v.value()); err != nil {
			break
		}
	}
	for i, v := range outputs {
		if err != nil {
			break
		}
		err = b.b.BindOutput(s.outputs[i].Name, v.value())
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("bind model: %w", cause(err))
	}
	return b, nil
}

// Run computes the bound outputs from what the bound inputs hold now.
func (b *Binding) Run() error {
	if b.closed {
		return ErrClosed
	}
	if b.b == nil {
		return b.s.Run(b.inputs, b.outputs)
	}
	b.s.mu.RLock()
	defer b.s.mu.RUnlock()
	if b.s.s == nil {
		return ErrClosed
	}
	if err := b.s.s.RunWithBinding(b.b); err != nil {
		return fmt.Errorf("run model: %w", cause(err))
	}
	return nil
}

// Close frees the binding, not its tensors; a second Close does nothing.
func (b *Binding) Close() {
	b.closed = true
	if b.b != nil {
		b.b.Destroy()
		b.b = nil
	}
}
