package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The recordings are whole: each life ends with its failure.
func TestEngines(t *testing.T) {
	known, other, err := readAll()
	if err != nil {
		t.Fatal(err)
	}
	count := func(engines []*engine) (rows int) {
		for _, e := range engines {
			rows += len(e.rows)
		}
		return rows
	}
	if len(known) != 100 || count(known) != 20631 || len(other) != 260 || count(other) != 53759 {
		t.Errorf("%d engines with %d cycles, and %d with %d", len(known), count(known), len(other), count(other))
	}
	if got := moved(known, other); !slices.Equal(got, signals) {
		t.Errorf("%v have moved", got)
	}
	if e := other[0]; e.name != "b-001" || !e.other || len(e.rows[0]) != len(signals) || e.rows[0][0] != "555.32" {
		t.Errorf("%+v", e.rows[0])
	}
}

// The whole play, with a small network: a stale model is found out, replaced by a better one, and a sabotaged one kept out and taken back.
func TestDrama(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	lib, err := filepath.Abs(filepath.Join("..", "..", "lib"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libchdb.so", "libonnxruntime.so"} {
		if _, err := os.Stat(filepath.Join(lib, name)); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: run make deps", err)
			}
			t.Skipf("%v: run make deps", err)
		}
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "andon")
	if out, err := exec.Command("go", "build", "-o", binary, "andon").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	limit := 9 * time.Minute
	if at, ok := t.Deadline(); ok {
		limit = time.Until(at) - 30*time.Second
	}
	if err := perform(t.Context(), plan{binary: binary, dir: filepath.Join(dir, "play"), libraries: lib, pace: 10, slots: 24, short: true, limit: limit, out: t.Output()}, play{"engines", playEngines}); err != nil {
		t.Fatal(err)
	}
}
