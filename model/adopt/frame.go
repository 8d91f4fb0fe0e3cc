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

// AdoptPicture rewrites a file, as the spec says, into a model of pictures: one input frame, [batch, 3, height, width], red, green, blue, and the form's outputs as model.Picture has them, all float32. Nothing
// of the file is run. Errors are as Adopt's.
func AdoptPicture(file []byte, s *Spec, pipeline string, lineage model.Lineage) (*model.Model, error) {
	if s.Picture == nil {
		return nil, fmt.Errorf("picture: the pipeline's records are frames: say what the model takes of them, and what its outputs are")
	}
	inputs, outputs, err := ort.Signature(file)
	if err != nil {
		return nil, err
	}
	facts, err := onnx.Inspect(file)
	if err != nil {
		return nil, err
	}
	metadata, err := onnx.Metadata(file)
	if err != nil {
		return nil, err
	}
	task := s.Task
	if task == "" {
		task = model.Detection
		if f := s.Picture.Form; f == model.FormProbabilities || f == model.FormLogits {
			task = model.Classification
		}
	}
	p, err := s.Picture.settle(task, metadata)
	if err != nil {
		return nil, err
	}
	a := &framer{spec: s.Picture, picture: &p, inputs: inputs, outputs: outputs, g: onnx.NewGraph("andon")}
	if err := a.build(file); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(file)
	lineage.Source = hex.EncodeToString(sum[:])
	if lineage.Code == "" {
		lineage.Code = facts.Producer
	}
	meta := model.Meta{Pipeline: pipeline, Task: task, Picture: &p, Unit: s.Unit, Network: s.Name, Metrics: s.Metrics, Lineage: lineage}
	if meta.Network == "" {
		meta.Network = facts.Producer
	}
	return model.Seal(a.g.Model(), meta)
}

type framer struct {
	spec            *Picture
	picture         *model.Picture
	inputs, outputs []ort.Port
	g               *onnx.Graph
	// single is set for a file that has no batch: it takes one picture, and its outputs are of one.
	single bool
	// one is set where frames must come one at a time.
	one bool
}

func (a *framer) build(file []byte) error {
	if len(a.inputs) != 1 {
		return fmt.Errorf("the file has the inputs %s: a model of pictures has one", strings.Join(portNames(a.inputs), ", "))
	}
	in := a.inputs[0]
	channels, last, err := a.size(in)
	if err != nil {
		return fmt.Errorf("input %s: %w", in.Name, err)
	}
	// What was exported for one picture often runs with more, and the first run tells; where boxes are chosen inside, it cannot be told.
	chosen := a.picture.Form == model.FormEndToEnd || a.picture.Form == model.FormSSD
	a.one = a.single || chosen && len(in.Shape) == 4 && in.Shape[0] == 1
	batch := onnx.Dim{Name: "batch"}
	if a.one {
		batch = onnx.Dim{Size: 1}
	}
	a.g.Input(model.Frame, onnx.Float, append([]onnx.Dim{batch}, onnx.Fixed(3, a.picture.Height, a.picture.Width)...)...)
	feed, err := a.feed(in, channels, last)
	if err != nil {
		return fmt.Errorf("input %s: %w", in.Name, err)
	}
	if err := a.g.Embed(file, prefix, map[string]string{in.Name: feed}); err != nil {
		return err
	}
	switch a.picture.Form {
	case model.FormProbabilities, model.FormLogits:
		err = a.classes(batch)
	case model.FormSSD:
		err = a.ssd(batch)
	default:
		err = a.boxes(batch)
	}
	return err
}

// size settles the input's layout, channels and size.
func (a *framer) size(in ort.Port) (channels int, last bool, err error) {
	if !numeric(in.Type) {
		return 0, false, fmt.Errorf("%v does not take numbers", in)
	}
	dims := in.Shape
	switch {
	case len(dims) == 3:
		a.single = true
	case len(dims) == 4:
		if dims[0] != -1 && dims[0] != 1 {
			return 0, false, fmt.Errorf("%v takes batches of %d only: export it with a free first dimension, or for one", in, dims[0])
		}
		dims = dims[1:]
	case dims != nil:
		return 0, false, fmt.Errorf("%v is no picture: it should be [batch, channels, height, width] or [batch, height, width, channels]", in)
	default:
		dims = []int64{-1, -1, -1}
	}
	colour := func(d int64) bool { return d == 3 || d == 1 }
	layout := a.spec.Layout
	if layout == "" {
		switch {
		case colour(dims[0]) && colour(dims[2]):
			return 0, false, fmt.Errorf("layout: %v could be either: say %s or %s", in, ChannelsFirst, ChannelsLast)
		case colour(dims[2]):
			layout = ChannelsLast
		default:
			layout = ChannelsFirst
		}
	}
	if last = layout == ChannelsLast; last {
		dims = []int64{dims[2], dims[0], dims[1]}
	}
	if channels = int(dims[0]); channels == -1 {
		channels = 3
	}
	if !colour(int64(channels)) {
		return 0, false, fmt.Errorf("%v, %s, has %d channels: pictures have three, or one where they are grey", in, layout, channels)
	}
	p := a.picture
	for _, d := range [...]struct {
		key  string
		to   *int
		says int64
	}{{"height", &p.Height, dims[1]}, {"width", &p.Width, dims[2]}} {
		switch {
		case d.says > 0 && *d.to == 0:
			*d.to = int(d.says)
		case d.says > 0 && int64(*d.to) != d.says:
			return 0, false, fmt.Errorf("picture.%s: %d, and the file declares %v", d.key, *d.to, in)
		case *d.to == 0:
			return 0, false, fmt.Errorf("picture.%s: the file declares %v, which leaves it open: say what the model was trained with", d.key, in)
		}
	}
	return channels, last, nil
}

// feed adds the nodes from the frame to what the input takes.
func (a *framer) feed(in ort.Port, channels int, last bool) (string, error) {
	g, x, p := a.g, model.Frame, a.picture
	if channels == 1 {
		if p.Mean[0] != p.Mean[1] || p.Mean[1] != p.Mean[2] || p.Std[0] != p.Std[1] || p.Std[1] != p.Std[2] {
			return "", errors.New("mean and std: the model takes grey pictures: write one number for all channels")
		}
		if a.spec.Colors != "" {
			return "", errors.New("colors: the model takes grey pictures")
		}
		// Luma as JPEG has it (ITU-R BT.601).
		x = g.Op("Conv", []string{x, g.Floats(g.Name(), []int{1, 3, 1, 1}, []float32{0.299, 0.587, 0.114})}, onnx.Ints("kernel_shape", 1, 1))
	}
	if a.spec.Colors == "bgr" {
		x = g.Op("Gather", []string{x, g.Ints(g.Name(), 2, 1, 0)}, onnx.Int("axis", 1))
	}
	if r := a.spec.Range; r != 0 && r != 1 {
		x = g.Op("Mul", []string{x, g.Floats(g.Name(), nil, []float32{r})})
	}
	if last {
		x = g.Op("Transpose", []string{x}, onnx.Ints("perm", 0, 2, 3, 1))
	}
	if a.single {
		to := []int64{int64(channels), int64(p.Height), int64(p.Width)}
		if last {
			to = []int64{to[1], to[2], to[0]}
		}
		x = g.Op("Reshape", []string{x, g.Ints(g.Name(), to...)})
	}
	if in.Type != onnx.Float {
		if in.Type != onnx.Double && in.Type != onnx.Float16 {
			if a.spec.Range == 0 {
				return "", fmt.Errorf("range: %v takes whole numbers: say what white is, 255 as a rule", in)
			}
			x = g.Op("Round", []string{x})
			if in.Type == onnx.Uint8 {
				x = g.Op("Clip", []string{x, g.Floats(g.Name(), nil, []float32{0}), g.Floats(g.Name(), nil, []float32{255})})
			}
		}
		x = g.Op("Cast", []string{x}, onnx.Int("to", int64(in.Type)))
	}
	return x, nil
}

// pick returns the output that the spec names, or the only one that fits; what says what is looked for.
func (a *framer) pick(at int, what string, fits func(p ort.Port) bool) (ort.Port, error) {
	if at < len(a.spec.Outputs) {
		for _, p := range a.outputs {
			if p.Name != a.spec.Outputs[at] {
				continue
			}
			if !fits(p) {
				return p, fmt.Errorf("picture.outputs: %v is not %s", p, what)
			}
			return p, nil
		}
		return ort.Port{}, fmt.Errorf("picture.outputs: the file has no output %q; it has %s", a.spec.Outputs[at], strings.Join(portNames(a.outputs), ", "))
	}
	var found []ort.Port
	for _, p := range a.outputs {
		if fits(p) {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		var all []string
		for _, p := range a.outputs {
			all = append(all, p.String())
		}
		if len(found) > 1 {
			return ort.Port{}, fmt.Errorf("picture.outputs: %d of the file's outputs %s could be %s: name the one that is meant", len(found), strings.Join(all, ", "), what)
		}
		return ort.Port{}, fmt.Errorf("picture.form: %s needs %s; the file has the outputs %s (%d labels)", a.picture.Form, what, strings.Join(all, ", "), len(a.picture.Labels))
	}
	return found[0], nil
}

// take brings an output to float32 and returns its tensor.
func (a *framer) take(p ort.Port) string {
	if p.Type == onnx.Float {
		return prefix + p.Name
	}
	return a.g.Op("Cast", []string{prefix + p.Name}, onnx.Int("to", int64(onnx.Float)))
}

// give declares an output of ours.
func (a *framer) give(name, x string, dims ...onnx.Dim) {
	a.g.Node("Identity", []string{x}, []string{name})
	a.g.Output(name, onnx.Float, dims...)
}

func (a *framer) classes(batch onnx.Dim) error {
	c := int64(len(a.picture.Labels))
	p, err := a.pick(0, fmt.Sprintf("one number for each of %d labels", c), func(p ort.Port) bool {
		n, ok := elements(p.Shape)
		if a.single && len(p.Shape) == 1 {
			n, ok = p.Shape[0], p.Shape[0] > 0
		}
		return numeric(p.Type) && (p.Shape == nil || len(p.Shape) > 0 && (!ok || n == c))
	})
	if err != nil {
		return err
	}
	lead := int64(0) // the batch as it is
	if a.single {
		lead = 1
	}
	a.give("classes", a.g.Op("Reshape", []string{a.take(p), a.g.Ints(a.g.Name(), lead, c)}), batch, onnx.Dim{Size: c})
	return nil
}

// boxes is of the forms that have one output of rank 3.
func (a *framer) boxes(batch onnx.Dim) error {
	c := int64(len(a.picture.Labels))
	width := map[string]int64{model.FormYOLOv8: 4 + c, model.FormYOLOv5: 5 + c, model.FormEndToEnd: 6}[a.picture.Form]
	// across is the axis of a box's numbers in our form; a file may have the other.
	across := 2
	if a.picture.Form == model.FormYOLOv8 {
		across = 1
	}
	other := 3 - across
	rank := 3
	if a.single {
		rank = 2
	}
	at := func(p ort.Port, axis int) int64 { return p.Shape[axis-3+rank] }
	open := func(d int64) bool { return d == -1 || d == width }
	p, err := a.pick(0, fmt.Sprintf("boxes of %d numbers each", width), func(p ort.Port) bool {
		return numeric(p.Type) && (p.Shape == nil || len(p.Shape) == rank && (open(at(p, 1)) || open(at(p, 2))))
	})
	if err != nil {
		return err
	}
	g, x := a.g, a.take(p)
	places := int64(-1)
	turned := p.Shape != nil && at(p, across) != width && at(p, other) == width
	if p.Shape != nil {
		if places = at(p, other); turned {
			places = at(p, across)
		}
	}
	if a.single {
		to := []int64{1, -1, -1}
		if to[across] = width; turned {
			to[across], to[other] = -1, width
		}
		x = g.Op("Reshape", []string{x, g.Ints(g.Name(), to...)})
	}
	if turned {
		x = g.Op("Transpose", []string{x}, onnx.Ints("perm", 0, 2, 1))
	}
	dims := []onnx.Dim{batch, {}, {}}
	dims[across] = onnx.Dim{Size: width}
	if dims[other] = (onnx.Dim{Size: places}); places < 1 {
		dims[other] = onnx.Dim{Name: "places"}
	}
	a.give("boxes", x, dims...)
	return nil
}

func (a *framer) ssd(batch onnx.Dim) error {
	names := a.spec.Outputs
	if len(names) == 0 {
		names = []string{"boxes", "scores", "labels"}
		if slices.Contains(portNames(a.outputs), "detection_boxes") { // TensorFlow's
			names = []string{"detection_boxes", "detection_scores", "detection_classes"}
		}
	}
	g := a.g
	var xs []string
	places := onnx.Dim{Name: "places"}
	for i, name := range names {
		at := slices.IndexFunc(a.outputs, func(p ort.Port) bool { return p.Name == name })
		if at < 0 {
			return fmt.Errorf("picture.outputs: the file has no output %q; it has %s: name those of the boxes, the scores and the labels", name, strings.Join(portNames(a.outputs), ", "))
		}
		p := a.outputs[at]
		if !numeric(p.Type) {
			return fmt.Errorf("picture.outputs: %v does not hold numbers", p)
		}
		ranks := []int{2, 1} // with a batch, without
		if i == 0 {
			ranks = []int{3, 2}
		}
		x := a.take(p)
		if p.Shape != nil && len(p.Shape) != ranks[0] && len(p.Shape) != ranks[1] {
			return fmt.Errorf("picture.outputs: %v has another shape than %s of one picture or of a batch", p, []string{"boxes", "scores", "labels"}[i])
		}
		if a.one { // as torchvision's detectors, which give what they found of one picture without a batch
			to := []int64{1, -1}
			if i == 0 {
				to = []int64{1, -1, 4}
			}
			x = g.Op("Reshape", []string{x, g.Ints(g.Name(), to...)})
		} else if len(p.Shape) == ranks[1] {
			return fmt.Errorf("picture.outputs: %v is of one picture, and the input takes several: export it for one", p)
		}
		xs = append(xs, x)
	}
	if a.spec.Corners == "yxyx" || a.spec.Corners == "" && names[0] == "detection_boxes" {
		xs[0] = g.Op("Gather", []string{xs[0], g.Ints(g.Name(), 1, 0, 3, 2)}, onnx.Int("axis", 2))
	}
	if a.spec.Unit == "pixels" {
		w, h := float32(a.picture.Width), float32(a.picture.Height)
		xs[0] = g.Op("Div", []string{xs[0], g.Floats(g.Name(), []int{4}, []float32{w, h, w, h})})
	}
	if a.spec.First != 0 {
		xs[2] = g.Op("Sub", []string{xs[2], g.Floats(g.Name(), nil, []float32{float32(a.spec.First)})})
	}
	a.give("boxes", xs[0], batch, places, onnx.Dim{Size: 4})
	a.give("scores", xs[1], batch, places)
	a.give("labels", xs[2], batch, places)
	return nil
}
