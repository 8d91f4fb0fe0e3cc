package ort

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A library of CUDA that is there and cannot be loaded is named; a build of ONNX Runtime without CUDA looks at none.
func TestLoadCUDA(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "libcudart.so.13")
	if err := os.WriteFile(broken, []byte("half a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := loadCUDA(dir); err != nil {
		t.Errorf("without %s: %v", cudaPlugin, err)
	}
	if err := os.WriteFile(filepath.Join(dir, cudaPlugin), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := loadCUDA(dir); err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("got %v", err)
	}
}

// What ONNX Runtime and CUDA say where it does not work, as seen with its build for CUDA 13, and what an operator is told to do.
func TestCUDAAdvice(t *testing.T) {
	told := func(words, advice string) {
		t.Helper()
		if err := missing(errors.New(words)); !strings.Contains(err.Error(), advice) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v", err)
		}
	}
	told("Failed to load library lib/libonnxruntime_providers_shared.so with error: lib/libonnxruntime_providers_shared.so: cannot open shared object file", "make deps-gpu")
	told("Failed to load library lib/gpu/libonnxruntime_providers_cuda.so with error: libcuda.so.1: cannot open shared object file: No such file or directory", "driver is not installed")
	told("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1", "580 or newer")
	told("CUDA failure 100: no CUDA-capable device is detected", "finds no device")
	told("CUDA failure 101: invalid device ordinal", "no device of that number")
	if err := missing(errors.New("out of memory")); err.Error() != "out of memory" {
		t.Errorf("%v", err)
	}
}
