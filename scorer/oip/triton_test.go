package oip

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTritonClient has the protocol's public Python client ask by every way that it has. The client comes from PyPI once, to .cache at the repository's root.
func TestTritonClient(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a Python client")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	made := exec.Command("sh", filepath.Join(root, "python", "venv.sh"), filepath.Join(root, "python", "oip", "requirements.txt"), filepath.Join(root, ".cache", "tritonclient"))
	var said strings.Builder
	made.Stderr = &said
	python, err := made.Output()
	if err != nil {
		say := t.Skipf
		if os.Getenv("CI") == "true" {
			say = t.Fatalf
		}
		say("the client cannot be had: python/venv.sh needs Python 3.10 or newer with venv, and PyPI: %v: %s", err, said.String())
	}
	h := newHouse(t, nil)
	const n = 5
	w, verdicts := h.windows(t, h.champion, n)
	expected := struct {
		Model    string        `json:"model"`
		Champion string        `json:"champion"`
		Other    string        `json:"other"`
		Windows  [][][]float32 `json:"windows"`
		Value    []float32     `json:"value"`
		Risk     []float32     `json:"risk"`
	}{Model: "pumps", Champion: h.champion.Version, Other: h.other.Version}
	for i, v := range verdicts {
		var rows [][]float32
		for j := range length {
			at := (i*length + j) * width
			rows = append(rows, w[at:at+width])
		}
		expected.Windows, expected.Value, expected.Risk = append(expected.Windows, rows), append(expected.Value, v.Value), append(expected.Risk, v.Risk)
	}
	js, err := json.Marshal(expected)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "expected.json")
	if err := os.WriteFile(file, js, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), strings.TrimSpace(string(python)), filepath.Join(root, "python", "oip", "conformance.py"),
		strings.TrimPrefix(h.url, "http://"), h.conn.Target(), file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "checks hold") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
