// Package orttest helps tests that run models: it opens ONNX Runtime where make deps has put it, and writes small ONNX files.
package orttest

import (
	"os"
	"path/filepath"
	"testing"

	"andon/model/ort"
)

// Library returns the path of libonnxruntime.so in the repository's lib folder. Without it the test is skipped, or fails where CI=true.
func Library(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
	path := filepath.Join(dir, "lib", "libonnxruntime.so")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: run make deps", path)
		}
		t.Skipf("%s is missing: run make deps", path)
	}
	return path
}

// Open opens ONNX Runtime for the test's process, or skips as Library does.
func Open(t testing.TB) {
	t.Helper()
	if err := ort.Open(Library(t)); err != nil {
		t.Fatal(err)
	}
}
