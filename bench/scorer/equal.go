package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"andon/event"
	"andon/scorer"
)

// tolerance is the largest difference of two verdicts that count as equal.
const tolerance = 1e-5

// equal holds the scorer's verdicts to those of Python's ONNX Runtime: most windows of each network, in calls of many sizes.
func equal(ctx context.Context, out io.Writer, nets []*loaded, py *python, _ options) error {
	fmt.Fprintln(out, "| network | windows | largest difference to Python's ONNX Runtime: value | risk |\n|---|---|---|---|")
	s, err := newScorer(func(*scorer.Config) {})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, n := range nets {
		want, err := py.do(map[string]any{"do": "score", "name": n.name})
		if err != nil {
			return err
		}
		verdicts, size := make([]event.Verdict, most), n.length*n.width
		for at, k := 0, 1; at < most; at, k = at+k, 2*k {
			k = min(k, most-at)
			if err := s.Score(ctx, n.Model, n.windows[at*size:(at+k)*size], verdicts[at:at+k]); err != nil {
				return err
			}
		}
		var value, risk float64
		for i, v := range verdicts {
			value, risk = max(value, math.Abs(float64(v.Value-want.Value[i]))), max(risk, math.Abs(float64(v.Risk-want.Risk[i])))
		}
		fmt.Fprintf(out, "| %s | %d | %.1e | %.1e |\n", n.name, most, value, risk)
		if !(value <= tolerance && risk <= tolerance) {
			return fmt.Errorf("%s: value differs by %v and risk by %v, more than %v", n.name, value, risk, tolerance)
		}
	}
	return nil
}

// recorded is what Python's ONNX Runtime said of the first windows of a network with the weights of seed 1.
type recorded struct {
	Runtime                       string
	Length, Width, Hidden, Layers int
	Value, Risk                   []float32
}

// record writes what Python says, for the scorer's own test.
func record(file string, nets []*loaded, py *python) error {
	const windows = 50
	var all []recorded
	for _, n := range nets {
		a, err := py.do(map[string]any{"do": "score", "name": n.name})
		if err != nil {
			return err
		}
		all = append(all, recorded{Runtime: py.version, Length: n.length, Width: n.width, Hidden: n.hidden, Layers: n.layers, Value: a.Value[:windows], Risk: a.Risk[:windows]})
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
