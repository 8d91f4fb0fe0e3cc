// Package oip lets others ask the models: the Open Inference Protocol, version 2, over REST and gRPC, as published in kserve/open-inference-protocol, with the
// extensions binary tensors, repository, statistics and model configuration as Triton Inference Server documents them.
//
// Each pipeline is a model of the same name; its versions are digests, or an alias's name. A call without a version means the champion. The input is
// window, FP32 [-1, length, channels]; the outputs are value and risk, FP32 [-1, 1]. A window holds what the ONNX file takes: channels that were scaled as the
// recipe says, the same numbers that any other ONNX Runtime wants. With the request parameter "scaled": false the channels are in the signals' own units
// (smoothed and with change and age, where the recipe has those) and are scaled here. The model's metadata name the channels and their scale.
//
// Calls go through the scorer's queue of the model, and share its runs with the line's own windows.
//
// Metrics: andon_inference_requests_total, _refused_total, _seconds, _calls.
package oip

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// Judge is the scorer as callers of the protocol need it.
type Judge interface {
	// Serve fills out like Score, and refuses with scorer.ErrBusy what would come too late.
	Serve(ctx context.Context, m *model.Model, windows []float32, out []event.Verdict) error
	Load(ctx context.Context, m *model.Model) error
	// Retire lets a version go once nobody uses it, Loaded reports whether one is there and stays.
	Retire(version string)
	Loaded(version string) bool
}

// Deps are the server's collaborators.
type Deps struct {
	Judge  Judge
	Models *model.Registry
	// Pipelines are models, too, while they have no version yet.
	Pipelines []string
	// Ready returns nil when the appliance is.
	Ready func() error
	// Version is the program's.
	Version string
}

// Server answers both protocols. All methods are safe for concurrent use.
type Server struct {
	cfg     Config
	judge   Judge
	ready   func() error
	version string
	catalog *catalog
	metrics *metrics
	log     *slog.Logger
	// inside counts the calls in progress, streams the streams that are open.
	inside, streams atomic.Int64
}

// New makes a server for a valid configuration; it starts nothing.
func New(cfg Config, d Deps, log *slog.Logger, reg prometheus.Registerer) *Server {
	s := &Server{cfg: cfg, judge: d.Judge, ready: d.Ready, version: d.Version, log: log,
		catalog: &catalog{cfg: &cfg, models: d.Models, judge: d.Judge, pipelines: d.Pipelines, seen: map[string]*served{}}}
	s.metrics = newMetrics(reg, func() float64 { return float64(s.inside.Load()) })
	return s
}

// enter takes a place among the calls in progress.
func (s *Server) enter() *fault {
	if n := s.inside.Add(1); n > int64(s.cfg.Calls) {
		s.inside.Add(-1)
		return busy("%d calls are in progress, as many as inference.calls allows: try again", s.cfg.Calls)
	}
	return nil
}

func (s *Server) leave() { s.inside.Add(-1) }

// done counts a call that came as far as a model; the answer is made, and not yet written.
func (s *Server) done(p protocol, v *served, c *call, f *fault) {
	now := time.Now()
	took := now.Sub(c.began)
	s.metrics.done(p, f, took)
	if f != nil {
		v.stats.failed(took)
		return
	}
	c.spent.output = took - c.spent.input - c.spent.queue - c.spent.infer
	v.stats.done(now, c.out, took, &c.spent)
}

// extensions are those of the protocol's that are served.
var extensions = []string{"binary_tensor_data", "model_repository", "model_configuration", "statistics", "parameters"}

type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

func (s *Server) metadata() serverMetadata { return serverMetadata{"andon", s.version, extensions} }

// port is an input or output as metadata tell it.
type port struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// description is a model's metadata.
type description struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
	Platform string   `json:"platform"`
	Inputs   []port   `json:"inputs"`
	Outputs  []port   `json:"outputs"`
	// Properties are facts beyond the protocol, as its gRPC form has them.
	Properties map[string]string `json:"properties"`
	// largest is the number of windows that a request may hold.
	largest int
}

// describe returns the metadata of a version, loaded or not.
func (s *Server) describe(name, version string) (*description, *fault) {
	info, f := s.catalog.find(name, version)
	if f != nil {
		return nil, f
	}
	if info.Picture != nil {
		return s.describePicture(info)
	}
	r := &info.Recipe
	d := &description{Name: name, Platform: "onnx_onnxv1", largest: max(1, int(s.cfg.MaxRequest)/(4*r.Length*r.Width())-1),
		Inputs:  []port{{model.Input, "FP32", []int64{-1, int64(r.Length), int64(r.Width())}}},
		Outputs: []port{{model.Value, "FP32", []int64{-1, 1}}, {model.Risk, "FP32", []int64{-1, 1}}},
		Properties: map[string]string{
			"version": info.Version, "task": string(info.Task), "unit": info.Unit, "grid": r.Grid.String(), "channels": list(r.Channels()),
			"scaled": "true: windows hold channels scaled as (x - mean) / std; with the request parameter scaled false they hold x itself",
		}}
	if info.Horizon > 0 {
		d.Properties["horizon"] = strconv.Itoa(info.Horizon)
	}
	if len(r.Scale) > 0 {
		var mean, std []float64
		for _, c := range r.Scale {
			mean, std = append(mean, c.Mean), append(std, c.Std)
		}
		d.Properties["mean"], d.Properties["std"] = list(mean), list(std)
	} else {
		d.Properties["scaled"] = "true: the model was trained on the channels as they are"
	}
	d.Versions = s.catalog.versions(name)
	return d, nil
}

// list writes values as a property holds them: a JSON array.
func list[T any](v []T) string {
	js, _ := json.Marshal(v) // of strings and finite numbers
	return string(js)
}

// configuration is a model's as Triton's clients read it.
type configuration struct {
	Name         string       `json:"name"`
	Platform     string       `json:"platform"`
	Backend      string       `json:"backend"`
	MaxBatchSize int          `json:"max_batch_size"`
	Input        []configPort `json:"input"`
	Output       []configPort `json:"output"`
}

type configPort struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Dims     []int64 `json:"dims"`
}

// config tells the same as the metadata in Triton's words: there the batch is not among the dimensions. Any request is cut into runs as it suits, so the
// largest batch is what a request may hold.
func (d *description) config() configuration {
	ports := func(list []port) (all []configPort) {
		for _, p := range list {
			all = append(all, configPort{p.Name, "TYPE_" + p.Datatype, p.Shape[1:]})
		}
		return all
	}
	return configuration{Name: d.Name, Platform: "onnxruntime_onnx", Backend: "onnxruntime", MaxBatchSize: d.largest, Input: ports(d.Inputs), Output: ports(d.Outputs)}
}

// modelReady reports whether a version can be scored with now.
func (s *Server) modelReady(name, version string) (bool, *fault) {
	if !s.catalog.knows(name) {
		return false, unknown("there is no model %q; POST /v2/repository/index lists the models", name)
	}
	if version == "" && s.catalog.models.Live(name) == nil {
		return false, nil
	}
	info, f := s.catalog.find(name, version)
	if f != nil {
		return false, f
	}
	return s.catalog.loaded(info), nil
}

// control loads or unloads what a request's parameters name.
func (s *Server) control(ctx context.Context, name string, load bool, parameters map[string]any) *fault {
	version := ""
	for key, v := range parameters {
		text, isText := v.(string)
		switch {
		case key == "version" && isText:
			version = text
		case key == "config" && isText && load:
			// Triton's clients have no other place to say which version.
			var ask struct {
				Policy struct {
					Specific struct {
						Versions []string `json:"versions"`
					} `json:"specific"`
				} `json:"version_policy"`
			}
			d := json.NewDecoder(bytes.NewReader([]byte(text)))
			d.DisallowUnknownFields()
			if err := d.Decode(&ask); err != nil || len(ask.Policy.Specific.Versions) != 1 {
				return wrong(`the parameter config can only name one version, as {"version_policy":{"specific":{"versions":["0123456789ab"]}}}`)
			}
			version = ask.Policy.Specific.Versions[0]
		case key == "unload_dependents" && !load: // there are none
		case strings.HasPrefix(key, "file:"):
			return wrong("a model's file is not taken here: add it with andon model push")
		default:
			return wrong("the parameter %q is not known here: version, a string, names a version", key)
		}
	}
	act := "load"
	f := (*fault)(nil)
	if load {
		f = s.catalog.load(ctx, name, version)
	} else {
		act = "unload"
		f = s.catalog.unload(name, version)
	}
	if f == nil {
		s.log.Info("asked by a caller", "act", act, "pipeline", name, "version", version)
	}
	return f
}

// modelStats is a version's statistics as the extension has them.
type modelStats struct {
	Name       string         `json:"name"`
	Version    string         `json:"version"`
	Last       uint64         `json:"last_inference"`
	Inferences uint64         `json:"inference_count"`
	Executions uint64         `json:"execution_count"`
	Stats      inferenceStats `json:"inference_stats"`
	Batches    []batchJSON    `json:"batch_stats"`
}

type inferenceStats struct {
	Success       duration `json:"success"`
	Fail          duration `json:"fail"`
	Queue         duration `json:"queue"`
	ComputeInput  duration `json:"compute_input"`
	ComputeInfer  duration `json:"compute_infer"`
	ComputeOutput duration `json:"compute_output"`
	CacheHit      duration `json:"cache_hit"`
	CacheMiss     duration `json:"cache_miss"`
}

type batchJSON struct {
	Size          int      `json:"batch_size"`
	ComputeInput  duration `json:"compute_input"`
	ComputeInfer  duration `json:"compute_infer"`
	ComputeOutput duration `json:"compute_output"`
}

func statsJSON(list []stated) []modelStats {
	all := []modelStats{}
	for _, v := range list {
		m := modelStats{Name: v.name, Version: v.version, Inferences: v.windows, Executions: uint64(v.runs + 0.5), Batches: []batchJSON{},
			Stats: inferenceStats{Success: v.success, Fail: v.fail, Queue: v.queue, ComputeInput: v.input, ComputeInfer: v.infer, ComputeOutput: v.output}}
		if !v.last.IsZero() {
			m.Last = uint64(v.last.UnixMilli())
		}
		for _, b := range v.batches {
			m.Batches = append(m.Batches, batchJSON{b.size, b.input, b.infer, b.output})
		}
		all = append(all, m)
	}
	return all
}
