package ort_test

import (
	"slices"
	"strings"
	"testing"

	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// NonZero's output has as many columns as its input has numbers that are not zero: also none.
func TestComputeFindsShapes(t *testing.T) {
	orttest.Open(t)
	g := onnx.NewGraph("test")
	g.Input("x", onnx.Float, onnx.Dim{Name: "n"})
	g.Node("Cast", []string{g.Op("NonZero", []string{"x"})}, []string{"places"}, onnx.Int("to", int64(onnx.Float)))
	g.Output("places", onnx.Float, onnx.Dim{Size: 1}, onnx.Dim{Name: "found"})
	s := session(t, g.Model(), ort.Options{})
	x := tensor[float32](t, 5)
	var kept [][]float32
	for _, c := range [][]float32{{0, 1, 0, 2, 0}, {0, 0, 0, 0, 0}, {1, 1, 1, 1, 1}} {
		copy(x.Data(), c)
		out, err := s.Compute([]ort.Value{x})
		if err != nil {
			t.Fatal(err)
		}
		if want := []int64{1, int64(len(out[0].Data))}; !slices.Equal(out[0].Shape, want) {
			t.Errorf("%v: shape %v, want %v", c, out[0].Shape, want)
		}
		kept = append(kept, out[0].Data)
	}
	for i, want := range [][]float32{{1, 3}, {}, {0, 1, 2, 3, 4}} {
		if !slices.Equal(kept[i], want) {
			t.Errorf("run %d: places %v, want %v", i, kept[i], want)
		}
	}
}

func TestComputeRefuses(t *testing.T) {
	orttest.Open(t)
	g := onnx.NewGraph("test")
	g.Input("x", onnx.Float, onnx.Dim{Name: "n"})
	g.Node("Cast", []string{"x"}, []string{"y"}, onnx.Int("to", int64(onnx.Int64)))
	g.Output("y", onnx.Int64, onnx.Dim{Name: "n"})
	s := session(t, g.Model(), ort.Options{})
	x := tensor[float32](t, 2)
	if _, err := s.Compute([]ort.Value{x}); err == nil || !strings.Contains(err.Error(), "y is not a tensor of float32") {
		t.Errorf("integers: %v", err)
	}
	if _, err := s.Compute(nil); err == nil || !strings.Contains(err.Error(), "got 0 inputs") {
		t.Errorf("no inputs: %v", err)
	}
	s.Close()
	if _, err := s.Compute([]ort.Value{x}); err == nil {
		t.Error("a closed session ran")
	}
}
