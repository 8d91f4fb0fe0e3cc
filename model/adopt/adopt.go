package adopt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
)

// prefix is before the names of the stranger's tensors.
const prefix = "in/"

// Adopt rewrites a file, as the spec says, into a model of a pipeline whose windows follow recipe. Nothing of the file is run. The same file, spec and recipe
// give the same model. An error names the tensor or the key of the spec, and what to do.
func Adopt(file []byte, s *Spec, pipeline string, recipe model.Recipe, lineage model.Lineage) (*model.Model, error) {
	inputs, outputs, err := ort.Signature(file)
	if err != nil {
		return nil, err
	}
	facts, err := onnx.Inspect(file)
	if err != nil {
		return nil, err
	}
	a := &adopter{spec: s, recipe: &recipe, inputs: inputs, outputs: outputs, g: onnx.NewGraph("andon")}
	if err := a.build(file); err != nil {
		return nil, err
	}
	recipe.Scale = nil
	sum := sha256.Sum256(file)
	lineage.Source = hex.EncodeToString(sum[:])
	if lineage.Code == "" {
		lineage.Code = facts.Producer
	}
	meta := model.Meta{Pipeline: pipeline, Task: s.Task, Recipe: recipe, Unit: s.Unit, Horizon: s.Horizon, Network: s.Name, Metrics: s.Metrics, Lineage: lineage}
	if meta.Task == "" {
		meta.Task = model.Score
	}
	if meta.Network == "" {
		meta.Network = facts.Producer
	}
	return model.Seal(a.g.Model(), meta)
}

type adopter struct {
	spec            *Spec
	recipe          *model.Recipe
	inputs, outputs []ort.Port
	g               *onnx.Graph
}

func (a *adopter) build(file []byte) error {
	batch := onnx.Dim{Name: "batch"}
	a.g.Input(model.Input, onnx.Float, append([]onnx.Dim{batch}, onnx.Fixed(a.recipe.Length, a.recipe.Width())...)...)
	feeds := map[string]string{}
	specs, err := a.match()
	if err != nil {
		return err
	}
	var errs []error
	for i, in := range specs {
		feed, err := a.feed(in, a.inputs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("input %s: %w", a.inputs[i].Name, err))
		}
		feeds[a.inputs[i].Name] = feed
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := a.g.Embed(file, prefix, feeds); err != nil {
		return err
	}
	value, risk, err := a.verdict()
	if err != nil {
		return err
	}
	a.g.Node("Identity", []string{value}, []string{model.Value})
	a.g.Node("Identity", []string{risk}, []string{model.Risk})
	a.g.Output(model.Value, onnx.Float, batch, onnx.Dim{Size: 1})
	a.g.Output(model.Risk, onnx.Float, batch, onnx.Dim{Size: 1})
	return nil
}

// match returns what the spec says of each of the file's inputs, in the file's order.
func (a *adopter) match() ([]Input, error) {
	names := portNames(a.inputs)
	given := a.spec.Inputs
	if len(given) == 0 && len(a.inputs) == 1 {
		given = []Input{{}}
	}
	if len(given) == 1 && given[0].Tensor == "" && len(a.inputs) > 1 && !slices.ContainsFunc(given[0].Signals, func(s string) bool { return !slices.Contains(names, s) }) {
		// A table whose columns are inputs of their own.
		var each []Input
		for _, s := range given[0].Signals {
			each = append(each, Input{Tensor: s, Length: given[0].Length, Signals: []string{s}})
		}
		given = each
	}
	out := make([]Input, len(a.inputs))
	seen := map[string]bool{}
	for i, in := range given {
		if in.Tensor == "" && len(a.inputs) == 1 {
			in.Tensor = a.inputs[0].Name
		}
		at := slices.Index(names, in.Tensor)
		switch {
		case at < 0:
			return nil, fmt.Errorf("inputs[%d].tensor: the file has no input %q; it has %s", i, in.Tensor, strings.Join(names, ", "))
		case seen[in.Tensor]:
			return nil, fmt.Errorf("inputs[%d].tensor: %q is named twice", i, in.Tensor)
		}
		seen[in.Tensor] = true
		out[at] = in
	}
	for _, n := range names {
		if !seen[n] {
			return nil, fmt.Errorf("inputs: the spec says nothing of the file's input %q: name its tensor and its signals", n)
		}
	}
	return out, nil
}

// feed adds the nodes from the window to one input and returns the tensor that it is fed.
func (a *adopter) feed(in Input, p ort.Port) (string, error) {
	channels := a.recipe.Channels()
	if p.Type == 0 {
		return "", errors.New("is not a tensor")
	}
	if !numeric(p.Type) {
		return "", fmt.Errorf("%v does not take numbers", p)
	}
	// What was exported for one window often runs with more, once nothing declares otherwise; the first run tells whether it does.
	if len(p.Shape) > 0 && p.Shape[0] != 1 && p.Shape[0] >= 0 {
		return "", fmt.Errorf("%v takes batches of %d only: export it with a free first dimension (PyTorch: dynamic_shapes or dynamic_axes, scikit-learn: [None, n])", p, p.Shape[0])
	}
	if p.Shape != nil && len(p.Shape) == 0 {
		return "", fmt.Errorf("%v is a scalar: it cannot take a window", p)
	}
	// Which columns, and how many steps.
	columns := make([]int64, 0, len(channels))
	for _, s := range in.Signals {
		at := slices.Index(channels, s)
		if at < 0 {
			return "", fmt.Errorf("signals: the pipeline's windows have no channel %q; they have %s", s, strings.Join(channels, ", "))
		}
		columns = append(columns, int64(at))
	}
	width := len(columns)
	if width == 0 {
		width = len(channels)
	}
	layout, length, err := a.shape(in, p, width)
	if err != nil {
		return "", err
	}
	if length > a.recipe.Length {
		return "", fmt.Errorf("length: %d steps are more than the pipeline's windows of %d: raise window.length", length, a.recipe.Length)
	}
	if len(in.Mean) > 0 && len(in.Mean) != width {
		return "", fmt.Errorf("mean: %d numbers for %d signals", len(in.Mean), width)
	}
	g, x := a.g, model.Input
	if length < a.recipe.Length {
		from := int64(a.recipe.Length - length)
		x = g.Op("Slice", []string{x, g.Ints(g.Name(), from), g.Ints(g.Name(), int64(a.recipe.Length)), g.Ints(g.Name(), 1)})
	}
	if len(columns) > 0 && !identity(columns, len(channels)) {
		x = g.Op("Gather", []string{x, g.Ints(g.Name(), columns...)}, onnx.Int("axis", 2))
	}
	if len(in.Mean) > 0 {
		mean, std := make([]float32, width), make([]float32, width)
		for i := range mean {
			mean[i], std[i] = float32(in.Mean[i]), float32(in.Std[i])
		}
		x = g.Op("Sub", []string{x, g.Floats(g.Name(), []int{width}, mean)})
		x = g.Op("Div", []string{x, g.Floats(g.Name(), []int{width}, std)})
	}
	if layout == ChannelsTime {
		x = g.Op("Transpose", []string{x}, onnx.Ints("perm", 0, 2, 1))
	}
	if to := target(p, length, width, layout); to != nil {
		x = g.Op("Reshape", []string{x, g.Ints(g.Name(), to...)})
	}
	if p.Type != onnx.Float {
		x = g.Op("Cast", []string{x}, onnx.Int("to", int64(p.Type)))
	}
	return x, nil
}

// shape settles an input's layout and length from what the spec says and the file declares.
func (a *adopter) shape(in Input, p ort.Port, width int) (Layout, int, error) {
	layout, length := in.Layout, in.Length
	dims := p.Shape
	if len(dims) == 3 && layout == "" {
		// One axis must be the signals'; where both could be, a person must say.
		byTime := fits(dims[1], in.Length) && fits(dims[2], width) && (in.Length != 0 || dims[1] <= int64(a.recipe.Length))
		byChannel := fits(dims[2], in.Length) && fits(dims[1], width) && (in.Length != 0 || dims[2] <= int64(a.recipe.Length))
		switch {
		case byTime && (!byChannel || width == 1 && dims[2] == 1):
			layout = TimeChannels
		case byChannel && !byTime:
			layout = ChannelsTime
		case byTime && byChannel:
			return "", 0, fmt.Errorf("layout: %v could be either: say %s or %s", p, TimeChannels, ChannelsTime)
		default:
			return "", 0, fmt.Errorf("the file declares %v, which %d signals of a window of %d steps cannot fill: name its signals, and its length if that is shorter", p, width, a.recipe.Length)
		}
	}
	if len(dims) == 3 && dims[1] != 1 && dims[2] != 1 { // an axis of 1 is one that flat numbers were given
		signals := dims[2]
		if layout == ChannelsTime {
			signals = dims[1]
		}
		if !fits(signals, width) {
			return "", 0, fmt.Errorf("the file declares %v; %s of %d signals does not fit it", p, layout, width)
		}
	}
	if layout == "" {
		layout = TimeChannels
	}
	if length == 0 {
		length = a.recipe.Length
		if n, ok := elements(dims); ok { // the shape says how many steps
			if n%int64(width) != 0 {
				return "", 0, fmt.Errorf("the file declares %v, %d numbers a window, which %d signals do not divide: name the signals that the model takes", p, n, width)
			}
			length = int(n) / width
		} else if len(dims) == 3 {
			axis := 1
			if layout == ChannelsTime {
				axis = 2
			}
			if dims[axis] > 0 {
				length = int(dims[axis])
			}
		}
	}
	if n, ok := elements(dims); ok && n != int64(length*width) {
		return "", 0, fmt.Errorf("the file declares %v, %d numbers a window; %d steps of %d signals are %d", p, n, length, width, length*width)
	}
	return layout, length, nil
}

// target returns the shape that the file declares, or nil where the tensor has it already.
func target(p ort.Port, length, width int, layout Layout) []int64 {
	have := []int64{-1, int64(length), int64(width)}
	if layout == ChannelsTime {
		have = []int64{-1, int64(width), int64(length)}
	}
	if _, ok := elements(p.Shape); ok {
		want := append([]int64{-1}, p.Shape[1:]...)
		if slices.Equal(want, have) {
			return nil
		}
		return want
	}
	if len(p.Shape) == 2 {
		return []int64{-1, int64(length * width)}
	}
	return nil
}

// elements returns how many numbers a shape has after its batch, if all of that is fixed.
func elements(dims []int64) (int64, bool) {
	if len(dims) < 1 {
		return 0, false
	}
	n := int64(1)
	for _, d := range dims[1:] {
		if d < 1 || n > 1<<30/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

func fits(dim int64, want int) bool { return dim == -1 || want == 0 || dim == int64(want) }

func identity(columns []int64, n int) bool {
	for i, c := range columns {
		if int64(i) != c {
			return false
		}
	}
	return len(columns) == n
}

// ForOne reports whether a file was exported for one window at a time; Adopt takes it, and it may fail with more.
func ForOne(file []byte) bool {
	inputs, _, err := ort.Signature(file)
	return err == nil && slices.ContainsFunc(inputs, func(p ort.Port) bool { return len(p.Shape) > 1 && p.Shape[0] == 1 })
}

func numeric(t onnx.Type) bool {
	switch t {
	case 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13: // float, the integers, float16, double
		return true
	}
	return false
}

func portNames(ports []ort.Port) []string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return names
}
