package scorer

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"andon/event"
	"andon/model/ort/orttest"
)

// The scorer's verdicts are those of Python's ONNX Runtime to 1e-5, whatever run a window is in. testdata/python.json holds what that said of the windows of fill:
// go run ./bench/scorer -record scorer/testdata/python.json
func TestScoreEqualsPython(t *testing.T) {
	orttest.Open(t)
	b, err := os.ReadFile(filepath.Join("testdata", "python.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Runtime                       string
		Length, Width, Hidden, Layers int
		Value, Risk                   []float32
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	if len(recorded) == 0 {
		t.Fatal("nothing is recorded")
	}
	for _, r := range recorded {
		m := seal(t, orttest.GRU(r.Length, r.Width, r.Hidden, r.Layers, 1), r.Length, r.Width)
		n, size := len(r.Value), r.Length*r.Width
		windows, distinct := fill(n*size), map[float32]bool{}
		for _, maxBatch := range []int{1, 7, 32} {
			s := start(t, func(c *Config) { c.MaxBatch = maxBatch })
			out := make([]event.Verdict, n)
			for at, k := 0, 1; at < n; at, k = at+k, 3*k {
				k = min(k, n-at)
				if err := s.Score(t.Context(), m, windows[at*size:(at+k)*size], out[at:at+k]); err != nil {
					t.Fatal(err)
				}
			}
			for i, v := range out {
				distinct[v.Value] = true
				if math.Abs(float64(v.Value-r.Value[i])) > 1e-5 || math.Abs(float64(v.Risk-r.Risk[i])) > 1e-5 {
					t.Errorf("%dx%d, max_batch %d: window %d is %v %v, Python's %s says %v %v", r.Layers, r.Hidden, maxBatch, i, v.Value, v.Risk, r.Runtime, r.Value[i], r.Risk[i])
				}
			}
		}
		if len(distinct) < n/2 {
			t.Errorf("%dx%d: only %d different values of %d windows show little", r.Layers, r.Hidden, len(distinct), n)
		}
	}
}
