package scorer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/onnx"
	"andon/model/ort/orttest"
)

// frames is a graph that takes frames of 2x2 pixels, any number or, with batch 1, one; build adds what is behind.
func frames(batch int64, build func(g *onnx.Graph, n onnx.Dim)) []byte {
	g := onnx.NewGraph("test")
	n := onnx.Dim{Name: "n"}
	if batch > 0 {
		n = onnx.Dim{Size: batch}
	}
	g.Input(model.Frame, onnx.Float, append([]onnx.Dim{n}, onnx.Fixed(3, 2, 2)...)...)
	build(g, n)
	return g.Model()
}

// sums has two outputs: the channels' sums [n, 3] and the frame itself as [n, 2, 6].
func sums(batch int64) []byte {
	return frames(batch, func(g *onnx.Graph, n onnx.Dim) {
		g.Node("ReduceSum", []string{model.Frame, g.Ints("axes", 2, 3)}, []string{"sums"}, onnx.Int("keepdims", 0))
		g.Node("Reshape", []string{model.Frame, g.Ints("shape", -1, 2, 6)}, []string{"all"})
		g.Output("sums", onnx.Float, n, onnx.Dim{Size: 3})
		g.Output("all", onnx.Float, n, onnx.Dim{Size: 2}, onnx.Dim{Size: 6})
	})
}

// places gives the places of the frame's numbers that are not zero, [1, found, 4]: another number a frame.
func places() []byte {
	return frames(1, func(g *onnx.Graph, n onnx.Dim) {
		at := g.Op("Transpose", []string{g.Op("NonZero", []string{model.Frame})}, onnx.Ints("perm", 1, 0))
		g.Node("Cast", []string{g.Op("Unsqueeze", []string{at, g.Ints("zero", 0)})}, []string{"places"}, onnx.Int("to", int64(onnx.Float)))
		g.Output("places", onnx.Float, n, onnx.Dim{Name: "found"}, onnx.Dim{Size: 4})
	})
}

func sealPicture(t testing.TB, file []byte, form string, side int) *model.Model {
	t.Helper()
	m, err := model.Seal(file, model.Meta{Pipeline: "p", Task: model.Detection,
		Picture: &model.Picture{Width: side, Height: side, Labels: []string{"a", "b"}, Form: form, Threshold: 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkSums holds what a model of sums says of pictures against the pictures.
func checkSums(pictures []float32, outs []model.Tensor) error {
	n := len(pictures) / 12
	if len(outs) != 2 || outs[0].Name != "sums" || outs[1].Name != "all" || !slices.Equal(outs[0].Shape, []int{n, 3}) || !slices.Equal(outs[1].Shape, []int{n, 2, 6}) ||
		!slices.Equal(outs[1].Data, pictures) {
		return fmt.Errorf("%d pictures: %v", n, outs)
	}
	for i, got := range outs[0].Data {
		if want := pictures[4*i] + pictures[4*i+1] + pictures[4*i+2] + pictures[4*i+3]; got != want {
			return fmt.Errorf("picture %d, channel %d: %v, want %v", i/3, i%3, got, want)
		}
	}
	return nil
}

func whole(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.IntN(64))
	}
	return v
}

// Many callers each get what is of their own pictures, whatever shares a run with them; memory is used again.
func TestSeeConcurrently(t *testing.T) {
	orttest.Open(t)
	for name, m := range map[string]*model.Model{"many": sealPicture(t, sums(0), model.FormLogits, 2), "one": sealPicture(t, sums(1), model.FormLogits, 2),
		"loose": sealPicture(t, frames(0, func(g *onnx.Graph, n onnx.Dim) { // shapes that the file does not tell
			g.Node("ReduceSum", []string{model.Frame, g.Ints("axes", 2, 3)}, []string{"sums"}, onnx.Int("keepdims", 0))
			g.Node("Reshape", []string{model.Frame, g.Ints("shape", -1, 2, 6)}, []string{"all"})
			g.Output("sums", onnx.Float, n, onnx.Dim{Name: "a"})
			g.Output("all", onnx.Float, n, onnx.Dim{Name: "b"}, onnx.Dim{Size: 6})
		}), model.FormSSD, 2)} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(c *Config) { c.Workers, c.MaxPictures, c.Queue = 2, 5, 6 })
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(g), 0))
					var dst []model.Tensor
					for range 50 {
						n := 1 + rng.IntN(12)
						pictures := whole(rng, n*12)
						runs := make([]event.Run, n)
						var err error
						if dst, err = s.SeeRuns(t.Context(), m, pictures, n, dst, runs); err == nil {
							err = checkSums(pictures, dst)
						}
						for _, r := range runs {
							if err == nil && (r.Batch < 1 || r.Batch > 5 || r.Compute <= 0 || name == "one" && r.Batch != 1) {
								err = fmt.Errorf("run %+v", r)
							}
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if s.Scored() == 0 {
				t.Error("nothing was counted")
			}
		})
	}
}

// Pictures that wait while a run is on go together into the next.
func TestSeeGathers(t *testing.T) {
	orttest.Open(t)
	m := sealPicture(t, sums(0), model.FormLogits, 2)
	s := start(t, func(c *Config) { c.Workers, c.MaxPictures = 1, 4 })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	release := hold(s)
	var wg sync.WaitGroup
	runs := make([][]event.Run, 3)
	for i := range runs {
		runs[i] = make([]event.Run, 2)
		wg.Go(func() {
			pictures := whole(rand.New(rand.NewPCG(uint64(i), 0)), 24)
			outs, err := s.SeeRuns(t.Context(), m, pictures, 2, nil, runs[i])
			if err == nil {
				err = checkSums(pictures, outs)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	queued(t, s, 6)
	release()
	wg.Wait()
	counts := map[uint32]int{}
	for _, r := range slices.Concat(runs...) {
		counts[r.Batch]++
	}
	if counts[4] != 4 || counts[2] != 2 {
		t.Errorf("runs of so many pictures: %v", counts)
	}
}

// A run of slow pictures takes few, so that nobody waits long for it.
func TestSeeBoundsRuns(t *testing.T) {
	q := &queue{session: &session{maxBatch: 8, sees: true}}
	for took, want := range map[time.Duration]int{0: 8, time.Millisecond: 8, 5 * time.Millisecond: 4, 50 * time.Millisecond: 1} {
		if q.perWindow = took; q.most() != want {
			t.Errorf("%v a picture: %d in a run, want %d", took, q.most(), want)
		}
	}
	q.session.sees = false
	if q.most() != 8 {
		t.Errorf("windows: %d in a run", q.most())
	}
}

// Where pictures have another number of boxes each, the shorter outputs end in zeros.
func TestSeeFillsUp(t *testing.T) {
	orttest.Open(t)
	m := sealPicture(t, places(), model.FormEndToEnd, 2)
	s := start(t, nil)
	pictures := make([]float32, 3*12)
	pictures[0], pictures[5] = 1, 1 // none in the second
	pictures[24+11] = 1
	dst := []model.Tensor{{Data: []float32{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}}}
	outs, err := s.See(t.Context(), m, pictures, 3, dst)
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1, 0, 0, 0, 0}
	if len(outs) != 1 || !slices.Equal(outs[0].Shape, []int{3, 2, 4}) || !slices.Equal(outs[0].Data, want) {
		t.Errorf("got %v, want %v", outs, want)
	}
	outs, err = s.See(t.Context(), m, make([]float32, 24), 2, outs)
	if err != nil || !slices.Equal(outs[0].Shape, []int{2, 0, 4}) || len(outs[0].Data) != 0 {
		t.Errorf("nothing in any: %v, %v", outs, err)
	}
}

// A model that cannot take several pictures gets one at a time.
func TestSeeAlone(t *testing.T) {
	orttest.Open(t)
	mixes := frames(0, func(g *onnx.Graph, n onnx.Dim) {
		mean := g.Op("ReduceMean", []string{model.Frame}, onnx.Ints("axes", 0), onnx.Int("keepdims", 1))
		g.Node("Reshape", []string{g.Op("Sub", []string{g.Op("Add", []string{model.Frame, model.Frame}), mean}), g.Ints("shape", -1, 12)}, []string{"y"})
		g.Output("y", onnx.Float, n, onnx.Dim{Size: 12})
	})
	flattens := frames(0, func(g *onnx.Graph, n onnx.Dim) { // as an exporter writes that saw one
		g.Node("Reshape", []string{model.Frame, g.Ints("shape", 1, 12)}, []string{"y"})
		g.Output("y", onnx.Float, n, onnx.Dim{Size: 12})
	})
	for name, file := range map[string][]byte{"mixes": mixes, "flattens": flattens} {
		s := start(t, func(c *Config) { c.MaxPictures = 4 })
		pictures, runs := fill(3*12), make([]event.Run, 3)
		outs, err := s.SeeRuns(t.Context(), sealPicture(t, file, model.FormLogits, 2), pictures, 3, nil, runs)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, v := range outs[0].Data {
			if d := v - pictures[i]; d > 1e-6 || d < -1e-6 {
				t.Errorf("%s: number %d is %v, want %v", name, i, v, pictures[i])
				break
			}
		}
		for _, r := range runs {
			if r.Batch != 1 {
				t.Errorf("%s: a run of %d", name, r.Batch)
			}
		}
	}
}

func TestSeeRefuses(t *testing.T) {
	orttest.Open(t)
	good := sealPicture(t, sums(0), model.FormLogits, 2)
	windows := seal(t, orttest.Sum(2, 2, 0), 2, 2)
	s := start(t, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		m    *model.Model
		n    int
		want string
	}{
		{t.Context(), good, 2, "12 numbers are not 2 pictures of 3x2x2"},
		{t.Context(), good, -1, "12 numbers are not -1 pictures"},
		{t.Context(), windows, 1, "it takes windows, not pictures"},
		{gone, good, 1, "context canceled"},
		{t.Context(), sealPicture(t, sums(0), model.FormLogits, 4), 1, "12 numbers are not 1 pictures of 3x4x4"},
	} {
		if _, err := s.See(c.ctx, c.m, make([]float32, 12), c.n, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.want, err)
		}
	}
	if outs, err := s.See(t.Context(), good, nil, 0, nil); err != nil || len(outs) > 0 && len(outs[0].Data) > 0 {
		t.Errorf("no pictures: %v %v", outs, err)
	}
	if err := s.Score(t.Context(), good, nil, nil); err == nil || !strings.Contains(err.Error(), "it takes pictures, not windows") {
		t.Errorf("windows for a model of pictures: %v", err)
	}
	if _, _, ok := s.Shadow(good, nil, make([]event.Verdict, 1)); ok {
		t.Error("a model of pictures took shadow windows")
	}
	for want, file := range map[string][]byte{
		"the only input is frame": orttest.Sum(2, 2, 0),
		"output y is [12] for one picture": frames(1, func(g *onnx.Graph, _ onnx.Dim) {
			g.Node("Reshape", []string{model.Frame, g.Ints("s", 12)}, []string{"y"})
			g.Output("y", onnx.Float, onnx.Dim{Size: 12})
		}),
		"declares the output y int64[-1 3 2 2]": frames(0, func(g *onnx.Graph, n onnx.Dim) {
			g.Node("Cast", []string{model.Frame}, []string{"y"}, onnx.Int("to", 7))
			g.Output("y", onnx.Int64, n, onnx.Dim{Size: 3}, onnx.Dim{Size: 2}, onnx.Dim{Size: 2})
		}),
		"the file declares frame float[3 3 2 2], the pictu": sums(3),
	} {
		if err := s.Load(t.Context(), sealPicture(t, file, model.FormLogits, 2)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// Models of pictures are retired, come back, and end with the scorer as those of windows do.
func TestSeeRetire(t *testing.T) {
	orttest.Open(t)
	m := sealPicture(t, sums(0), model.FormLogits, 2)
	s := start(t, func(c *Config) { c.Grace = time.Millisecond })
	if err := s.Load(t.Context(), m); err != nil || !s.Loaded(m.Version) {
		t.Fatalf("loaded: %v", err)
	}
	s.Retire(m.Version)
	eventually(t, "the model is freed", func() bool { return number(t, s.metrics.models) == 0 })
	pictures := fill(12)
	for i := range pictures {
		pictures[i] = float32(i)
	}
	outs, err := s.See(t.Context(), m, pictures, 1, nil)
	if err == nil {
		err = checkSums(pictures, outs)
	}
	if err != nil {
		t.Error(err)
	}
	s.Close()
	if _, err := s.See(t.Context(), m, pictures, 1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A caller who would rather be told than wait is told.
func TestServePictures(t *testing.T) {
	orttest.Open(t)
	m := sealPicture(t, sums(0), model.FormLogits, 2)
	s := start(t, func(c *Config) { c.Workers, c.Deadline = 1, 20*time.Millisecond })
	if err := s.Load(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	pictures, runs := whole(rand.New(rand.NewPCG(1, 1)), 12), make([]event.Run, 1)
	outs, err := s.ServePictures(t.Context(), m, pictures, 1, nil, runs)
	if err == nil {
		err = checkSums(pictures, outs)
	}
	if err != nil {
		t.Error(err)
	}
	release := hold(s)
	defer release()
	if _, err := s.ServePictures(t.Context(), m, pictures, 1, nil, runs); !errors.Is(err, ErrBusy) {
		t.Errorf("no place within the deadline: %v", err)
	}
	if n := number(t, s.metrics.busy.WithLabelValues("p")); n != 1 {
		t.Errorf("%v busy", n)
	}
}
