package ort

import onnx "github.com/yalue/onnxruntime_go"

// Provide puts f in the place of what adds the CUDA provider.
func (o *Options) Provide(f func() error) {
	o.provide = func(*onnx.SessionOptions, *Options) error { return f() }
}
