// Package adopt makes a stranger's ONNX file a model of ours: a short YAML says which of its inputs takes what of the window and which outputs are value and
// risk, and the file is rewritten once, with the nodes that this needs around it, so that scoring knows one kind of model only.
package adopt

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"andon/model"
)

// Spec is the YAML beside a model. All of it may be left away where the file leaves no choice.
type Spec struct {
	// Name is for people; it becomes the model's Network.
	Name string     `yaml:"name"`
	Task model.Task `yaml:"task"` // score where it is empty
	Unit string     `yaml:"unit"`
	// Horizon is the number of grid steps that the risk of a remaining-life model speaks of.
	Horizon int     `yaml:"horizon"`
	Inputs  []Input `yaml:"inputs"`
	// Value and Risk say where the verdict is; one that is left away is taken from the other.
	Value *Output `yaml:"value"`
	Risk  *Output `yaml:"risk"`
	// Picture is of a model of pictures, in the place of inputs, value and risk.
	Picture *Picture `yaml:"picture"`
	// Metrics are kept with the model.
	Metrics map[string]float64 `yaml:"metrics"`
}

// Layout is the order of an input's axes.
type Layout string

// The layouts. What follows the batch is reshaped to what the file declares, where it declares it.
const (
	TimeChannels Layout = "time-channels" // [batch, length, signals]; also what a flat input of row after row is
	ChannelsTime Layout = "channels-time" // [batch, signals, length], as PyTorch's convolutions take it
)

// Input says what one of the file's inputs is fed.
type Input struct {
	// Tensor is the input's name; it may be left away where there is only one.
	Tensor string `yaml:"tensor"`
	// Layout is taken from the declared shape where it is empty and the shape leaves no doubt.
	Layout Layout `yaml:"layout"`
	// Length is the number of grid steps, the window's newest; 0 takes what the shape says, or all.
	Length int `yaml:"length"`
	// Signals are channels of the pipeline's windows in the order that the model takes them; none means all in the window's order.
	Signals []string `yaml:"signals"`
	// Mean and Std scale each signal x to (x-mean)/std; none for a model that takes raw values.
	Mean []float64 `yaml:"mean"`
	Std  []float64 `yaml:"std"`
}

// Map is what is done to an output's number.
type Map string

// The maps.
const (
	Plain    Map = ""
	Sigmoid  Map = "sigmoid"
	Softmax  Map = "softmax"  // over all columns, before one is taken
	Logistic Map = "logistic" // 1/(1+exp(-steep*(x-half)))
)

// Output says which number of the file's outputs is meant: x*Scale+Offset of a column, then mapped.
type Output struct {
	// Tensor is the output's name; it may be left away where there is only one.
	Tensor string `yaml:"tensor"`
	// Column counts from 0 over all that the output has for one window.
	Column int     `yaml:"column"`
	Scale  float64 `yaml:"scale"` // 0 means 1
	Offset float64 `yaml:"offset"`
	Map    Map     `yaml:"map"`
	// Half is the x of a logistic 0.5, Steep its slope there times four; a negative one lets the risk fall with x.
	Half  float64 `yaml:"half"`
	Steep float64 `yaml:"steep"`
}

// Read decodes a spec strictly and validates it; empty text is an empty spec.
func Read(text []byte) (*Spec, error) {
	s := &Spec{}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("the spec does not hold: %w", err)
	}
	return s, nil
}

// Validate reports every fault with its key, as far as it can be seen without the file and the pipeline.
func (s *Spec) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if s.Picture != nil && (s.Task == "" || pictured(s.Task)) {
		return s.pictureFaults()
	}
	if s.Picture != nil {
		fault("picture", "a model of %s is of windows", s.Task)
	}
	switch s.Task {
	case model.Classification, model.Detection:
		fault("picture", "say what the model takes of a frame, and its labels")
	case "", model.Score, model.Anomaly:
		if s.Horizon != 0 {
			fault("horizon", "only a model of %s has one", model.RemainingLife)
		}
	case model.RemainingLife:
		if s.Horizon < 1 {
			fault("horizon", "say within how many grid steps the risk means a failure")
		}
	default:
		fault("task", "%q is not one of %s, %s, %s, %s, %s", s.Task, model.Score, model.RemainingLife, model.Anomaly, model.Classification, model.Detection)
	}
	for i := range s.Inputs {
		in, key := &s.Inputs[i], fmt.Sprintf("inputs[%d]", i)
		if in.Tensor == "" && len(s.Inputs) > 1 {
			fault(key+".tensor", "is empty: name the input")
		}
		if in.Layout != "" && in.Layout != TimeChannels && in.Layout != ChannelsTime {
			fault(key+".layout", "%q is neither %s nor %s", in.Layout, TimeChannels, ChannelsTime)
		}
		if in.Length < 0 {
			fault(key+".length", "%d is negative", in.Length)
		}
		if len(in.Mean) != len(in.Std) || len(in.Mean) > 0 && len(in.Signals) > 0 && len(in.Mean) != len(in.Signals) {
			fault(key+".mean", "%d means and %d deviations for %d signals: give one of each a signal, or none", len(in.Mean), len(in.Std), len(in.Signals))
		}
		for j, sd := range in.Std {
			if !(sd > 0) {
				fault(key+".std", "number %d is %v, not above 0", j, sd)
			}
		}
	}
	for key, o := range map[string]*Output{"value": s.Value, "risk": s.Risk} {
		if o == nil {
			continue
		}
		if o.Column < 0 {
			fault(key+".column", "%d is negative: columns count from 0", o.Column)
		}
		switch o.Map {
		case Plain, Sigmoid, Softmax:
			if o.Half != 0 || o.Steep != 0 {
				fault(key+".map", "half and steep are for %s", Logistic)
			}
		case Logistic:
			if o.Steep == 0 {
				fault(key+".steep", "is 0: %s needs a slope", Logistic)
			}
		default:
			fault(key+".map", "%q is not one of %s, %s, %s", o.Map, Sigmoid, Softmax, Logistic)
		}
	}
	return errors.Join(errs...)
}
