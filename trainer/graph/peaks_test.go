package graph

import (
	"slices"
	"testing"

	"andon/model/ort"
	"andon/model/ort/orttest"
)

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
