package adopt

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/model"
)

// MLmodel is what MLflow's file of that name says of an ONNX model (https://mlflow.org/docs/latest/ml/model/).
type MLmodel struct {
	// Data is the model's file, relative to the MLmodel's folder.
	Data string
	// Spec holds what the signature tells of the inputs and, where the model's metadata has a section andon, what that says.
	Spec *Spec
	// Run is MLflow's run, or the model's own name where it was saved outside of one.
	Run  string
	Time time.Time
}

// ReadMLmodel reads the file's text. What MLflow keeps for other programs is skipped.
func ReadMLmodel(text []byte) (*MLmodel, error) {
	var f struct {
		Flavors map[string]struct {
			Data string `yaml:"data"`
		} `yaml:"flavors"`
		Run       string `yaml:"run_id"`
		UUID      string `yaml:"model_uuid"`
		Time      string `yaml:"utc_time_created"`
		Signature struct {
			Inputs string `yaml:"inputs"`
		} `yaml:"signature"`
		Metadata struct {
			Andon yaml.Node `yaml:"andon"`
		} `yaml:"metadata"`
	}
	if err := yaml.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read MLmodel: %w", err)
	}
	flavor, ok := f.Flavors["onnx"]
	if !ok {
		return nil, errors.New("read MLmodel: the model has no flavour onnx: log it with mlflow.onnx")
	}
	m := &MLmodel{Data: path.Clean(flavor.Data), Spec: &Spec{}}
	switch {
	case f.Run != "":
		m.Run = "mlflow run " + f.Run
	case f.UUID != "":
		m.Run = "mlflow model " + f.UUID
	}
	if flavor.Data == "" || path.IsAbs(m.Data) || m.Data == ".." || strings.HasPrefix(m.Data, "../") || m.Data == "." {
		return nil, fmt.Errorf("read MLmodel: flavors.onnx.data: %q is not a file beside it", flavor.Data)
	}
	if t, err := time.Parse("2006-01-02 15:04:05.999999", f.Time); err == nil {
		m.Time = t
	}
	if f.Metadata.Andon.Kind != 0 {
		own, err := yaml.Marshal(&f.Metadata.Andon)
		if err != nil {
			return nil, fmt.Errorf("read MLmodel: metadata.andon: %w", err)
		}
		if m.Spec, err = Read(own); err != nil {
			return nil, fmt.Errorf("read MLmodel: metadata.andon: %w", err)
		}
	}
	if len(m.Spec.Inputs) == 0 && f.Signature.Inputs != "" {
		inputs, err := signature(f.Signature.Inputs)
		if err != nil {
			return nil, fmt.Errorf("read MLmodel: signature.inputs: %w", err)
		}
		m.Spec.Inputs = inputs
	}
	return m, nil
}

// signature reads MLflow's inputs: tensors with shapes, or columns with names.
func signature(text string) ([]Input, error) {
	var ports []struct {
		Name   string `json:"name"`
		Type   string `json:"type"`
		Tensor *struct {
			Shape []int64 `json:"shape"`
		} `json:"tensor-spec"`
	}
	if err := json.Unmarshal([]byte(text), &ports); err != nil {
		return nil, err
	}
	var tensors []Input
	var columns []string
	for _, p := range ports {
		if p.Tensor == nil {
			columns = append(columns, p.Name)
			continue
		}
		tensors = append(tensors, Input{Tensor: p.Name})
	}
	switch {
	case len(columns) == 0:
		return tensors, nil
	case len(tensors) > 0:
		return nil, errors.New("tensors and columns are mixed")
	}
	// A table of columns: one row of it is the newest step. MLflow feeds them to one input, in this order.
	return []Input{{Length: 1, Signals: columns}}, nil
}

// Over returns a spec that says what s says and, where s is silent, what under says.
func (s *Spec) Over(under *Spec) *Spec {
	out := *under
	if s.Name != "" {
		out.Name = s.Name
	}
	if s.Task != "" {
		out.Task, out.Horizon = s.Task, s.Horizon
	}
	if s.Unit != "" {
		out.Unit = s.Unit
	}
	if len(s.Inputs) > 0 {
		out.Inputs = s.Inputs
	}
	if s.Value != nil || s.Risk != nil {
		out.Value, out.Risk = s.Value, s.Risk
	}
	if s.Picture != nil {
		out.Picture = s.Picture
	}
	if out.Picture != nil { // MLflow's signature of the input says what the file declares
		out.Inputs = nil
	}
	if s.Metrics != nil {
		out.Metrics = s.Metrics
	}
	return &out
}

// Lineage returns what the file tells of the model's origin.
func (m *MLmodel) Lineage() model.Lineage {
	return model.Lineage{Run: m.Run, Trained: m.Time}
}
