package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"andon/console"
	"andon/ingest"
	"andon/ingest/decode"
	"andon/model"
	"andon/model/onnx"
	"andon/trainer"
)

// detector is a stranger's file for frames of 8x8 bytes: [n, 8, 8, 3] to one box [n, 1, 6], with the confidences times k.
func detector(k float32) []byte {
	g := onnx.NewGraph("stranger")
	n := onnx.Dim{Name: "n"}
	g.Input("image", onnx.Uint8, append([]onnx.Dim{n}, onnx.Fixed(8, 8, 3)...)...)
	bright := g.Op("ReduceMean", []string{g.Op("Cast", []string{"image"}, onnx.Int("to", int64(onnx.Float)))}, onnx.Ints("axes", 1, 2, 3), onnx.Int("keepdims", 0))
	column := g.Op("Reshape", []string{bright, g.Ints("column", -1, 1, 1)})
	share := g.Op("Mul", []string{column, g.Floats("scale", []int{6}, []float32{0, 0, 0, 0, k / 255, 0})})
	g.Node("Add", []string{share, g.Floats("box", []int{6}, []float32{4, 4, 4, 4, 0, 0})}, []string{"found"})
	g.Output("found", onnx.Float, n, onnx.Dim{Size: 1}, onnx.Dim{Size: 6})
	return g.Model()
}

// Files for frames are adapted, tried in a process of their own, registered, and kept from where they do not belong.
func TestPushPictures(t *testing.T) {
	needLibraries(t)
	t.Setenv("ANDON_TEST_PROGRAM", "1")
	cfg := defaultConfig()
	var err error
	if cfg.Libraries, err = filepath.Abs("lib"); err != nil {
		t.Fatal(err)
	}
	source := func(shape string) ingest.Source { return ingest.Source{Spec: decode.Spec{Shape: shape}} }
	cfg.Pipelines = []Pipeline{{Name: "dock", Source: source(shapeFrame)}, {Name: "pumps", Source: source("wide")},
		{Name: "gate", Source: source(shapeFrame), Model: &trainer.Spec{Task: model.Classification}}}
	models, err := model.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	desk := newModelDesk(&cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	desk.open(models)
	const spec = "name: one-box\ntask: detection\npicture: {range: 255, labels: [hat, vest], threshold: 0.3}"
	push := func(pipeline, spec string, file []byte) (model.Info, error) {
		info, _, err := desk.Push(t.Context(), console.Push{Pipeline: pipeline, Name: "box.onnx", File: file, Spec: []byte(spec), Who: "test"})
		return info, err
	}
	info, err := push("dock", spec, detector(1))
	if err != nil {
		t.Fatal(err)
	}
	if p := info.Picture; p == nil || p.Width != 8 || p.Form != model.FormYOLOv8 || info.Task != model.Detection || info.Network != "one-box" || takes(&info.Meta) != "8x8 of hat, vest" {
		t.Errorf("registered as %+v", info.Meta)
	}
	for _, key := range []string{"trial_load_seconds", "trial_seconds_pictures_1", "trial_seconds_pictures_4", "trial_memory_bytes"} {
		if info.Measured[key] <= 0 {
			t.Errorf("%s was not measured: %v", key, info.Measured)
		}
	}
	if _, err := desk.Move(t.Context(), model.Move{Pipeline: "dock", Alias: model.Champion, To: info.Version, Who: "test"}); err != nil {
		t.Error(err)
	}
	own, err := models.Get("dock", info.Version)
	if err != nil {
		t.Fatal(err)
	}
	if again, known, err := desk.Push(t.Context(), console.Push{Pipeline: "dock", File: own.ONNX}); err != nil || !known || again.Version != info.Version {
		t.Errorf("our own file again: %v %v", known, err)
	}
	for want, c := range map[string]struct {
		pipeline, spec string
		file           []byte
	}{
		"its first run: bright pictures: read yolov8: box 0: a confidence of 3 is not between 0 and 1": {"dock", spec, detector(3)},
		"picture: the pipeline's records are frames":                                                   {"dock", "name: x", detector(1)},
		"picture: the records of pipelines.pumps are readings":                                         {"pumps", spec, detector(1)},
		"the model is a detection, and pipelines.gate.model.task is classification":                    {"gate", spec, detector(1)},
		"it is a model of pipeline \"dock\", not of \"gate\"":                                          {"gate", "", own.ONNX},
	} {
		if _, err := push(c.pipeline, c.spec, c.file); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	windows, err := model.Seal(onnx.AppendMetadata(nil, "a", "b"), model.Meta{Pipeline: "dock", Task: model.Score, Recipe: model.Recipe{Signals: []string{"a"}, Grid: 1, Length: 1, Smooth: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.fits(windows); err == nil || !strings.Contains(err.Error(), "the model makes windows of readings") {
		t.Errorf("windows for frames: %v", err)
	}
}
