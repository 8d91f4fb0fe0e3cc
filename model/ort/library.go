// Package ort runs ONNX files with ONNX Runtime inside the process, through its C API (https://onnxruntime.ai/docs/api/c). The library is found by path and
// loaded at run time, once a process.
package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	onnx "github.com/yalue/onnxruntime_go"
)

// ErrNotOpen is what every constructor of this package returns before Open has succeeded.
var ErrNotOpen = errors.New("ONNX Runtime is not loaded: call ort.Open first")

// The C library itself is one a process, and so is what we know of it.
var library struct {
	sync.Mutex
	path string
	// cuda is why libraries of CUDA beside it could not be loaded.
	cuda error
}

// Open loads ONNX Runtime from a file. It may be called again with the same file, which does nothing; another file is an error, since the library
// cannot be unloaded under living sessions. After an error Open may be tried again. Safe to call concurrently.
func Open(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("load ONNX Runtime: %w", err)
	}
	library.Lock()
	defer library.Unlock()
	if library.path != "" {
		if library.path != path {
			return fmt.Errorf("load ONNX Runtime from %s: this process has already loaded %s", path, library.path)
		}
		return nil
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("load ONNX Runtime: there is no file %s: run make deps, or set the path of libonnxruntime.so in the configuration", path)
	case err != nil:
		return fmt.Errorf("load ONNX Runtime: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("load ONNX Runtime: %s is not a file: set the path of libonnxruntime.so itself", path)
	}
	library.cuda = loadCUDA(filepath.Dir(path)) // a CUDA session tells of it; the CPU needs none of them
	onnx.SetSharedLibraryPath(path)
	// Every error also comes back as a value; the library's own lines on standard error would say it twice.
	if err := onnx.InitializeEnvironment(onnx.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("load ONNX Runtime from %s: %w", path, explain(err))
	}
	library.path = path
	return nil
}

// Version returns the version of the loaded library, as 1.30.0, or "" before Open.
func Version() string {
	library.Lock()
	defer library.Unlock()
	if library.path == "" {
		return ""
	}
	return onnx.GetVersion()
}

// explain says what the binding's short words mean.
func explain(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "Error setting ORT API base: 2"):
		return errors.New("the library is too old: version 1.24 or newer is needed, run make deps for the pinned one")
	case strings.Contains(text, "Error looking up OrtGetApiBase"):
		return errors.New("the library is not ONNX Runtime: it has no function OrtGetApiBase")
	}
	return fmt.Errorf("the file is not a library that can be loaded: %w", cause(err))
}

// cause strips the binding's prefixes, which repeat what our own errors say, and the library's source positions.
func cause(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	text := strings.Join(strings.Fields(err.Error()), " ")              // some span lines
	if _, after, ok := strings.Cut(text, "[ONNXRuntimeError] : "); ok { // then "1 : FAIL : " and the message
		if parts := strings.SplitN(after, " : ", 3); len(parts) == 3 {
			text = parts[2]
		}
	}
	return errors.New(text)
}
