package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ebitengine/purego"

	"andon/model/onnx"
)

// cudaPlugin is the part of ONNX Runtime that is there only in its build for CUDA.
const cudaPlugin = "libonnxruntime_providers_cuda.so"

// cudaLibraries are what the plugin and the libraries themselves look for by name, each after what it needs. Libraries that are loaded already are found so, wherever they
// lie: no path of the linker has to be set. The driver's own libcuda.so.1 comes with the driver.
var cudaLibraries = []string{
	"libcudart.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcufft.so.12",
	"libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libcudnn_adv.so.9", "libcudnn_heuristic.so.9", "libcudnn_engines_precompiled.so.9",
	"libcudnn_engines_runtime_compiled.so.9", "libcudnn.so.9",
}

// loadCUDA loads the CUDA libraries that lie beside the build of ONNX Runtime in a folder. It does nothing for a build without CUDA, and leaves to the system's linker
// what is not there.
func loadCUDA(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, cudaPlugin)); err != nil {
		return nil
	}
	// The linker keeps its words on what went wrong for the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var errs []error
	for _, name := range cudaLibraries {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if _, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL); err != nil {
			errs = append(errs, fmt.Errorf("load %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// Probe makes a session with these options and runs it once: it returns why their provider does not work here, nil if it does. Inputs, Outputs and Warm are of its own.
func Probe(o Options) error {
	g := onnx.NewGraph("probe")
	g.Input("x", onnx.Float, onnx.Dim{Size: 4})
	g.Output("y", onnx.Float, onnx.Dim{Size: 4})
	g.Node("Add", []string{"x", "x"}, []string{"y"})
	o.Inputs, o.Outputs = nil, nil
	o.Warm = func(s *Session) error {
		x, err := NewTensor[float32](4)
		if err != nil {
			return err
		}
		defer x.Close()
		y, err := NewTensor[float32](4)
		if err != nil {
			return err
		}
		defer y.Close()
		for i := range x.Data() {
			x.Data()[i] = float32(i + 1)
		}
		if err := s.Run([]Value{x}, []Value{y}); err != nil {
			return err
		}
		for i, v := range y.Data() {
			if v != float32(2*i+2) {
				return fmt.Errorf("%v + %v gave %v", x.Data()[i], x.Data()[i], v)
			}
		}
		return nil
	}
	s, err := NewSession(g.Model(), o)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Fallback()
}
