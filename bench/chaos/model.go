package main

import (
	"fmt"
	"time"

	"andon/model"
	"andon/model/onnx"
)

// addModel puts a model into a data folder that says of a window the mean of its values: whoever knows the records can tell what each score must be,
// and a window that began cold after a crash, or holds a record of another, shows.
func addModel(dir string) error {
	batch := onnx.Dim{Name: "batch"}
	g := onnx.NewGraph("mean")
	g.Input(model.Input, onnx.Float, append([]onnx.Dim{batch}, onnx.Fixed(length, 1)...)...)
	mean := g.Op("ReduceMean", []string{model.Input}, onnx.Ints("axes", 1), onnx.Int("keepdims", 0))
	g.Node("Identity", []string{mean}, []string{model.Value})
	g.Node("Sigmoid", []string{mean}, []string{model.Risk})
	g.Output(model.Value, onnx.Float, batch, onnx.Dim{Size: 1})
	g.Output(model.Risk, onnx.Float, batch, onnx.Dim{Size: 1})
	m, err := model.Seal(g.Model(), model.Meta{Pipeline: pipeline, Task: model.Anomaly, Unit: "v", Network: "mean",
		Recipe:  model.Recipe{Signals: []string{"v"}, Grid: time.Second, Length: length, MaxGap: 3, Smooth: 1, Scale: []model.Scale{{Mean: 0, Std: 1}}},
		Lineage: model.Lineage{Run: "chaos"}})
	if err != nil {
		return err
	}
	r, err := model.Open(dir)
	if err != nil {
		return err
	}
	if err := r.Add(m); err != nil {
		return err
	}
	if err := r.Promote(pipeline, m.Version, "chaos", "it says the mean"); err != nil {
		return fmt.Errorf("promote the model: %w", err)
	}
	return nil
}
