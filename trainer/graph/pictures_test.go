package graph

import (
	"slices"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

func TestReverse(t *testing.T) {
	orttest.Open(t)
	g := New()
	x := g.Input("x", Batch, 2, 3)
	s, err := ort.NewSession(g.Model("reverse", Output{Name: "y", Value: g.Concat(1, g.Reverse(x, 1), g.Reverse(x, 2))}), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in, err := ort.Wrap([]float32{1, 2, 3, 4, 5, 6}, 1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := s.Compute([]ort.Value{in})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{4, 5, 6, 1, 2, 3, 3, 2, 1, 6, 5, 4}; !slices.Equal(out[0].Data, want) {
		t.Errorf("got %v, want %v", out[0].Data, want)
	}
}

func TestPeaks(t *testing.T) {
	orttest.Open(t)
	g := New()
	file := g.Model("peaks", Output{Name: "y", Value: g.Peaks(g.Input("x", Batch, 2, 2, 4))})
	s, err := ort.NewSession(file, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x, err := ort.Wrap([]float32{
		1, 2, 0, 5,
		0, 0, 0, 5, // equals stay both
		0.5, 0, 0, 0,
		0, 0, 0.1, 0.2}, 1, 2, 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	out, err := s.Compute([]ort.Value{x})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 2, 0, 5, 0, 0, 0, 5, 0.5, 0, 0, 0, 0, 0, 0, 0.2}; !slices.Equal(out[0].Data, want) {
		t.Errorf("got %v, want %v", out[0].Data, want)
	}
}
