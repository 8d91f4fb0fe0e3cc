package adopt

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

// seer is a stranger's file: one input, and outputs that build makes of it.
func seer(in onnx.Type, dims []onnx.Dim, build func(g *onnx.Graph)) []byte {
	g := onnx.NewGraph("stranger")
	g.Input("x", in, dims...)
	build(g)
	return g.Model()
}

func batched(sizes ...int) []onnx.Dim {
	return append([]onnx.Dim{{Name: "n"}}, onnx.Fixed(sizes...)...)
}

// float brings the input to numbers that can be reckoned with.
func float(g *onnx.Graph) string {
	return g.Op("Cast", []string{"x"}, onnx.Int("to", int64(onnx.Float)))
}

// see runs an adopted model on pictures and returns its outputs.
func see(t *testing.T, m *model.Model, pictures []float32) []ort.Array {
	t.Helper()
	orttest.Open(t)
	s, err := ort.NewSession(m.ONNX, ort.Options{Inputs: []string{model.Frame}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := m.Picture
	x, err := ort.Wrap(pictures, int64(len(pictures)/(3*p.Width*p.Height)), 3, int64(p.Height), int64(p.Width))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	out, err := s.Compute([]ort.Value{x})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func adoptPicture(t *testing.T, file []byte, text string) *model.Model {
	t.Helper()
	m, err := AdoptPicture(file, spec(t, text), "dock", model.Lineage{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := AdoptPicture(file, spec(t, text), "dock", model.Lineage{})
	if err != nil || again.Version != m.Version {
		t.Errorf("the same file and spec gave %s and %v, %v", m.Version, again, err)
	}
	return m
}

// What a file takes of a picture is made of the frame inside the graph: here a file gives back what it was fed, as 12 classes.
func TestFeeds(t *testing.T) {
	// Two pixels wide, two high; red, green, blue planes.
	frame := []float32{1, 0, 0, 0, 0, 1, 0, 0, 0.2, 0.4, 0.6, 0.8}
	labels := func(n int) string {
		var l []string
		for i := range n {
			l = append(l, fmt.Sprint("c", i))
		}
		return strings.Join(l, ", ")
	}
	back := func(n int64) func(g *onnx.Graph) {
		return func(g *onnx.Graph) {
			g.Node("Reshape", []string{float(g), g.Ints("to", -1, n)}, []string{"y"})
			g.Output("y", onnx.Float, onnx.Dim{Name: "n"}, onnx.Dim{Size: n})
		}
	}
	for name, c := range map[string]struct {
		file []byte
		spec string
		want []float32
	}{
		"as it is":  {seer(onnx.Float, batched(3, 2, 2), back(12)), "", frame},
		"open size": {seer(onnx.Float, []onnx.Dim{{Name: "n"}, {Name: "c"}, {Name: "h"}, {Name: "w"}}, back(12)), "width: 2, height: 2", frame},
		"bytes last blue": {seer(onnx.Uint8, batched(2, 2, 3), back(12)), "range: 255, colors: bgr",
			[]float32{51, 0, 255, 102, 255, 0, 153, 0, 0, 204, 0, 0}},
		"doubles": {seer(onnx.Double, batched(3, 2, 2), back(12)), "range: 2", []float32{2, 0, 0, 0, 0, 2, 0, 0, 0.4, 0.8, 1.2, 1.6}},
		"grey":    {seer(onnx.Float, batched(1, 2, 2), back(4)), "mean: [0.5]", []float32{0.3218, 0.6326, 0.0684, 0.0912}},
		"no batch": {seer(onnx.Float, onnx.Fixed(3, 2, 2), func(g *onnx.Graph) {
			g.Node("Reshape", []string{"x", g.Ints("to", 12)}, []string{"y"})
			g.Output("y", onnx.Float, onnx.Dim{Size: 12})
		}), "", frame},
	} {
		n := len(c.want)
		text := fmt.Sprintf("task: classification\npicture: {form: logits, labels: [%s]%s}", labels(n), map[bool]string{true: ", " + c.spec}[c.spec != ""])
		m := adoptPicture(t, c.file, text)
		if p := m.Picture; p.Width != 2 || p.Height != 2 || len(p.Labels) != n || p.Std != [3]float32{1, 1, 1} || p.Threshold != 0.5 || m.Task != model.Classification {
			t.Errorf("%s: %+v", name, m.Meta)
		}
		out := see(t, m, frame)
		if len(out) != 1 || !slices.Equal(out[0].Shape, []int64{1, int64(n)}) || !slices.EqualFunc(out[0].Data, c.want, func(a, b float32) bool { return a-b < 1e-5 && b-a < 1e-5 }) {
			t.Errorf("%s: %v, want %v", name, out, c.want)
		}
	}
}

// What a file gives is brought to the form.
func TestGives(t *testing.T) {
	two := append(make([]float32, 12), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	// Eight numbers that differ, for a form to be read of: the picture's sum times 1 to 8.
	numbers := func(g *onnx.Graph, to ...int64) string {
		sum := g.Op("ReduceMean", []string{"x"}, onnx.Ints("axes", 1, 2, 3), onnx.Int("keepdims", 1)) // [n,1,1,1]
		flat := g.Op("Mul", []string{g.Op("Reshape", []string{sum, g.Ints("one", -1, 1)}), g.Floats("row", []int{1, 12}, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})})
		return g.Op("Reshape", []string{flat, g.Ints("to", to...)})
	}
	whole := func(g *onnx.Graph, x, name string, dims ...onnx.Dim) {
		g.Node("Identity", []string{x}, []string{name})
		g.Output(name, onnx.Float, dims...)
	}
	n := onnx.Dim{Name: "n"}
	v8 := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	turned := []float32{1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12}
	for name, c := range map[string]struct {
		file  []byte
		spec  string
		shape []int64
		want  []float32
	}{
		"yolov8": {seer(onnx.Float, batched(3, 2, 2), func(g *onnx.Graph) { whole(g, numbers(g, -1, 6, 2), "y", n, onnx.Dim{Size: 6}, onnx.Dim{Size: 2}) }), "form: yolov8", []int64{2, 6, 2}, v8},
		"yolov8 of unknown shape beside masks": {seer(onnx.Float, batched(3, 2, 2), func(g *onnx.Graph) {
			whole(g, numbers(g, -1, 6, 2), "y", n, onnx.Dim{Name: "a"}, onnx.Dim{Name: "b"})
			whole(g, "x", "protos", batched(3, 2, 2)...)
		}), "form: yolov8, outputs: [y]", []int64{2, 6, 2}, v8},
		"yolov8 turned": {seer(onnx.Float, batched(3, 2, 2), func(g *onnx.Graph) { whole(g, numbers(g, -1, 2, 6), "y", n, onnx.Dim{Size: 2}, onnx.Dim{Size: 6}) }), "form: yolov8", []int64{2, 6, 2}, turned},
		"yolov5":        {seer(onnx.Float, batched(3, 2, 2), func(g *onnx.Graph) { whole(g, numbers(g, -1, 2, 6), "y", n, onnx.Dim{Size: 2}, onnx.Dim{Size: 6}) }), "form: yolov5, labels: [one]", []int64{2, 2, 6}, v8},
		"end to end": {seer(onnx.Float, batched(3, 2, 2), func(g *onnx.Graph) {
			whole(g, numbers(g, -1, 2, 6), "y", n, onnx.Dim{Name: "found"}, onnx.Dim{Size: 6})
		}), "form: end-to-end", []int64{2, 2, 6}, v8},
	} {
		text := "task: detection\npicture: {labels: [hat, vest], " + c.spec + "}"
		if strings.Contains(c.spec, "labels") {
			text = "task: detection\npicture: {" + c.spec + "}"
		}
		m := adoptPicture(t, c.file, text)
		out := see(t, m, two)
		if len(out) != 1 || !slices.Equal(out[0].Shape, c.shape) || !slices.Equal(out[0].Data, append(make([]float32, 12), c.want...)) {
			t.Errorf("%s: %v, want %v %v", name, out, c.shape, c.want)
		}
		if p := m.Picture; p.Threshold != 0.25 || p.Form != model.FormEndToEnd && p.Overlap != 0.45 || p.Form == model.FormEndToEnd && p.Overlap != 1 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	// A detector as torchvision exports it: no batch, pixels, classes from 1; and one as TensorFlow's.
	torch := seer(onnx.Float, onnx.Fixed(3, 2, 2), func(g *onnx.Graph) {
		x := g.Op("ReduceMean", []string{"x"}, onnx.Int("keepdims", 1)) // [1,1,1]
		row := g.Op("Reshape", []string{x, g.Ints("r", 1, 1)})
		whole(g, g.Op("Mul", []string{row, g.Floats("c", []int{2, 4}, []float32{0, 1, 2, 2, 1, 1, 2, 2})}), "boxes", onnx.Dim{Name: "k"}, onnx.Dim{Size: 4})
		g.Node("Cast", []string{g.Op("Mul", []string{g.Op("Reshape", []string{x, g.Ints("r1", 1)}), g.Floats("l", []int{2}, []float32{2, 1})})}, []string{"labels"}, onnx.Int("to", int64(onnx.Int64)))
		g.Output("labels", onnx.Int64, onnx.Dim{Name: "k"})
		whole(g, g.Op("Mul", []string{g.Op("Reshape", []string{x, g.Ints("r2", 1)}), g.Floats("s", []int{2}, []float32{0.9, 0.5})}), "scores", onnx.Dim{Name: "k"})
	})
	tensorflow := seer(onnx.Uint8, []onnx.Dim{{Size: 1}, {Name: "h"}, {Name: "w"}, {Size: 3}}, func(g *onnx.Graph) {
		x := g.Op("Mul", []string{g.Op("ReduceMean", []string{float(g)}, onnx.Int("keepdims", 1)), g.Floats("k", nil, []float32{1. / 255})})
		row := g.Op("Reshape", []string{x, g.Ints("r", 1, 1, 1)})
		whole(g, g.Op("Mul", []string{row, g.Floats("c", []int{1, 2, 4}, []float32{0.5, 0, 1, 1, 0.5, 0.5, 1, 1})}), "detection_boxes", onnx.Dim{Size: 1}, onnx.Dim{Size: 2}, onnx.Dim{Size: 4})
		flat := g.Op("Reshape", []string{x, g.Ints("r1", 1, 1)})
		whole(g, g.Op("Mul", []string{flat, g.Floats("l", []int{1, 2}, []float32{2, 1})}), "detection_classes", onnx.Dim{Size: 1}, onnx.Dim{Size: 2})
		whole(g, g.Op("Mul", []string{flat, g.Floats("s", []int{1, 2}, []float32{0.9, 0.5})}), "detection_scores", onnx.Dim{Size: 1}, onnx.Dim{Size: 2})
		whole(g, g.Op("Reshape", []string{x, g.Ints("r2", 1)}), "num_detections", onnx.Dim{Size: 1})
	})
	one := two[12:]
	for name, m := range map[string]*model.Model{
		"torchvision": adoptPicture(t, torch, "picture: {form: ssd, labels: [hat, vest], unit: pixels, first: 1, threshold: 0.6}"),
		"tensorflow":  adoptPicture(t, tensorflow, "picture: {width: 2, height: 2, form: ssd, labels: [hat, vest], range: 255, first: 1, threshold: 0.6}"),
	} {
		out := see(t, m, one)
		if len(out) != 3 || !slices.Equal(out[0].Shape, []int64{1, 2, 4}) || !slices.Equal(out[0].Data, []float32{0, 0.5, 1, 1, 0.5, 0.5, 1, 1}) || !slices.Equal(out[1].Shape, []int64{1, 2}) ||
			!slices.Equal(out[1].Data, []float32{0.9, 0.5}) || !slices.Equal(out[2].Data, []float32{1, 0}) || m.Picture.Overlap != 1 || m.Picture.Threshold != 0.6 || m.Task != model.Detection {
			t.Errorf("%s: %v, %+v", name, out, m.Picture)
		}
	}
}

func TestLabelsOfTheFile(t *testing.T) {
	for text, want := range map[string]string{
		`{0: 'person', 1: 'driver\'s cab', 2: "it's"}`: "person|driver's cab|it's",
		`{1: 'a', 2: 'b'}`: "",
		"":                 "",
	} {
		if got := strings.Join(namedLabels(text), "|"); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	file := onnx.AppendMetadata(seer(onnx.Float, batched(3, 2, 2), func(g *onnx.Graph) {
		g.Node("Reshape", []string{"x", g.Ints("to", -1, 6, 2)}, []string{"y"})
		g.Output("y", onnx.Float, batched(6, 2)...)
	}), "names", "{0: 'hat', 1: 'vest'}")
	m := adoptPicture(t, file, "task: detection\npicture: {overlap: 0.7}")
	if !slices.Equal(m.Picture.Labels, []string{"hat", "vest"}) || m.Picture.Form != model.FormYOLOv8 || m.Picture.Overlap != 0.7 {
		t.Errorf("%+v", m.Picture)
	}
}

func TestPictureRefusals(t *testing.T) {
	out := func(dims ...onnx.Dim) func(g *onnx.Graph) {
		return func(g *onnx.Graph) {
			g.Node("Identity", []string{"x"}, []string{"y"})
			g.Output("y", onnx.Float, dims...)
		}
	}
	plain := seer(onnx.Float, batched(3, 4, 4), out(batched(6, 8)...))
	for want, c := range map[string]struct {
		file []byte
		spec string
	}{
		"picture: the pipeline's records are frames":                                             {plain, "name: x"},
		"picture.labels: name the classes":                                                       {plain, "picture: {form: yolov8}"},
		"picture.width: 5, and the file declares x float[-1 3 4 4]":                              {plain, "picture: {width: 5, labels: [a, b]}"},
		"yolov8 needs boxes of 7 numbers each; the file has the outputs y float[-1 6 8] (3 labe": {plain, "picture: {labels: [a, b, c]}"},
		"probabilities needs one number for each of 2 labels":                                    {plain, "task: classification\npicture: {labels: [a, b]}"},
		"picture.outputs: the file has no output \"z\"; it has y":                                {plain, "picture: {labels: [a, b], outputs: [z]}"},
		"picture.outputs: y float[-1 6 8] is not boxes of 7":                                     {plain, "picture: {labels: [a, b, c], outputs: [y]}"},
		"the file has no output \"boxes\"; it has y":                                             {plain, "picture: {labels: [a, b], form: ssd}"},
		"takes batches of 4 only":                                                                {seer(onnx.Float, onnx.Fixed(4, 3, 4, 4), out(batched(6, 8)...)), "picture: {labels: [a, b]}"},
		"x float[-1 16] is no picture":                                                           {seer(onnx.Float, batched(16), out(batched(6, 8)...)), "picture: {labels: [a, b]}"},
		"could be either: say channels-first or channels-last":                                   {seer(onnx.Float, batched(3, 4, 3), out(batched(6, 8)...)), "picture: {labels: [a, b]}"},
		"has 8 channels: pictures have three":                                                    {seer(onnx.Float, batched(8, 4, 4), out(batched(6, 8)...)), "picture: {labels: [a, b]}"},
		"picture.height: the file declares x float[-1 3 -1 -1], which leaves it open":            {seer(onnx.Float, []onnx.Dim{{Name: "n"}, {Size: 3}, {Name: "h"}, {Name: "w"}}, out(batched(6, 8)...)), "picture: {labels: [a, b]}"},
		"range: x uint8[-1 3 4 4] takes whole numbers":                                           {seer(onnx.Uint8, batched(3, 4, 4), out(batched(6, 8)...)), "picture: {labels: [a, b]}"},
		"mean and std: the model takes grey pictures":                                            {seer(onnx.Float, batched(1, 4, 4), out(batched(6, 8)...)), "picture: {labels: [a, b], mean: [0.1, 0.2, 0.3]}"},
	} {
		m, err := AdoptPicture(c.file, spec(t, c.spec), "dock", model.Lineage{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s\n got %v %v", want, m, err)
		}
	}
	for want, text := range map[string]string{
		"picture: say what the model takes of a frame":              "task: detection",
		"picture: a model of anomaly is of windows":                 "task: anomaly\npicture: {labels: [a]}",
		"picture.form: \"yolov8\" is not one of probabilities":      "task: classification\npicture: {form: yolov8}",
		"picture.form: \"logits\" is not one of yolov8":             "task: detection\npicture: {form: logits}",
		"picture.mean: 2 numbers: write one a channel":              "picture: {mean: [1, 2]}",
		"picture.std: 0 is not above 0":                             "picture: {std: [0]}",
		"picture.layout: \"nchw\" is not one of channels-first":     "picture: {layout: nchw}",
		"picture.corners: corners, unit and first are for the form": "picture: {corners: yxyx}",
		"picture.outputs: 1 names: write the outputs of the boxes":  "picture: {form: ssd, outputs: [a]}",
		"picture.normal: only a classification":                     "task: detection\npicture: {normal: ok}",
		"inputs, value, risk and horizon are of models of windows":  "picture: {}\nvalue: {column: 1}",
		"field nonsense not found":                                  "picture: {nonsense: 1}",
	} {
		if _, err := Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
