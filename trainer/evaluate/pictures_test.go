package evaluate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/trainer/graph"
)

// bright makes a classifier that says "bright" where the mean of a picture is above a level.
func bright(t *testing.T, level float32) *model.Model {
	t.Helper()
	g := graph.New()
	x := g.Input(model.Frame, graph.Batch, 3, 4, 6)
	mean := g.ReduceMean(g.GlobalAverage(x), []int{1}, true)
	logits := g.Concat(1, g.Sub(g.Scalar(level), mean), g.Sub(mean, g.Scalar(level)))
	m, err := model.Seal(g.Model("bright", graph.Output{Name: "logits", Value: logits}), model.Meta{Pipeline: "gate", Task: model.Classification, Network: "bright",
		Picture: &model.Picture{Width: 6, Height: 4, Labels: []string{"dark", "bright"}, Form: model.FormLogits}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func frames(n int) Data {
	d := Data{Pipeline: "gate", Task: model.Classification}
	for i := range n {
		level := float32(i%10) / 10
		p := Picture{Camera: []string{"north", "south"}[i%2], Captured: int64(i) * 60e9, Class: "dark", Golden: i == 3, Load: func(height, width int) ([]float32, error) {
			return slices.Repeat([]float32{level}, 3*height*width), nil
		}}
		if level > 0.45 {
			p.Class = "bright"
		}
		d.Pictures = append(d.Pictures, p)
	}
	return d
}

func TestPictures(t *testing.T) {
	right, high := bright(t, 0.45), bright(t, 0.65)
	table := mustRun(t, quick(), frames(40), right, high)
	near(t, "the right one's error", table.Cell(All, right.Version).Value, 0)
	near(t, "the other's error", table.Cell(All, high.Version).Value, 0.2) // of 0.5 and 0.6
	near(t, "of bright ones", table.Cell("class bright", high.Version).Value, 0.4)
	near(t, "of dark ones", table.Cell("class dark", high.Version).Value, 0)
	if table.Metric != "error" || table.Scenarios[0].Windows != 40 || table.Scenarios[0].Assets != 2 || table.Cell("golden", right.Version).Value != 0 {
		t.Errorf("table %+v", table.Scenarios)
	}
	if v := float64(table.Cell("dark", right.Version).Value); v < 0.15 { // 0.3 of the light is 0.58 of the pixels: 0.5, 0.6 and 0.7 look dark
		t.Errorf("in the dark the error is %v", v)
	}
	if all, _ := table.Slices(high.Version, right.Version); len(all.Blocks) != 40 {
		t.Errorf("%d blocks", len(all.Blocks))
	}
	text := fmt.Sprint(table.Text())
	for _, want := range []string{"class bright", "dark (0.3 of the light)", right.Version, "CPU-seconds a million", "frames cameras"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text has no %q: %s", want, text)
		}
	}
	c := quick()
	c.Frames = 10
	if n := mustRun(t, c, frames(40), right).Scenarios[0].Windows; n != 10 {
		t.Errorf("%d frames of at most 10", n)
	}
}

func TestPicturesRefused(t *testing.T) {
	d := frames(2)
	d.Pictures[1].Load = func(int, int) ([]float32, error) { return nil, errors.New("gone") }
	if _, err := Run(t.Context(), quick(), []*model.Model{bright(t, 0.5)}, d); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
	if _, err := Run(t.Context(), quick(), []*model.Model{bright(t, 0.5), says(t, 1, 0)}, d); err == nil || !strings.Contains(err.Error(), "do not take the same") {
		t.Errorf("got %v", err)
	}
}

// What was marked as missed and learned from counts among the golden ones alone.
func TestLearned(t *testing.T) {
	right := bright(t, 0.45)
	d := frames(40)
	for _, i := range []int{5, 6, 7} { // bright ones
		d.Pictures[i].Golden, d.Pictures[i].Learned, d.Pictures[i].Class = true, true, "dark" // which the model does not say
	}
	table := mustRun(t, quick(), d, right)
	shown := map[string]Shown{}
	for _, s := range table.Scenarios {
		shown[s.Name] = s
	}
	if table.Scenarios[0].Windows != 37 || shown["recent"].Windows != 37 || shown["class bright"].Windows != 17 || shown["class dark"].Windows != 20 || shown["golden"].Windows != 4 || shown["noisy"].Windows != 37 ||
		shown["golden"].Detail != "3 of them learned from since they were missed" {
		t.Errorf("%+v", table.Scenarios)
	}
	near(t, "the error of all", table.Cell(All, right.Version).Value, 0)
	near(t, "the error of golden ones", table.Cell("golden", right.Version).Value, 0.75)
	for i := range d.Pictures {
		d.Pictures[i].Learned = true
	}
	if _, err := Run(t.Context(), quick(), []*model.Model{right}, d); err == nil || !strings.Contains(err.Error(), "marked as missed") {
		t.Errorf("only what was learned from: %v", err)
	}
}

// finder makes a detector that gives one row a white pixel of the first plane, so that how many is known only when it has run.
func finder(t *testing.T) *model.Model {
	t.Helper()
	g := onnx.NewGraph("finder")
	g.Input(model.Frame, onnx.Float, append([]onnx.Dim{{Name: "batch"}}, onnx.Fixed(3, 4, 6)...)...)
	white := g.Op("Greater", []string{model.Frame, g.Floats("white", []int{1}, []float32{0.9})})
	places := g.Op("Cast", []string{g.Op("Transpose", []string{g.Op("NonZero", []string{white})}, onnx.Ints("perm", 1, 0))}, onnx.Int("to", int64(onnx.Float)))
	g.Node("Identity", []string{places}, []string{"places"})
	g.Output("places", onnx.Float, onnx.Dim{Name: "found"}, onnx.Dim{Size: 4})
	m, err := model.Seal(g.Model(), model.Meta{Pipeline: "gate", Task: model.Detection, Network: "finder", Picture: &model.Picture{Width: 6, Height: 4, Labels: []string{"dot"}, Form: model.FormYOLOv8}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Detectors that drop double boxes themselves give as many as they find, also none; each thing in a frame makes a scenario.
func TestOutputsOfRunTimeSize(t *testing.T) {
	d := Data{Pipeline: "gate", Task: model.Detection, Read: func(_ *model.Picture, outs []model.Tensor, _ int) (all []event.Box, label string, risk float32, err error) {
		for i := range outs[0].Shape[0] {
			at := outs[0].Data[4*i:]
			all = append(all, event.Box{Label: "dot", Score: 0.9, X0: at[3] / 6, Y0: at[2] / 4, X1: (at[3] + 1) / 6, Y1: (at[2] + 1) / 4})
		}
		return all, "", 0, nil
	}}
	for n := range 9 {
		q := Picture{Camera: "c", Captured: int64(n) * 60e9, Load: func(height, width int) ([]float32, error) {
			planes := make([]float32, 3*height*width)
			for i := range n % 3 {
				planes[7*i] = 1
			}
			return planes, nil
		}}
		for i := range n % 3 {
			x, y := float32(7*i%6), float32(7*i/6)
			q.Boxes = append(q.Boxes, event.Box{Label: "dot", X0: x / 6, Y0: y / 4, X1: (x + 1) / 6, Y1: (y + 1) / 4})
		}
		if n == 4 { // one that it cannot find
			q.Boxes = append(q.Boxes, event.Box{Label: "ring", X0: 0, Y0: 0, X1: 1, Y1: 1})
		}
		d.Pictures = append(d.Pictures, q)
	}
	m := finder(t)
	table := mustRun(t, quick(), d, m)
	near(t, "1 - F1 of all", table.Cell(All, m.Version).Value, 1.0/3/9)
	near(t, "of frames with a ring", table.Cell("class ring", m.Version).Value, 1.0/3)
	near(t, "of frames with dots", table.Cell("class dot", m.Version).Value, 1.0/3/6)
	near(t, "of frames with nothing", table.Cell("class clear", m.Version).Value, 0)
}

// Frames of a minute are one block, unless that leaves too few for a gate: then stretches are shorter, but never than the camera's own.
func TestScenes(t *testing.T) {
	check := func(every, block time.Duration, n, want int) {
		t.Helper()
		d := Data{Block: block}
		for i := range n {
			d.Pictures = append(d.Pictures, Picture{Camera: "c", Captured: 1_700_000_000e9 + int64(i)*int64(every)})
		}
		of, seen := d.scenes(), map[int]bool{}
		for i := range d.Pictures {
			seen[of(&d.Pictures[i])] = true
		}
		if len(seen) != want {
			t.Errorf("%d frames, one every %v, in blocks of %v at least: %d blocks, want %d", n, every, block, len(seen), want)
		}
	}
	check(time.Second, time.Second, 3600, 61) // they begin within a minute
	check(time.Second, time.Second, 60, 17)   // of 3.75 s
	check(time.Second, 10*time.Second, 60, 6)
	check(time.Hour, 0, 5, 5)
}

func TestBoxes(t *testing.T) {
	box := func(label string, score, x0, y0, x1, y1 float32) event.Box {
		return event.Box{Label: label, Score: score, X0: x0, Y0: y0, X1: x1, Y1: y1}
	}
	check := func(name string, want float64, found, truth []event.Box) {
		t.Helper()
		if got := missed(found, truth); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	one := box("person", 0.9, 0, 0, 0.5, 0.5)
	check("nothing there, nothing found", 0, nil, nil)
	check("found", 0, []event.Box{one}, []event.Box{one})
	check("missed", 1, nil, []event.Box{one})
	check("false", 1, []event.Box{one}, nil)
	check("another class", 1, []event.Box{box("car", 0.9, 0, 0, 0.5, 0.5)}, []event.Box{one})
	check("too far off", 1, []event.Box{box("person", 0.9, 0.2, 0.2, 0.7, 0.7)}, []event.Box{one})
	check("found twice", 1.0/3, []event.Box{one, box("person", 0.8, 0, 0, 0.5, 0.45)}, []event.Box{one})
}

// A frame's faults do what they say, leave the frame as it was, and are the same each time.
func TestPlanes(t *testing.T) {
	const h, w = 16, 20
	x := make([]float32, 3*h*w)
	for i := range x {
		x[i] = float32(i%w) / w
	}
	before := slices.Clone(x)
	mean := func(x []float32) (m float64) {
		for _, v := range x {
			m += float64(v) / float64(len(x))
		}
		return m
	}
	see := func(p Perturbation) []float32 {
		t.Helper()
		out, err := p.planes(x, h, w, "a", 1)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := p.planes(x, h, w, "a", 1)
		if !slices.Equal(out, again) || !slices.Equal(x, before) {
			t.Errorf("%s is not pure", p.Kind)
		}
		return out
	}
	if got := mean(see(Perturbation{Kind: Dark})) / mean(x); math.Abs(got-math.Pow(0.3, 1/2.2)) > 1e-3 {
		t.Errorf("dark leaves %v", got)
	}
	if out := see(Perturbation{Kind: Exposure}); slices.Max(out) != 1 || mean(out) <= mean(x) {
		t.Error("exposed frames are not clipped at white")
	}
	if out := see(Perturbation{Kind: Blur}); math.Abs(mean(out)-mean(x)) > 0.02 || out[0] <= x[0] {
		t.Errorf("blur moves the mean from %v to %v", mean(x), mean(out))
	}
	changed := 0
	for i, v := range see(Perturbation{Kind: Occlusion, Share: 0.25}) {
		if v != x[i] {
			changed++
		}
	}
	if changed < 3*h*w/5 || changed > 3*h*w/4 {
		t.Errorf("a quarter covered changes %d of %d", changed, 3*h*w)
	}
	if out := see(Perturbation{Kind: Noise}); slices.Equal(out, x) {
		t.Error("there is no noise")
	}
}
