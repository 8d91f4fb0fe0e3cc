package ort_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

// What Open says depends on the whole process, so each case has one of its own: this binary again, with a path to open.
func TestOpenErrors(t *testing.T) {
	if path, ok := os.LookupEnv("ORT_TEST_OPEN"); ok {
		_, noSession := ort.NewSession([]byte{0}, ort.Options{})
		_, noTensor := ort.NewTensor[float32](1)
		if noSession != ort.ErrNotOpen || noTensor != ort.ErrNotOpen || ort.Version() != "" {
			t.Errorf("before Open: %v, %v, version %q", noSession, noTensor, ort.Version())
		}
		for _, p := range strings.Split(path, ":") {
			t.Logf("Open: %v; version %q", ort.Open(p), ort.Version())
		}
		return
	}
	library, dir := orttest.Library(t), t.TempDir()
	write := func(name string, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The entry point of an ONNX Runtime that knows no interface as new as ours.
	build := func(name, code string) string {
		path := filepath.Join(dir, name)
		out, err := exec.Command("cc", "-shared", "-fPIC", "-o", path, write(name+".c", code)).CombinedOutput()
		if err != nil {
			t.Fatalf("cc: %v\n%s", err, out)
		}
		return path
	}
	old := build("old.so", `
static const void *api(unsigned v) { return v <= 23 ? (const void*)1 : 0; }
static const char *version(void) { return "1.23.2"; }
static struct { const void *(*api)(unsigned); const char *(*version)(void); } base = {api, version};
const void *OrtGetApiBase(void) { return &base; }`)
	other := build("other.so", "int nothing;")

	try := func(want string, paths ...string) {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestOpenErrors$", "-test.v")
		cmd.Env = append(os.Environ(), "ORT_TEST_OPEN="+strings.Join(paths, ":"))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("open %v: %v, want %q in:\n%s", paths, err, want, out)
		}
	}
	try("there is no file "+dir, filepath.Join(dir, "none.so"))
	try("is not a file", dir)
	try("not a library that can be loaded", write("text.so", "hello"))
	try("not a library that can be loaded", write("empty.so", ""))
	try("it has no function OrtGetApiBase", other)
	try("too old: version 1.24 or newer", old)
	try("Open: <nil>; version \"1.", library)
	try("Open: <nil>; version \"1.", old, other, library)
	try("has already loaded "+library, library, old)
	rel, err := filepath.Rel(mustWd(t), library)
	if err != nil {
		t.Fatal(err)
	}
	try("Open: <nil>", library, rel)
}

func mustWd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
