package boxes

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/model/ort"
	"andon/model/ort/orttest"
)

func picture(form string, labels ...string) *model.Picture {
	return &model.Picture{Width: 200, Height: 100, Labels: labels, Form: form, Threshold: 0.25, Overlap: 0.5}
}

func tensor(name string, data []float32, shape ...int) model.Tensor {
	return model.Tensor{Name: name, Shape: shape, Data: data}
}

func say(b []event.Box) string {
	var s []string
	for _, b := range b {
		s = append(s, fmt.Sprintf("%s %.3g (%.3g %.3g %.3g %.3g)", b.Label, b.Score, b.X0, b.Y0, b.X1, b.Y1))
	}
	return strings.Join(s, ", ")
}

func TestClass(t *testing.T) {
	ask := func(form, normal string, want string, numbers ...float32) {
		t.Helper()
		p := picture(form, "ok", "crack", "dent")
		p.Threshold, p.Normal = 0.6, normal
		_, label, risk, err := Read(p, []model.Tensor{tensor("y", numbers, 1, len(numbers))}, 0, nil)
		got := fmt.Sprintf("%s %.3g", label, risk)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s of %v, normal %q: %s, want %s", form, numbers, normal, got, want)
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ask(model.FormProbabilities, "", "crack 0.7", 0.1, 0.7, 0.2)
	ask(model.FormProbabilities, "", " 0.5", 0.1, 0.5, 0.4)
	ask(model.FormProbabilities, "ok", "ok 0.1", 0.9, 0.04, 0.06)
	ask(model.FormProbabilities, "ok", " 0.6", 0.4, 0.3, 0.3)
	ask(model.FormProbabilities, "ok", "crack 0.9", 0.1, 0.7, 0.2)
	ask(model.FormProbabilities, "", "sum to 2.4, not to 1: the form may be logits", 0.1, 2.1, 0.2)
	ask(model.FormProbabilities, "", "the probability of ok is -0.5", -0.5, 0.7, 0.8)
	ask(model.FormProbabilities, "", "number 1 is NaN: not finite", 0.1, nan, 0.2)
	ask(model.FormProbabilities, "", "output y is [1 2], it should be [N, 3], a number for each label", 0.5, 0.5)
	ask(model.FormLogits, "", "crack 0.936", 1, 4, 0)
	ask(model.FormLogits, "ok", "crack 0.953", 1, 4, 0)
	ask(model.FormLogits, "", "crack 1", 1000, 2000, -3e38)
	ask(model.FormLogits, "", "number 0 is +Inf", inf, 4, 0)
}

// Each form's numbers, by hand, with what is below the threshold, doubled, and beyond the edges.
func TestForms(t *testing.T) {
	const want = "hat 0.9 (0.1 0.2 0.3 0.6), vest 0.8 (0.1 0.2 0.3 0.6), hat 0.5 (0.9 0 1 0.2)"
	// Centre, width, height in pixels; hat, vest.
	rows := [][]float32{
		{40, 40, 40, 40, 0.9, 0.1},
		{42, 40, 40, 40, 0.6, 0.2},  // the same hat
		{40, 40, 40, 40, 0.3, 0.8},  // another class in its place stays
		{200, 5, 40, 30, 0.5, 0.1},  // over the corner
		{100, 50, 40, 40, 0.2, 0.1}, // not sure
		{100, 50, 0, 40, 0.9, 0.1},  // of no width
		{260, 50, 40, 40, 0.4, 0.1}, // beside the picture
	}
	v8, v5 := make([]float32, 6*len(rows)), []float32(nil)
	for at, r := range rows {
		for k, v := range r {
			v8[k*len(rows)+at] = v
		}
		v5 = append(v5, r[0], r[1], r[2], r[3], 0.9, r[4]/0.9, r[5]/0.9)
	}
	ends := []float32{20, 20, 60, 60, 0.9, 0, 20, 20, 60, 60, 0.8, 1, 180, -10, 220, 20, 0.5, 0, 20, 20, 60, 60, 0.1, 0, 0, 0, 0, 0, 0, 0}
	// The second picture of the batch has the boxes, so that i counts.
	pad := func(v []float32) []float32 { return append(make([]float32, len(v)), v...) }
	corners := []float32{0.1, 0.2, 0.3, 0.6, 0.1, 0.2, 0.3, 0.6, 0.9, -0.1, 1.1, 0.2, 0, 0, 0, 0, 0, 0, 0, 0}
	for form, outs := range map[string][]model.Tensor{
		model.FormYOLOv8:   {tensor("y", pad(v8), 2, 6, len(rows))},
		model.FormYOLOv5:   {tensor("y", pad(v5), 2, len(rows), 7)},
		model.FormEndToEnd: {tensor("y", pad(ends), 2, 5, 6)},
		model.FormSSD:      {tensor("b", pad(corners), 2, 5, 4), tensor("s", pad([]float32{0.9, 0.8, 0.5, 0.1, 0}), 2, 5), tensor("l", pad([]float32{0, 1, 0, 7, -1}), 2, 5)},
	} {
		p := picture(form, "hat", "vest")
		before := event.Box{Label: "before"}
		got, label, risk, err := Read(p, outs, 1, []event.Box{before})
		if err != nil || len(got) == 0 || got[0] != before || say(got[1:]) != want || label != "" || risk < 0.899 || risk > 0.901 {
			t.Errorf("%s: %s, label %q, risk %v, %v; want %s", form, say(got), label, risk, err, want)
		}
		if got, _, risk, err := Read(p, outs, 0, nil); err != nil || len(got) != 0 || risk != 0 {
			t.Errorf("%s of an empty picture: %s, risk %v, %v", form, say(got), risk, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ask := func(form, want string, outs ...model.Tensor) {
		t.Helper()
		dst := []event.Box{{Label: "before"}}
		got, _, _, err := Read(picture(form, "hat", "vest"), outs, 0, dst)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "read "+form) || len(got) != 1 {
			t.Errorf("%s: %v, %v boxes; want %s", form, err, len(got), want)
		}
	}
	ask("circles", "it is no form of outputs")
	ask(model.FormYOLOv8, "the model has 0 outputs, [N, 6, A]")
	ask(model.FormYOLOv8, "output y is [1 7 1], it should be [N, 6, A]: x, y, width, height and a confidence for each of 2 labels", tensor("y", make([]float32, 7), 1, 7, 1))
	ask(model.FormYOLOv8, "output y is [1 6 2] and holds 6 numbers", tensor("y", make([]float32, 6), 1, 6, 2))
	ask(model.FormYOLOv8, "output y is of 0 pictures, there is none at 0", tensor("y", nil, 0, 6, 2))
	ask(model.FormYOLOv8, "confidences: number 1 is NaN", tensor("y", []float32{1, 1, 1, 1, 0.5, nan}, 1, 6, 1))
	ask(model.FormYOLOv8, "box 0 is +Inf", tensor("y", []float32{inf, 1, 1, 1, 0.5, 0}, 1, 6, 1))
	ask(model.FormYOLOv8, "a confidence of 7 is not between 0 and 1: the file gives numbers before a sigmoid", tensor("y", []float32{9, 9, 9, 9, 7, 0}, 1, 6, 1))
	ask(model.FormYOLOv5, "place 0: number 1 is +Inf", tensor("y", []float32{1, 1, 1, 1, 0.5, inf, 0}, 1, 1, 7))
	ask(model.FormYOLOv5, "place 0: a confidence of 3", tensor("y", []float32{1, 1, 1, 1, 0.5, 3, 0}, 1, 1, 7))
	ask(model.FormEndToEnd, "box 0 is of class 2, the labels are 0 to 1", tensor("y", []float32{0, 0, 1, 1, 0.5, 2}, 1, 1, 6))
	ask(model.FormEndToEnd, "box 0 is of class 0.5", tensor("y", []float32{0, 0, 1, 1, 0.5, 0.5}, 1, 1, 6))
	ask(model.FormSSD, "the model has 1 outputs, [N, 1]: scores is output 2", tensor("b", make([]float32, 4), 1, 1, 4))
	ask(model.FormSSD, "output s is [1 2], it should be [N, 1]", tensor("b", make([]float32, 4), 1, 1, 4), tensor("s", make([]float32, 2), 1, 2))
	ask(model.FormSSD, "box 0: number 2 is NaN", tensor("b", []float32{0, 0, nan, 1}, 1, 1, 4), tensor("s", []float32{1}, 1, 1), tensor("l", []float32{1}, 1, 1))
	if _, _, _, err := Read(picture(model.FormYOLOv8, "hat", "vest"), []model.Tensor{tensor("y", make([]float32, 6), 1, 6, 1)}, 1, nil); err == nil {
		t.Error("a picture that is not there was read")
	}
}

// scene draws boxes that overlap a lot, in the numbers of yolov8; scores are multiples of 1/64 so that some are equal.
func scene(rng *rand.Rand, classes, places int) []float32 {
	v := make([]float32, (4+classes)*places)
	for at := range places {
		v[at], v[places+at] = float32(rng.IntN(240)-20), float32(rng.IntN(140)-20)
		v[2*places+at], v[3*places+at] = float32(rng.IntN(60)), float32(rng.IntN(60))
		v[(4+rng.IntN(classes))*places+at] = float32(rng.IntN(65)) / 64
	}
	return v
}

// naive reads yolov8 by the definition: of all boxes that are left, the surest stays and takes those away that overlap it.
func naive(p *model.Picture, v []float32, places int) []event.Box {
	type box struct {
		event.Box
		at int
	}
	var left []box
	for at := range places {
		x, y, w, h := v[at]/float32(p.Width), v[places+at]/float32(p.Height), v[2*places+at]/float32(p.Width), v[3*places+at]/float32(p.Height)
		best := 0
		for k := range p.Labels {
			if v[(4+k)*places+at] > v[(4+best)*places+at] {
				best = k
			}
		}
		if s := v[(4+best)*places+at]; s >= p.Threshold && s > 0 && w > 0 && h > 0 {
			left = append(left, box{event.Box{Label: p.Labels[best], Score: s, X0: x - w/2, Y0: y - h/2, X1: x + w/2, Y1: y + h/2}, at})
		}
	}
	var out []event.Box
	for len(left) > 0 && len(out) < MaxBoxes {
		top := slices.MaxFunc(left, func(a, b box) int { return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(b.at, a.at)) })
		out = append(out, top.Box)
		left = slices.DeleteFunc(left, func(b box) bool { return b.at == top.at || b.Label == top.Label && Overlap(b.Box, top.Box) > p.Overlap })
	}
	for i := range out {
		b := &out[i]
		b.X0, b.Y0, b.X1, b.Y1 = max(b.X0, 0), max(b.Y0, 0), min(b.X1, 1), min(b.Y1, 1)
	}
	return slices.DeleteFunc(out, func(b event.Box) bool { return b.X1-b.X0 <= sliver || b.Y1-b.Y0 <= sliver })
}

func TestAgainstDefinition(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := picture(model.FormYOLOv8, []string{"a", "b", "c", "d"}[:1+rng.IntN(4)]...)
		p.Threshold, p.Overlap = []float32{0, 0.25, 0.7}[rng.IntN(3)], []float32{0, 0.3, 0.5, 0.9, 1}[rng.IntN(5)]
		places := 1 + rng.IntN(120)
		v := scene(rng, len(p.Labels), places)
		got, _, _, err := Read(p, []model.Tensor{tensor("y", v, 1, 4+len(p.Labels), places)}, 0, nil)
		if want := naive(p, v, places); err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v\n got %s\nwant %s", seed, err, say(got), say(want))
		}
		// What is kept does not overlap, is sorted and lies in the picture.
		for i, a := range got {
			if a.X0 < 0 || a.Y0 < 0 || a.X1 > 1 || a.Y1 > 1 || i > 0 && a.Score > got[i-1].Score || a.Score < p.Threshold {
				t.Errorf("seed %d: box %d is %v", seed, i, a)
			}
		}
	}
}

// ONNX Runtime's own NonMaxSuppression keeps the same boxes.
func TestAgainstONNXRuntime(t *testing.T) {
	orttest.Open(t)
	const classes, places = 3, 80
	const overlap = 0.4501 // no share of whole numbers, which rounding would settle
	g := onnx.NewGraph("test")
	g.Input("boxes", onnx.Float, onnx.Fixed(1, places, 4)...)
	g.Input("scores", onnx.Float, onnx.Fixed(1, classes, places)...)
	picked := g.Op("NonMaxSuppression", []string{"boxes", "scores", g.Ints("most", 1000), g.Floats("overlap", []int{1}, []float32{overlap}), g.Floats("least", []int{1}, []float32{0.3})},
		onnx.Int("center_point_box", 1))
	g.Node("Cast", []string{picked}, []string{"picked"}, onnx.Int("to", int64(onnx.Float)))
	g.Output("picked", onnx.Float, onnx.Dim{Name: "n"}, onnx.Dim{Size: 3})
	s, err := ort.NewSession(g.Model(), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := picture(model.FormYOLOv8, "a", "b", "c")
	p.Threshold, p.Overlap = 0.3, overlap
	suppressed := 0
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		v := scene(rng, classes, places)
		for i := 4 * places; i < len(v); i++ {
			if v[i] > 0 {
				v[i] += rng.Float32() / 128 // no two are equal: the order of equals is not told
			}
			v[i] = min(v[i], 1)
		}
		for i := 2 * places; i < 4*places; i++ {
			v[i]++ // without an area it would keep some
		}
		var cells []float32
		for at := range places {
			for k := range 4 {
				cells = append(cells, v[k*places+at])
			}
		}
		x, err1 := ort.Wrap(cells, 1, places, 4)
		y, err2 := ort.Wrap(v[4*places:], 1, classes, places)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		out, err := s.Compute([]ort.Value{x, y})
		x.Close()
		y.Close()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := 0; i < len(out[0].Data); i += 3 {
			k, at := int(out[0].Data[i+1]), int(out[0].Data[i+2])
			if x, y, w, h := v[at], v[places+at], v[2*places+at], v[3*places+at]; x+w/2 > 0 && x-w/2 < 200 && y+h/2 > 0 && y-h/2 < 100 {
				want = append(want, fmt.Sprintf("%s %v", p.Labels[k], v[(4+k)*places+at]))
			}
		}
		boxes, _, _, err := Read(p, []model.Tensor{tensor("y", v, 1, 4+classes, places)}, 0, nil)
		var got []string
		for _, b := range boxes {
			got = append(got, fmt.Sprintf("%s %v", b.Label, b.Score))
		}
		suppressed += places - len(want)
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("seed %d: %v\n got %v\nwant %v", seed, err, got, want)
		}
	}
	if suppressed < 1000 {
		t.Errorf("only %d boxes were suppressed", suppressed)
	}
}

// However many boxes a model gives, MaxBoxes come out, the surest.
func TestBounded(t *testing.T) {
	const places = 20000
	v := make([]float32, 5*places)
	for at := range places {
		v[at], v[places+at], v[2*places+at], v[3*places+at] = float32(at%200)+0.5, float32(at/200)+0.5, 0.5, 0.5
		v[4*places+at] = 0.5 + float32(at)/(2*places)
	}
	got, _, _, err := Read(picture(model.FormYOLOv8, "a"), []model.Tensor{tensor("y", v, 1, 5, places)}, 0, nil)
	if err != nil || len(got) != MaxBoxes || got[0].Score != v[5*places-1] || got[MaxBoxes-1].Score != v[5*places-MaxBoxes] {
		t.Errorf("%d boxes, %v", len(got), err)
	}
}

// What Read needs it takes from a pool; nothing is allocated a box or a place.
func TestReadAllocatesLittle(t *testing.T) {
	p, v := picture(model.FormYOLOv8, "a", "b"), scene(rand.New(rand.NewPCG(1, 1)), 2, 400)
	outs := []model.Tensor{tensor("y", v, 1, 6, 400)}
	var dst []event.Box
	read := func() {
		var err error
		if dst, _, _, err = Read(p, outs, 0, dst[:0]); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n > 10 { // the race detector's pool forgets on purpose
		t.Errorf("%v allocations", n)
	}
}

// Whatever the numbers are, Read ends with an error or with boxes in the picture.
func FuzzRead(f *testing.F) {
	for form := range 6 {
		f.Add(uint8(form), uint8(3), uint8(2), []byte{0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 1, 2, 3, 4, 0xff, 0xff, 0x7f, 0x7f})
	}
	f.Fuzz(func(t *testing.T, form, places, classes uint8, raw []byte) {
		forms := []string{model.FormProbabilities, model.FormLogits, model.FormYOLOv8, model.FormYOLOv5, model.FormEndToEnd, model.FormSSD}
		p := picture(forms[int(form)%len(forms)])
		for k := range 1 + int(classes)%5 {
			p.Labels = append(p.Labels, fmt.Sprint(k))
		}
		a, c := int(places)%20, len(p.Labels)
		p.Threshold, p.Overlap = float32(places%4)/4, float32(classes%8)/7
		numbers := func(n int) []float32 {
			v := make([]float32, n)
			for i := range v {
				if len(raw) >= 4 {
					v[i] = math.Float32frombits(uint32(raw[0]) | uint32(raw[1])<<8 | uint32(raw[2])<<16 | uint32(raw[3])<<24)
					raw = append(raw[4:], raw[:4]...)
				}
			}
			return v
		}
		var outs []model.Tensor
		switch p.Form {
		case model.FormYOLOv8:
			outs = []model.Tensor{tensor("y", numbers((4+c)*a), 1, 4+c, a)}
		case model.FormYOLOv5:
			outs = []model.Tensor{tensor("y", numbers((5+c)*a), 1, a, 5+c)}
		case model.FormEndToEnd:
			outs = []model.Tensor{tensor("y", numbers(6*a), 1, a, 6)}
		case model.FormSSD:
			outs = []model.Tensor{tensor("b", numbers(4*a), 1, a, 4), tensor("s", numbers(a), 1, a), tensor("l", numbers(a), 1, a)}
		default:
			outs = []model.Tensor{tensor("y", numbers(c), 1, c)}
		}
		found, label, risk, err := Read(p, outs, 0, nil)
		if err != nil {
			return
		}
		if !(risk >= 0 && risk <= 1) || label != "" && !slices.Contains(p.Labels, label) || len(found) > MaxBoxes {
			t.Errorf("%s: %d boxes, label %q, risk %v", p.Form, len(found), label, risk)
		}
		for _, b := range found {
			if !(b.X0 >= 0 && b.X0 < b.X1 && b.X1 <= 1 && b.Y0 >= 0 && b.Y0 < b.Y1 && b.Y1 <= 1 && b.Score >= 0 && b.Score <= 1) || !slices.Contains(p.Labels, b.Label) {
				t.Errorf("%s: box %+v", p.Form, b)
			}
		}
	})
}

// A detector of 80 classes at 640x640 has 8,400 places.
func BenchmarkRead(b *testing.B) {
	labels := make([]string, 80)
	for i := range labels {
		labels[i] = fmt.Sprint(i)
	}
	p := picture(model.FormYOLOv8, labels...)
	v := make([]float32, 84*8400)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 { // candidates
		at := rng.IntN(8400)
		v[at], v[8400+at], v[2*8400+at], v[3*8400+at] = rng.Float32()*200, rng.Float32()*100, 20, 20
		v[(4+rng.IntN(80))*8400+at] = 0.3 + rng.Float32()*0.7
	}
	outs := []model.Tensor{tensor("y", v, 1, 84, 8400)}
	var dst []event.Box
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, _, _, err = Read(p, outs, 0, dst[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
