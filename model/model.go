// Package model knows what a model is and which one is live: an ONNX file that carries its own feature recipe, signature, task and lineage,
// and a registry of versions.
package model

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"andon/event"
	"andon/model/onnx"
)

// Task is what a model's outputs mean.
type Task string

// The tasks.
const (
	// RemainingLife: value is the remaining life in grid steps, risk the probability that it is at most Meta.Horizon steps.
	RemainingLife Task = "remaining-life"
	// Anomaly: value is the forecast's error in standard deviations of the training errors, risk its size between 0 and 1.
	Anomaly Task = "anomaly"
	// Score: value and risk are what the file gives, risk between 0 and 1; how to train one is not our knowledge.
	Score Task = "score"
	// Classification says what a frame shows, Detection where in it; both are of pictures and have no recipe of windows.
	Classification Task = "classification"
	Detection      Task = "detection"
)

// The names of the tensors of a scoring model: Input is float32 [batch, length, channels]; Value and Risk are float32 [batch, 1].
const (
	Input = "window"
	Value = "value"
	Risk  = "risk"
)

// Meta is what the file says about itself.
type Meta struct {
	Pipeline string `json:"pipeline"`
	Task     Task   `json:"task"`
	// Recipe is of a model of windows; that of one of pictures is empty.
	Recipe Recipe `json:"recipe"`
	// Picture is of a model of pictures, nil for one of windows.
	Picture *Picture `json:"picture,omitempty"`
	// Unit is the value's unit, for people: "cycles", "sd".
	Unit string `json:"unit"`
	// Horizon is the number of grid steps that the risk of a RemainingLife model speaks of.
	Horizon int                `json:"horizon,omitempty"`
	Network string             `json:"network"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Lineage Lineage            `json:"lineage"`
}

// Lineage says where a model came from, so that it can be made again.
type Lineage struct {
	Run string `json:"run"`
	// Query is the ClickHouse query that gave the training rows; Digest is the SHA-256 of the windows and targets it became.
	Query   string `json:"query,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Windows int    `json:"windows,omitempty"`
	Assets  int    `json:"assets,omitempty"`
	Seed    uint64 `json:"seed"`
	// Code is the version of the program that made the file.
	Code    string    `json:"code,omitempty"`
	Trained time.Time `json:"trained"`
	// Seconds is how long making it took, CPUSeconds what the process spent meanwhile, all its threads together.
	Seconds    float64 `json:"seconds,omitempty"`
	CPUSeconds float64 `json:"cpu_seconds,omitempty"`
	// GPUSeconds is how long kernels ran meanwhile on the machine's NVIDIA devices, Joules what was drawn, by the meters that Energy names, whatever else ran there; absent where nothing measures.
	GPUSeconds float64 `json:"gpu_seconds,omitempty"`
	Joules     float64 `json:"joules,omitempty"`
	Energy     string  `json:"energy,omitempty"`
	// Worker is the process that made it, Machine its processor, Runtime its version of ONNX Runtime: numbers are the same to the bit where these are the same.
	Worker  string `json:"worker,omitempty"`
	Machine string `json:"machine,omitempty"`
	Runtime string `json:"runtime,omitempty"`
	// What else determines it. Marks are how far the data was stored that it was made of, Section what the pipeline's section says of models (YAML, with the settings of this one), Memory the bound on its
	// windows in bytes, Champion the live version then, and Since the event time from which on things were different, Unix nanoseconds. Start is the SHA-256 of the champion's file where it began with its parameters.
	Marks    *event.Marks `json:"marks,omitempty"`
	Section  string       `json:"section,omitempty"`
	Memory   int64        `json:"memory,omitempty"`
	Champion string       `json:"champion,omitempty"`
	Since    int64        `json:"since,omitempty"`
	Start    string       `json:"start,omitempty"`
	// Offsets are the positions in the log between which the training rows were, by topic and partition.
	Offsets []event.Span `json:"offsets,omitempty"`
	// Source is the SHA-256 of the file that was pushed, where the model was rewritten from it.
	Source string `json:"source,omitempty"`
}

// Model is one immutable version.
type Model struct {
	Meta
	// Version is the first 12 hexadecimal digits of the file's SHA-256.
	Version string
	// ONNX is the whole file.
	ONNX []byte
	// Reference is what the model's windows and verdicts looked like when it was made, for those who watch whether they still do: bytes that processors/drift reads. Empty where the file has none.
	Reference []byte
}

const (
	metaKey      = "andon.model"
	referenceKey = "andon.reference"
)

// mostReference bounds a model's Reference, in bytes.
const mostReference = 1 << 20

// Refer writes a reference into an ONNX file that is not sealed yet.
func Refer(file, reference []byte) ([]byte, error) {
	if len(reference) > mostReference {
		return nil, fmt.Errorf("keep the model's reference: %d bytes are more than %d", len(reference), mostReference)
	}
	return onnx.AppendMetadata(file, referenceKey, base64.StdEncoding.EncodeToString(reference)), nil
}

// Seal writes meta into an ONNX file that has no metadata of ours yet, and returns the model.
func Seal(file []byte, meta Meta) (*Model, error) {
	if err := meta.takes(); err != nil {
		return nil, fmt.Errorf("seal model of %s: %w", meta.Pipeline, err)
	}
	js, err := json.Marshal(meta)
	if err != nil {
		return nil, fmt.Errorf("seal model of %s: %w", meta.Pipeline, err)
	}
	return Parse(onnx.AppendMetadata(file, metaKey, string(js)))
}

// Parse reads a model from an ONNX file's bytes, which it keeps.
func Parse(file []byte) (*Model, error) {
	props, err := onnx.Metadata(file)
	if err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	js, ok := props[metaKey]
	if !ok {
		return nil, fmt.Errorf("parse model: the ONNX file has no %q metadata, which tells its pipeline, task and feature recipe", metaKey)
	}
	m := &Model{ONNX: file}
	if err := json.Unmarshal([]byte(js), &m.Meta); err != nil {
		return nil, fmt.Errorf("parse model: metadata %q: %w", metaKey, err)
	}
	if err := m.takes(); err != nil {
		return nil, fmt.Errorf("parse model: metadata %q: %w", metaKey, err)
	}
	if text := props[referenceKey]; len(text) <= base64.StdEncoding.EncodedLen(mostReference) {
		if m.Reference, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("parse model: metadata %q: %w", referenceKey, err)
		}
	}
	m.Version = versionOf(file)
	return m, nil
}

// takes checks what the model says of its input.
func (m *Meta) takes() error {
	if m.Picture != nil {
		if err := m.Picture.Validate(); err != nil {
			return fmt.Errorf("picture: %w", err)
		}
		return nil
	}
	return m.Recipe.Validate()
}

func versionOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:6])
}
