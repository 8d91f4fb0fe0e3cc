package vision

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

// seer is logits with an embedding: the light of the quarters of a picture, and how much of red there is.
type seer struct{ logits }

func (s seer) SeeRuns(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor, runs []event.Run) ([]model.Tensor, error) {
	outs, err := s.logits.SeeRuns(ctx, m, pictures, n, dst, runs)
	const size = shotWidth * shotHeight
	e := model.Tensor{Name: model.Embedding, Shape: []int{n, 5}}
	for i := range n {
		var v [5]float32
		picture := pictures[i*3*size:]
		for at := range size {
			quarter := at%shotWidth*2/shotWidth + at/shotWidth*2/shotHeight*2
			v[quarter] += picture[size+at] / (size / 4)
			v[4] += max(picture[at]-picture[size+at], 0) / 16
		}
		e.Data = append(e.Data, v[:]...)
	}
	return append(outs, e), err
}

// halls has so many cameras take two frames a second for so many seconds; change, which may be nil, says how a camera's frame of a second is exposed and whether somebody always walks there.
func halls(t *testing.T, seed uint64, cameras, seconds int, change func(camera, second int) (exposure float64, crowd bool)) []event.Frame {
	t.Helper()
	var scenes []*scene
	for c := range cameras {
		scenes = append(scenes, &scene{rng: rand.New(rand.NewPCG(seed, uint64(c))), base: 0.2 + 0.06*float64(c%5)})
	}
	var frames []event.Frame
	for i := range 2 * seconds {
		for c, s := range scenes {
			exposure := 1.0
			if change != nil {
				var crowd bool
				if exposure, crowd = change(c, i/2); crowd && s.walks < 1 {
					s.walks, s.person = 2, s.rng.Float64()/8
				}
			}
			frames = append(frames, event.Frame{Offset: int64(len(frames)), Camera: fmt.Sprint("hall-", c+1), Captured: 1e15 + int64(i)*5e8, Width: shotWidth, Height: shotHeight, JPEG: s.shot(t, exposure)})
		}
	}
	return frames
}

// referred makes the guardian's file as a training does: of frames of which it has learned from two in three, in turns of ten seconds; those that it got wrong have another class.
func referred(t *testing.T, frames []event.Frame, wrong float64) *model.Model {
	t.Helper()
	m := guardian("m")
	line := Default()
	r := NewReference(&m.Meta, &line, watched(200))
	rng := rand.New(rand.NewPCG(3, 3))
	plan := Plan{X1: 1, Y1: 1, Width: shotWidth, Height: shotHeight, Mean: m.Picture.Mean, Std: m.Picture.Std}
	for i := range frames {
		f := &frames[i]
		learned := f.Captured/1e10%3 > 0
		if !r.Wants(f.Camera, f.Captured, learned) {
			continue
		}
		planes, err := still{}.Append(nil, f.JPEG, []Plan{plan})
		if err != nil {
			t.Fatal(err)
		}
		outs, err := seer{}.SeeRuns(t.Context(), m, planes, 1, nil, make([]event.Run, 1))
		if err != nil {
			t.Fatal(err)
		}
		class := "clear"
		if person := outs[0].Data[1] > 0; person != (rng.Float64() < wrong) {
			class = "person"
		}
		if err := r.Add(&Shown{Camera: f.Camera, Captured: f.Captured, Learned: learned, Pictures: []Looked{{Planes: planes, Outs: outs, Class: class}}}); err != nil {
			t.Fatal(err)
		}
	}
	file, err := r.File()
	if err != nil {
		t.Fatal(err)
	}
	if len(file) > 60_000 {
		t.Errorf("a reference of %d bytes", len(file))
	}
	m.Reference = file
	return m
}

func seers(t *testing.T, m *model.Model) *guard {
	t.Helper()
	g := newGuardOf(t, m, watched(200))
	g.line.deps.Judge.Scorer = seer{}
	return g
}

// A model that brings its reference is held against it from its first frame on. Where nothing changes nothing is raised, also of a camera that the model does not know and that is of the same kind; a restart at any time
// changes no sketch.
func TestReferenceKeepsQuiet(t *testing.T) {
	m := referred(t, halls(t, 1, 4, 400, nil), 0.1)
	frames := halls(t, 2, 5, 500, nil)
	g := seers(t, m)
	sketches := g.watch(t, frames)
	found, rounds := alarms(t, sketches)
	if len(found) > 0 {
		t.Errorf("nothing has changed: %+v", found)
	}
	if rounds < 10 || sketches[0].Reference != event.ReferenceModel || strings.Count(g.said.String(), "learned from the first frames") != 1 {
		t.Errorf("%d rounds, reference %s; %s", rounds, sketches[0].Reference, g.said.String())
	}
	strangers, guest := 0, 0
	for _, s := range sketches {
		if s.Apart != "" {
			if guest++; s.Apart != "hall-5" || s.Group != "hall-5" || s.Stranger || s.Reference != event.ReferenceLine || s.Windows != 200 ||
				!slices.ContainsFunc(s.Features, func(f event.SketchFeature) bool { return f.Role == event.RoleLoss }) {
				t.Fatalf("what is apart: %+v", s)
			}
		}
		if s.Stranger {
			strangers++
			if s.Group != "hall-5 (new)" {
				t.Fatalf("%s is a stranger", s.Group)
			}
		}
	}
	// 500 frames: 200 to learn.
	if strangers < 10 || guest != 1 {
		t.Errorf("%d sketches of the camera that the model does not know, %d of it alone", strangers, guest)
	}
	again := seers(t, m).watch(t, frames, 0, 1, 7, 50, 51, 52, 200, 333)
	if got, want := fmt.Sprintf("%+v", again), fmt.Sprintf("%+v", sketches); len(again) != len(sketches) || strip(got) != strip(want) {
		t.Errorf("%d sketches with restarts, %d without, and not the same", len(again), len(sketches))
	}
}

// strip takes out addresses.
func strip(s string) string {
	parts := strings.Split(s, "0xc")
	for i := range parts[1:] {
		parts[i+1] = strings.TrimLeft(parts[i+1], "0123456789abcdef")
	}
	return strings.Join(parts, "")
}

// Half the exposure of one camera is told as a camera that is darker, in that camera.
func TestReferenceFindsExposure(t *testing.T) {
	m := referred(t, halls(t, 1, 4, 400, nil), 0.1)
	sketches := seers(t, m).watch(t, halls(t, 2, 4, 500, func(camera, second int) (float64, bool) {
		if camera == 1 && second >= 250 {
			return 0.5, false
		}
		return 1, false
	}))
	found, _ := alarms(t, sketches)
	i := slices.IndexFunc(found, func(a event.Alarm) bool { return a.Kind == event.AlarmInput })
	if i < 0 {
		t.Fatalf("half the exposure raised %+v", found)
	}
	c := found[i].Causes[0]
	if c.Feature != "brightness" || c.Group != "hall-2" || c.Now > 0.65*c.Before {
		t.Errorf("%+v", found[i])
	}
	for _, a := range found {
		for _, c := range a.Causes {
			if c.Group != "hall-2" && c.Group != drift.Fleet {
				t.Errorf("%s is blamed: %s", c.Group, a.Detail)
			}
		}
	}
	embedded := false
	for _, c := range found[i].Causes {
		embedded = embedded || c.Feature == drift.EmbeddingName
	}
	if !embedded {
		t.Errorf("the embedding is as it was: %+v", found[i].Causes)
	}
}

// A model of one camera knows nothing of how cameras differ: another one is not called changed for what it is, and is when it changes, by its own first frames; and when it has gone its alarm is over.
func TestGuestIsWatched(t *testing.T) {
	m := referred(t, halls(t, 1, 1, 500, nil), 0.1)
	frames := halls(t, 2, 2, 1100, func(camera, second int) (float64, bool) {
		if camera == 1 && second >= 600 {
			return 0.5, false
		}
		return 1, false
	})
	for _, stops := range [][]int{nil, {3, 60, 100, 250, 251}} {
		g := newGuardOf(t, m, watched(100))
		g.line.deps.Judge.Scorer = seer{}
		found, _ := alarms(t, g.watch(t, frames, stops...))
		i := slices.IndexFunc(found, func(a event.Alarm) bool { return a.Kind == event.AlarmInput })
		if i < 0 {
			t.Fatalf("half the exposure raised %+v", found)
		}
		// What is expected of the model is told of that camera's frames only, and upwards.
		if j := slices.IndexFunc(found, func(a event.Alarm) bool { return a.Kind == event.AlarmEstimated }); j >= 0 && (found[j].Causes[0].Group != "hall-2" || !(found[j].Loss > found[j].Before)) {
			t.Errorf("%+v", found[j])
		}
		a := found[i]
		if c := a.Causes[0]; c.Feature != "brightness" || c.Group != "hall-2" || c.Now > 0.65*c.Before || a.Since < 1e15+450*1e9 || !strings.HasSuffix(a.ID[:strings.LastIndex(a.ID, "/")], "m/hall-2") {
			t.Errorf("%+v", a)
		}
		for _, a := range found {
			for _, c := range a.Causes {
				if c.Group != "hall-2" {
					t.Errorf("%s is blamed: %s", c.Group, a.Detail)
				}
			}
		}
	}
}

// A state that an earlier program wrote, of a camera that was watched by other inputs, is told of and learned anew.
func TestGuestOfOtherInputs(t *testing.T) {
	m := referred(t, halls(t, 1, 1, 500, nil), 0.1)
	g := seers(t, m)
	frames := halls(t, 2, 2, 320, nil)
	p, err := g.line.Open("in", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, _, err := p.See(t.Context(), frames[:1200], 0, nil); err != nil {
		t.Fatal(err)
	}
	s := p.watch.save()
	for _, spoil := range []func(*savedWatch){
		func(o *savedWatch) { // without what is expected to be lost
			w := p.watch.guests["hall-2"]
			rows := drift.Rows{From: event.ReferenceLine, Condition: 0, Piece: 200, Risk: -1, Threshold: 0.5, Alone: true}
			rows.Names, rows.Roles = inputs(m, nil)
			for i := range 200 {
				rows.Values = append(rows.Values, 0)
				for range rows.Names[1:] {
					rows.Values = append(rows.Values, float64(i%17))
				}
				rows.Asset, rows.At = append(rows.Asset, 0), append(rows.At, int64(i))
			}
			file, err := learn(rows, []string{"hall-2"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			*o = savedWatch{Version: w.model.Version, Cameras: []string{"hall-2"}, Reference: file}
		},
		func(o *savedWatch) {
			*o = savedWatch{Version: "m", Cameras: []string{"hall-2"}, Rows: make([]byte, 8+4*12)}
		},
	} {
		old := *s.Guests["hall-2"]
		spoil(&old)
		of := *s
		of.Guests = map[string]*savedWatch{"hall-2": &old}
		g.said.Reset()
		p.watch.turn(nil)
		p.watch.saved = &of
		if _, _, err := p.See(t.Context(), frames[1200:], 0, nil); err != nil {
			t.Fatal(err)
		}
		if r := p.watch.guests["hall-2"]; !strings.Contains(g.said.String(), "of other inputs") || r.monitor != nil || len(r.rows.At) == 0 {
			t.Errorf("%d rows; %s", len(r.rows.At), g.said.String())
		}
	}
}

// Estimated loss is what the held-out frames say that so sure a model loses: where it is less sure than it was an alarm says so before any label does.
func TestReferenceEstimates(t *testing.T) {
	m := referred(t, halls(t, 1, 3, 600, nil), 0.1)
	p, err := drift.ReadPictures(m.Reference)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Judges || !slices.Equal(p.Cameras, []string{"hall-1", "hall-2", "hall-3"}) || p.Kernel == nil || !slices.Contains(p.Inputs, inputLoss) || p.Risk < 0 || p.Measured["accuracy"] < 0.8 {
		t.Fatalf("%+v of %v judges %v, measured %v", p.Inputs, p.Cameras, p.Judges, p.Measured)
	}
	estimate := func(sketches []event.Sketch, metric string) (value, before float64) {
		cfg := watched(60)
		panel := drift.NewPanel(func(string) (drift.Config, bool) { return cfg, true })
		n := 0.0
		for i := range sketches {
			s := sketches[i]
			s.Pipeline = "gate"
			rounds, _ := panel.Add(&s)
			for _, r := range rounds {
				for _, e := range r.Estimates {
					if e.Metric == metric {
						value, before, n = value+e.Value, before+e.Before, n+1
					}
				}
			}
		}
		return value / n, before / n
	}
	calm := seers(t, m).watch(t, halls(t, 2, 3, 600, nil))
	loss, before := estimate(calm, "loss")
	if loss < 0.05 || loss > 0.15 || before < 0.05 || before > 0.15 {
		t.Errorf("one in ten is wrong: %.3f is expected, %.3f at training", loss, before)
	}
	if accuracy, _ := estimate(calm, "accuracy"); accuracy < 0.85 || accuracy > 0.95 {
		t.Errorf("an accuracy of %.3f is expected", accuracy)
	}
}

// Of too few frames, or of frames that are all learned from, there is no reference, and the line learns one; one that is damaged, or of a line that crops, is told of and not used.
func TestReferenceIsNone(t *testing.T) {
	m := guardian("m")
	line := Default()
	r := NewReference(&m.Meta, &line, watched(200))
	if file, err := r.File(); file != nil || err != nil {
		t.Errorf("%d bytes, %v", len(file), err)
	}
	if err := r.Add(&Shown{Camera: "a", Pictures: []Looked{{Planes: make([]float32, 3*shotWidth*shotHeight), Outs: []model.Tensor{{Name: "p", Shape: []int{1, 3}, Data: make([]float32, 3)}}}}}); err == nil {
		t.Error("outputs of another form were taken")
	}
	m = referred(t, halls(t, 1, 2, 200, nil), 0.1)
	damaged := *m
	damaged.Reference = m.Reference[:len(m.Reference)/2]
	g := seers(t, &damaged)
	sketches := g.watch(t, halls(t, 2, 2, 320, nil))
	if len(sketches) == 0 || sketches[0].Reference != event.ReferenceLine || !strings.Contains(g.said.String(), "of no use") {
		t.Errorf("%d sketches; %s", len(sketches), g.said.String())
	}
}

// A canary that scores some cameras is watched beside the champion, with its own version; when it becomes the champion its piece goes on, also over a restart.
func TestCanaryIsWatched(t *testing.T) {
	champion := referred(t, halls(t, 1, 4, 400, nil), 0.1)
	other := *champion
	other.Version = "n"
	g := seers(t, champion)
	live, canary := champion, &other
	g.line.deps.Judge.Live = func() *model.Model { return live }
	g.line.deps.Judge.Canary = func() (*model.Model, float64) { return canary, 75 }
	frames := halls(t, 2, 4, 300, nil)
	p, err := g.line.Open("in", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.Close() }()
	var sketches []event.Sketch
	see := func(frames []event.Frame) {
		for at := 0; at < len(frames); at += 8 {
			if _, _, err := p.See(t.Context(), frames[at:at+8], 0, nil); err != nil {
				t.Fatal(err)
			}
			sketches = p.Sketches(sketches)
		}
		state := p.Snapshot(nil)
		p.Close()
		if p, err = g.line.Open("in", 2); err != nil {
			t.Fatal(err)
		}
		if err := p.Restore(state); err != nil {
			t.Fatal(err)
		}
		if again := p.Snapshot(nil); string(again) != string(state) {
			t.Fatal("a state that was restored is another")
		}
	}
	see(frames[:1600])
	see(frames[1600:1616])
	shared := map[string]bool{}
	windows := map[string]int{}
	for _, s := range sketches {
		windows[s.Version] += s.Windows
		if share := model.InShare(s.Group, 75); share != (s.Version == "n") {
			t.Fatalf("%s of model %s", s.Group, s.Version)
		}
		shared[s.Version] = true
	}
	if !shared["m"] || !shared["n"] || windows["m"]+windows["n"] < 400 {
		t.Fatalf("frames by model: %v", windows)
	}
	before := len(sketches)
	live, canary = canary, nil
	see(frames[1616:])
	for _, s := range sketches[before:] {
		windows[s.Version] += s.Windows
	}
	// All frames that count but those of the last piece: none is lost by the change.
	if n := windows["m"] + windows["n"]; n < 1200-200 || n > 1200 {
		t.Errorf("%d of 1200 frames are in pieces: %v", n, windows)
	}
}
