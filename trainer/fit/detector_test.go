package fit

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/model"
	"andon/model/ort"
	"andon/model/ort/orttest"
	"andon/trainer/graph"
)

// squares draws frames of 64x48 noise with red and green rectangles, none to three.
func squares(n int, seed uint64) *Scenes {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := &Scenes{Height: 48, Width: 64}
	plane := s.Height * s.Width
	for range n {
		frame := make([]byte, 3*plane)
		for i := range frame {
			frame[i] = byte(90 + rng.IntN(60))
		}
		var marks []Mark
		for range rng.IntN(4) {
			w, h := 8+rng.IntN(10), 8+rng.IntN(10)
			x, y, class := rng.IntN(s.Width-w), rng.IntN(s.Height-h), rng.IntN(2)
			m := Mark{class, float64(x), float64(y), float64(x + w), float64(y + h)}
			if slices.ContainsFunc(marks, func(o Mark) bool { return o.X0 < m.X1+4 && m.X0 < o.X1+4 && o.Y0 < m.Y1+4 && m.Y0 < o.Y1+4 }) {
				continue
			}
			for r := y; r < y+h; r++ {
				for c := x; c < x+w; c++ {
					for k := range 3 {
						frame[k*plane+r*s.Width+c] = byte(20 + rng.IntN(20))
					}
					frame[class*plane+r*s.Width+c] = byte(200 + rng.IntN(50))
				}
			}
			marks = append(marks, m)
		}
		s.Pixels, s.Marks = append(s.Pixels, frame...), append(s.Marks, marks)
	}
	return s
}

func smallDetector(s *Scenes) Detector {
	n := Detector{Height: s.Height, Width: s.Width, Classes: []string{"red", "green"}, Stages: []int{8, 16}, Blocks: 1}
	n.Center, n.Spread = s.Scale()
	n.TypicalWidth, n.TypicalHeight = s.Typical()
	return n
}

// hits counts what an exported detector finds of a set at a confidence: things found (overlap at least a half), things there, boxes said.
func hits(t *testing.T, file []byte, s *Scenes, least float32) (found, there, said int) {
	t.Helper()
	session, err := ort.NewSession(file, ort.Options{Inputs: []string{model.Frame}})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for i := range s.Len() {
		frame := make([]float32, len(s.Frame(i)))
		for k, p := range s.Frame(i) {
			frame[k] = float32(p) / 255
		}
		x, err := ort.Wrap(frame, 1, 3, int64(s.Height), int64(s.Width))
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.Compute([]ort.Value{x})
		x.Close()
		if err != nil {
			t.Fatal(err)
		}
		if e := out[1]; len(e.Shape) != 2 || e.Shape[1] != int64(16) || slices.Max(e.Data) <= 0 || slices.Min(e.Data) < 0 {
			t.Fatalf("an embedding of %v: %v", e.Shape, e.Data)
		}
		rows, cells := int(out[0].Shape[1]), int(out[0].Shape[2])
		v := out[0].Data
		taken := make([]bool, len(s.Marks[i]))
		there += len(taken)
		for at := range cells {
			for k := 4; k < rows; k++ {
				if v[k*cells+at] < least {
					continue
				}
				said++
				cx, cy, w, h := float64(v[at]), float64(v[cells+at]), float64(v[2*cells+at]), float64(v[3*cells+at])
				for j, m := range s.Marks[i] {
					iw, ih := min(m.X1, cx+w/2)-max(m.X0, cx-w/2), min(m.Y1, cy+h/2)-max(m.Y0, cy-h/2)
					if both := iw * ih; !taken[j] && m.Class == k-4 && iw > 0 && ih > 0 && both/(w*h+(m.X1-m.X0)*(m.Y1-m.Y0)-both) >= 0.5 {
						taken[j] = true
						found++
						break
					}
				}
			}
		}
	}
	return found, there, said
}

// A detector learns to find things that it has not seen, through its exported file.
func TestDetectorLearns(t *testing.T) {
	orttest.Open(t)
	train, val, held := squares(96, 1), squares(24, 2), squares(60, 3)
	train.Balance, train.Augment = true, Augment{Mirror: true, Shift: 4, Zoom: 0.1, Brightness: 0.05}
	c := Config{Epochs: 14, Batch: 8, LearningRate: 0.004, Clip: 5, Average: 0.9, Patience: 14, Shards: 1, Seed: 1}
	var first float64
	trained, err := TrainDetector(t.Context(), smallDetector(train), c, train, val, func(p Progress) {
		if p.Epoch == 1 {
			first = p.ValLoss
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	found, there, said := hits(t, trained.Export(), held, 0.4)
	t.Logf("loss %.3f after one epoch, %.3f at the best; found %d of %d, said %d", first, trained.ValLoss, found, there, said)
	if trained.ValLoss > first/2 || float64(found) < 0.9*float64(there) || float64(said) > 1.1*float64(found) {
		t.Errorf("loss %.3f then %.3f; found %d of %d and said %d", first, trained.ValLoss, found, there, said)
	}
	again, err := TrainDetector(t.Context(), smallDetector(train), Config{Epochs: 1, Batch: 8, LearningRate: 0.004, Patience: 1, Shards: 1, Seed: 1}, train, val, nil)
	twice, err2 := TrainDetector(t.Context(), smallDetector(train), Config{Epochs: 1, Batch: 8, LearningRate: 0.004, Patience: 1, Shards: 1, Seed: 1}, train, val, nil)
	if err != nil || err2 != nil || !slices.Equal(again.Params, twice.Params) {
		t.Errorf("the same seed gave other parameters: %v %v", err, err2)
	}
}

// The graph's loss is the formula's, for targets with things and without.
func TestDetectorLoss(t *testing.T) {
	orttest.Open(t)
	s := squares(6, 4)
	n := smallDetector(s)
	rng := rand.New(rand.NewPCG(5, 5))
	k := n.answers()
	said, target, weight := make([]float32, s.Len()*k), make([]float32, s.Len()*k), make([]float32, s.Len())
	want := 0.0
	for i := range s.Len() {
		n.aim(target[i*k:(i+1)*k], s.Marks[i])
		for j := range k {
			said[i*k+j] = float32(rng.NormFloat64() * 2)
		}
		weight[i] = rng.Float32()
		want += float64(weight[i]) * n.lossOf(said[i*k:(i+1)*k], target[i*k:(i+1)*k])
	}
	g := graph.New()
	loss := n.loss(g, g.Input("said", s.Len(), k), g.Input("target", s.Len(), k), g.Input("weight", s.Len(), 1))
	session, err := ort.NewSession(g.Model("loss", graph.Output{Name: "loss", Value: g.Reshape(loss, 1)}), ort.Options{Inputs: []string{"said", "target", "weight"}})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var in []ort.Value
	for _, v := range []struct {
		data []float32
		wide int64
	}{{said, int64(k)}, {target, int64(k)}, {weight, 1}} {
		x, err := ort.Wrap(v.data, int64(s.Len()), v.wide)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		in = append(in, x)
	}
	out, err := session.Compute(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := float64(out[0].Data[0]); math.Abs(got-want) > 1e-3*want {
		t.Errorf("the graph's loss is %v, the formula's %v", got, want)
	}
}

// What a target says, read as the exported graph reads it, gives the marks back.
func TestDetectorTargets(t *testing.T) {
	s := squares(40, 6)
	n := smallDetector(s)
	rows, columns, stride := n.grid()
	cells := rows * columns
	if rows != 12 || columns != 16 || stride != 4 {
		t.Fatalf("a grid of %d x %d, stride %d", columns, rows, stride)
	}
	y := make([]float32, n.answers())
	for i, marks := range s.Marks {
		n.aim(y, marks)
		tops := 0
		for k := range 2 * cells {
			if y[k] == 1 {
				tops++
			}
		}
		if tops != len(marks) {
			t.Errorf("frame %d: %d tops for %d marks", i, tops, len(marks))
		}
		for _, m := range marks {
			at := int(math.Round(((m.Y0+m.Y1)/2-0.5)/4))*columns + int(math.Round(((m.X0+m.X1)/2-0.5)/4))
			cx, cy := (float64(y[2*cells+at])+float64(at%columns))*4+0.5, (float64(y[3*cells+at])+float64(at/columns))*4+0.5
			w, h := math.Exp(float64(y[4*cells+at]))*n.TypicalWidth, math.Exp(float64(y[5*cells+at]))*n.TypicalHeight
			if y[m.Class*cells+at] != 1 || math.Abs(cx-(m.X0+m.X1)/2) > 1e-4 || math.Abs(cy-(m.Y0+m.Y1)/2) > 1e-4 || math.Abs(w-m.X1+m.X0) > 1e-3 || math.Abs(h-m.Y1+m.Y0) > 1e-3 {
				t.Errorf("frame %d: %+v is told as %v, %v, %v x %v, height %v", i, m, cx, cy, w, h, y[m.Class*cells+at])
			}
		}
	}
}

// Marks move with the pixels: what was bright under a mark is bright under it afterwards.
func TestLookMovesMarks(t *testing.T) {
	s := squares(30, 8)
	rng := rand.New(rand.NewPCG(1, 1))
	dst := make([]float32, 3*48*64)
	moved := 0
	for i, marks := range s.Marks {
		for _, a := range []Augment{{}, {Mirror: true}, {Flip: true}, {Shift: 9}, {Zoom: 0.3}, {Flip: true, Shift: 5, Zoom: 0.3}} {
			l := a.look(s.Height, s.Width, rng)
			l.draw(dst, s.Frame(i))
			for _, m := range l.move(marks) {
				moved++
				inside := func(dx, dy float64) bool {
					x, y := int(m.X0+(m.X1-m.X0)*dx), int(m.Y0+(m.Y1-m.Y0)*dy)
					return dst[m.Class*48*64+y*64+x] > 0.7
				}
				if m.X0 < 0 || m.Y0 < 0 || m.X1 > 64 || m.Y1 > 48 || !inside(0.15, 0.15) || !inside(0.85, 0.85) || !inside(0.5, 0.5) {
					t.Fatalf("frame %d, %+v: %+v is not where its pixels are", i, l, m)
				}
			}
		}
	}
	if moved < 100 {
		t.Errorf("only %d marks", moved)
	}
	square := look{height: 10, width: 10, swap: true, flipX: true, zoom: 1, gain: 1}
	if got := square.move([]Mark{{0, 1, 2, 3, 6}}); len(got) != 1 || got[0] != (Mark{0, 2, 7, 6, 9}) {
		t.Errorf("a quarter turn: %+v", got)
	}
}

func TestScenesBalance(t *testing.T) {
	s := squares(100, 9)
	for i := range s.Marks {
		s.Marks[i] = []Mark{{0, 1, 1, 9, 9}}
	}
	s.Marks[7], s.Marks[9] = []Mark{{1, 1, 1, 9, 9}, {0, 20, 20, 30, 30}}, nil
	s.Balance = true
	n := smallDetector(s)
	a := &aimed{s, &n}
	count := make([]int, 100)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		order := make([]int, 100)
		a.order(order, rng)
		for _, i := range order {
			count[i]++
		}
	}
	// A class of one frame in a hundred is drawn the square root of fifty times as often.
	if count[7] < 250 || count[9] < 250 || count[7] > 350 || count[0] < 30 || count[0] > 60 {
		t.Errorf("drawn %d and %d, the others about %d", count[7], count[9], count[0])
	}
	s.Balance = false
	order := make([]int, 100)
	a.order(order, rng)
	slices.Sort(order)
	for i, v := range order {
		if i != v {
			t.Fatalf("without balance %v", order)
		}
	}
}

func TestDetectorRefuses(t *testing.T) {
	s := squares(4, 1)
	good := smallDetector(s)
	c := Config{Epochs: 1, Batch: 2, LearningRate: 0.01, Patience: 1, Shards: 1}
	refuse := func(want string, change func(n *Detector, s *Scenes)) {
		t.Helper()
		n, set := good, *s
		set.Marks = slices.Clone(s.Marks)
		change(&n, &set)
		if _, err := TrainDetector(context.Background(), n, c, &set, s, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refuse("classes: there are none", func(n *Detector, _ *Scenes) { n.Classes = nil })
	refuse("stages: there are none", func(n *Detector, _ *Scenes) { n.Stages = nil })
	refuse("is too small for 6 stages", func(n *Detector, _ *Scenes) { n.Stages = []int{1, 1, 1, 1, 1, 1} })
	refuse("typical size", func(n *Detector, _ *Scenes) { n.TypicalWidth = 0 })
	refuse("training set: there are no frames", func(_ *Detector, s *Scenes) { s.Marks = nil })
	refuse("frames are 64 x 48, the network reads 32 x 48", func(n *Detector, _ *Scenes) { n.Width = 32 })
	refuse("frame 0 shows a thing of class 5", func(_ *Detector, s *Scenes) { s.Marks[0] = []Mark{{5, 0, 0, 1, 1}} })
	refuse("frame 0: the box 1, 0, 1, 1 has no area", func(_ *Detector, s *Scenes) { s.Marks[0] = []Mark{{0, 1, 0, 1, 1}} })
	refuse("3 weights", func(_ *Detector, s *Scenes) { s.Weights = make([]float32, 3) })
	refuse("zoom: 2", func(_ *Detector, s *Scenes) { s.Augment.Zoom = 2 })
}
