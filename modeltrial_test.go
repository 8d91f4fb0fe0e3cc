package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort/orttest"
)

// A model that does harm does it to its own process: each harm has its words, and the appliance goes on.
func TestTrial(t *testing.T) {
	needLibraries(t)
	t.Setenv("ANDON_TEST_PROGRAM", "1")
	lib, err := filepath.Abs("lib")
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	cfg.Libraries = lib
	cfg.Models.TrialTime = 3 * time.Second
	cfg.Models.TrialMemory = 1 << 30
	try := func(file []byte) (map[string]float64, error) {
		t.Helper()
		m, err := model.Seal(file, model.Meta{Pipeline: "p", Task: model.Score, Recipe: model.Recipe{Signals: []string{"a"}, Grid: time.Hour, Length: 3, Smooth: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return tryModel(t.Context(), &cfg, m)
	}
	measured, err := try(orttest.Sum(3, 1, 0.5))
	if err != nil || measured["trial_seconds_batch_1"] <= 0 || measured["trial_memory_bytes"] < 10<<20 {
		t.Errorf("a good model: %v, %v", measured, err)
	}
	refused := func(name, says string, file []byte) {
		t.Helper()
		if _, err := try(file); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "goroutine") {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	refused("wrong windows", "the file declares window float[-1 4 1], the recipe needs window float[-1 3 1]", orttest.Sum(4, 1, 0))

	forever := orttest.Scoring(3, 1)
	body := onnx.NewGraph("body")
	body.Input("i", onnx.Int64)
	body.Input("on", onnx.Bool)
	body.Input("x", onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	body.Node("Identity", []string{"on"}, []string{"still"})
	body.Node("Sin", []string{"x"}, []string{"y"})
	body.Output("still", onnx.Bool)
	body.Output("y", onnx.Float, onnx.Dim{Name: "batch"}, onnx.Dim{Size: 1})
	column := forever.Op("ReduceSum", []string{"window", forever.Ints("axes", 1)}, onnx.Int("keepdims", 0))
	trips := forever.Op("Squeeze", []string{forever.Ints("most", math.MaxInt64)})
	forever.Node("Loop", []string{trips, "", column}, []string{"value"}, onnx.Body("body", body))
	forever.Node("Sigmoid", []string{"value"}, []string{"risk"})
	refused("a loop without an end", "had not ended after models.trial_time, 3s", forever.Model())

	greedy := orttest.Scoring(3, 1)
	column = greedy.Op("ReduceSum", []string{"window", greedy.Ints("axes", 1)}, onnx.Int("keepdims", 0))
	all := greedy.Op("Shape", []string{column}) // so that it is not made when the file is loaded
	wide := greedy.Op("Expand", []string{column, greedy.Op("Mul", []string{all, greedy.Ints("wide", 1, 2_000_000_000)})})
	greedy.Node("ReduceMax", []string{wide}, []string{"value"}, onnx.Ints("axes", 1))
	greedy.Node("Sigmoid", []string{"value"}, []string{"risk"})
	refused("eight gigabytes", "models.trial_memory, 1GiB", greedy.Model())
	if _, err := try(orttest.Sum(3, 1, 0.5)); err != nil {
		t.Errorf("after all that: %v", err)
	}
}
