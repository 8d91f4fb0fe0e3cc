package model

import (
	"strings"
	"testing"

	"andon/model/onnx"
)

// A model of pictures has no recipe of windows, and must say how its pictures are made and its outputs read.
func TestPictureModel(t *testing.T) {
	file := onnx.AppendMetadata(nil, "other", "x")
	good := Picture{Width: 64, Height: 48, Labels: []string{"clear", "person"}, Form: FormProbabilities, Threshold: 0.5}
	m, err := Seal(file, Meta{Pipeline: "dock", Task: Classification, Picture: &good})
	if err != nil {
		t.Fatal(err)
	}
	if m.Picture == nil || m.Picture.Width != 64 || m.Picture.Labels[1] != "person" || m.Task != Classification {
		t.Fatalf("read back as %+v", m.Meta)
	}
	fault := func(want string, change func(*Picture)) {
		t.Helper()
		p := good
		change(&p)
		if _, err := Seal(file, Meta{Pipeline: "dock", Task: Detection, Picture: &p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	fault("size", func(p *Picture) { p.Width = 0 })
	fault("labels", func(p *Picture) { p.Labels = nil })
	fault("labels: \"clear\" is empty or named twice", func(p *Picture) { p.Labels = []string{"clear", "clear"} })
	fault("normal: \"quiet\" is none of the labels", func(p *Picture) { p.Normal = "quiet" })
	fault("form", func(p *Picture) { p.Form = "yolo" })
	fault("threshold", func(p *Picture) { p.Threshold = 1.5 })
	fault("overlap", func(p *Picture) { p.Overlap = -1 })
	fault("std", func(p *Picture) { p.Std = [3]float32{1, 0, 1} })
}
