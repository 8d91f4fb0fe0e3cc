package evaluate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"andon/event"
	"andon/model"
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
		p := Picture{Camera: []string{"north", "south"}[i%2], Captured: int64(i) * 60e9, Class: "dark", Golden: i == 3, Load: func() ([]float32, int, int, error) {
			return slices.Repeat([]float32{level}, 3*8*12), 8, 12, nil
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
	for _, want := range []string{"class bright", "dark (0.3 of the light)", right.Version, "CPU-seconds a million"} {
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
	d.Pictures[1].Load = func() ([]float32, int, int, error) { return nil, 0, 0, errors.New("gone") }
	if _, err := Run(t.Context(), quick(), []*model.Model{bright(t, 0.5)}, d); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
	if _, err := Run(t.Context(), quick(), []*model.Model{bright(t, 0.5), says(t, 1, 0)}, d); err == nil || !strings.Contains(err.Error(), "do not take the same") {
		t.Errorf("got %v", err)
	}
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
