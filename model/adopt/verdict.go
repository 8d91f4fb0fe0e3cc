package adopt

import (
	"errors"
	"fmt"
	"strings"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
)

// verdict adds the nodes from the file's outputs to value and risk, [batch, 1] each, and returns their tensors.
func (a *adopter) verdict() (value, risk string, err error) {
	v, r := a.spec.Value, a.spec.Risk
	if v == nil && r == nil {
		if v, r, err = a.guess(); err != nil {
			return "", "", err
		}
	}
	if v != nil {
		if value, err = a.number("value", v); err != nil {
			return "", "", err
		}
	}
	if r != nil {
		if risk, err = a.number("risk", r); err != nil {
			return "", "", err
		}
	}
	switch {
	case v == nil:
		return risk, risk, nil
	case r != nil:
		return value, risk, nil
	case a.spec.Task == model.RemainingLife:
		// Even odds at the horizon, falling to one in fifty at twice that.
		return value, a.logistic(value, float64(a.spec.Horizon), -4/float64(a.spec.Horizon)), nil
	}
	return value, value, nil // the first run shows whether it lies between 0 and 1
}

// guess takes the outputs named as ours are, or the only one.
func (a *adopter) guess() (v, r *Output, err error) {
	for _, p := range a.outputs {
		switch p.Name {
		case model.Value:
			v = &Output{Tensor: p.Name}
		case model.Risk:
			r = &Output{Tensor: p.Name}
		}
	}
	if v == nil && r == nil {
		if len(a.outputs) != 1 {
			return nil, nil, fmt.Errorf("value, risk: the file has the outputs %s: say in the spec which is which", strings.Join(portNames(a.outputs), ", "))
		}
		v = &Output{Tensor: a.outputs[0].Name}
	}
	return v, r, nil
}

// number adds the nodes that bring one number a window out of an output.
func (a *adopter) number(key string, o *Output) (string, error) {
	p, err := a.output(o.Tensor)
	if err != nil {
		return "", fmt.Errorf("%s.tensor: %w", key, err)
	}
	switch {
	case p.Type == 0:
		return "", fmt.Errorf("%s: the output %v: scikit-learn models are to be exported with options={'zipmap': False}", key, p)
	case p.Type == onnx.Bool || numeric(p.Type):
	default:
		return "", fmt.Errorf("%s: the output %v does not hold numbers: take another, or export class numbers instead of names", key, p)
	}
	if p.Shape != nil && len(p.Shape) == 0 {
		return "", fmt.Errorf("%s: the output %v is one number for the whole batch", key, p)
	}
	if n, ok := elements(p.Shape); ok && int64(o.Column) >= n {
		return "", fmt.Errorf("%s.column: %d is beyond the last of the output %v, which is %d", key, o.Column, p, n-1)
	}
	g, x := a.g, prefix+p.Name
	if p.Type != onnx.Float {
		x = g.Op("Cast", []string{x}, onnx.Int("to", int64(onnx.Float)))
	}
	// [batch], [batch, n] and deeper ones become [batch, n]: 0 keeps the batch's size.
	x = g.Op("Reshape", []string{x, g.Ints(g.Name(), 0, -1)})
	if o.Map == Softmax {
		x = g.Op("Softmax", []string{x}, onnx.Int("axis", 1))
	}
	x = g.Op("Gather", []string{x, g.Ints(g.Name(), int64(o.Column))}, onnx.Int("axis", 1))
	if o.Scale != 0 && o.Scale != 1 {
		x = g.Op("Mul", []string{x, g.Floats(g.Name(), nil, []float32{float32(o.Scale)})})
	}
	if o.Offset != 0 {
		x = g.Op("Add", []string{x, g.Floats(g.Name(), nil, []float32{float32(o.Offset)})})
	}
	switch o.Map {
	case Sigmoid:
		x = g.Op("Sigmoid", []string{x})
	case Logistic:
		x = a.logistic(x, o.Half, o.Steep)
	}
	return x, nil
}

func (a *adopter) logistic(x string, half, steep float64) string {
	g := a.g
	x = g.Op("Sub", []string{x, g.Floats(g.Name(), nil, []float32{float32(half)})})
	x = g.Op("Mul", []string{x, g.Floats(g.Name(), nil, []float32{float32(steep)})})
	return g.Op("Sigmoid", []string{x})
}

func (a *adopter) output(name string) (p ort.Port, err error) {
	if name == "" {
		if len(a.outputs) == 1 {
			return a.outputs[0], nil
		}
		return p, errors.New("is empty: the file has the outputs " + strings.Join(portNames(a.outputs), ", "))
	}
	for _, p := range a.outputs {
		if p.Name == name {
			return p, nil
		}
	}
	return p, fmt.Errorf("the file has no output %q; it has %s", name, strings.Join(portNames(a.outputs), ", "))
}
