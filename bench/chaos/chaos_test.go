package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The short form: a few rounds around a binary of this very source.
func TestShort(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes most of a minute")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libchdb.so", "libonnxruntime.so"} {
		if _, err := os.Stat(filepath.Join(root, "lib", name)); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: run make deps", err)
			}
			t.Skipf("%v: run make deps", err)
		}
	}
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	// The program finds its libraries in the folder lib beside its own.
	binary := filepath.Join(dir, "bin", "andon")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the appliance: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(root, "lib"), filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r, err := run(t.Context(), options{rounds: 3, seed: 100, binary: binary, dir: filepath.Join(dir, "chaos"), rate: 400, patient: 2 * time.Minute, keep: true}, &out)
	t.Logf("%s%s", out.String(), r)
	if err != nil || !r.clean() {
		t.Errorf("%v", err)
	}
	if r.records == 0 || len(r.recoveries) == 0 {
		t.Errorf("nothing was sent, or nothing broken")
	}
}
