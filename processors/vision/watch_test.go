package vision

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
)

func TestLight(t *testing.T) {
	// Four pixels, grey 0.2, 0.4 above and 0.2, 0.4 below, but that the last has no blue; scaled by another mean and std for each channel.
	plan := Plan{Width: 2, Height: 2, Mean: [3]float32{0.5, 0.4, 0.3}, Std: [3]float32{0.2, 0.25, 0.5}}
	var planes []float32
	for c := range 3 {
		for i, v := range []float32{0.2, 0.4, 0.2, 0.4} {
			if c == 2 && i == 3 {
				v = 0
			}
			planes = append(planes, (v-plan.Mean[c])/plan.Std[c])
		}
	}
	var l light
	l.add(planes, &plan)
	last := 0.4 * (0.299 + 0.587)
	mean := (0.2 + 0.4 + 0.2 + last) / 4
	deviation := math.Sqrt((0.04+0.16+0.04+last*last)/4 - mean*mean)
	sharp := (0.2 + (last - 0.2) + 0 + (0.4 - last)) / 4 // right, right, below, below
	want := []float64{mean, deviation / mean, sharp / deviation, 0.4 / 4 / mean, 1.2 / 3.2, 0.8 / 3.2}
	for i, got := range l.append(nil) {
		if math.Abs(got-want[i]) > 1e-6 {
			t.Errorf("%s: %v, want %v", lightNames[i], got, want[i])
		}
	}
	var night light
	night.add(make([]float32, 12), &Plan{Width: 2, Height: 2})
	if got := night.append(nil); !slices.Equal(got, []float64{0, 0, 0, 0, 1. / 3, 1. / 3}) {
		t.Errorf("a black picture: %v", got)
	}
}

// still decodes JPEGs of the size that is asked for.
type still struct{}

func (still) Close() {}

func (still) Append(dst []float32, data []byte, plans []Plan) ([]float32, error) {
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return dst, err
	}
	for _, p := range plans {
		for c := range 3 {
			for y := range p.Height {
				for x := range p.Width {
					r, g, b, _ := img.At(x, y).RGBA()
					dst = append(dst, (float32([]uint32{r, g, b}[c])/65535-p.Mean[c])/p.Std[c])
				}
			}
		}
	}
	return dst, nil
}

// logits is a model that sees the person whom the shot says is there, by the red of a corner.
type logits struct{}

func (logits) SeeRuns(_ context.Context, m *model.Model, pictures []float32, n int, _ []model.Tensor, runs []event.Run) ([]model.Tensor, error) {
	out := model.Tensor{Name: "p", Shape: []int{n, 2}}
	for i := range n {
		out.Data = append(out.Data, 0, 4*pictures[i*3*m.Picture.Width*m.Picture.Height])
	}
	return []model.Tensor{out}, nil
}

const shotWidth, shotHeight = 24, 16

// scene is what a camera looks at: a hall whose lamps flicker a little and slowly, in which a person in red walks about at times.
type scene struct {
	rng           *rand.Rand
	base          float64
	lamps         float64
	person, walks float64
}

// shot is the next frame, a fifth of a second later, by an exposure.
func (s *scene) shot(t *testing.T, exposure float64) []byte {
	t.Helper()
	s.lamps = 0.9*s.lamps + 0.01*s.rng.NormFloat64()
	if s.walks--; s.walks < -20 && s.rng.IntN(10) == 0 {
		s.walks, s.person = float64(5+s.rng.IntN(20)), s.rng.Float64()
	}
	img := image.NewRGBA(image.Rect(0, 0, shotWidth, shotHeight))
	for y := range shotHeight {
		for x := range shotWidth {
			v := s.base + 0.3*float64((x/4+y/4)%2) + s.lamps
			rgb := [3]float64{v, v * 0.95, v * 0.9}
			if at := s.person * shotWidth; s.walks > 0 && math.Abs(float64(x)-at) < 2 {
				rgb = [3]float64{0.7, 0.2, 0.2}
			}
			var p [3]uint8
			for c := range p {
				p[c] = uint8(min(max(255*exposure*(rgb[c]+0.02*s.rng.NormFloat64()), 0), 255))
			}
			img.Set(x, y, color.RGBA{p[0], p[1], p[2], 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// guard watches two cameras; its log says what it has to say.
type guard struct {
	line *Line
	said bytes.Buffer
}

func newGuard(t *testing.T, model *model.Model) *guard {
	t.Helper()
	return newGuardOf(t, model, watched(60))
}

// watched is a watch in pieces of so many frames.
func watched(windows int) drift.Config {
	d := drift.Default()
	d.Windows, d.Learn, d.Every = windows, 400, time.Second
	return d
}

func newGuardOf(t *testing.T, model *model.Model, d drift.Config) *guard {
	t.Helper()
	cfg := Default()
	cfg.Newest, cfg.MaxAge, cfg.Keep.Every = false, 0, 0
	g := &guard{}
	var err error
	g.line, err = New("gate", cfg, Deps{Judge: Judge{Scorer: logits{}, Live: liveOf(model)}, Decoder: func() (Decoder, error) { return still{}, nil }, Machines: &Machines{}, Drift: d},
		NewMetrics(prometheus.NewRegistry()), slog.New(slog.NewTextHandler(&g.said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func liveOf(m *model.Model) func() *model.Model { return func() *model.Model { return m } }

// guardian is a model of the scene.
func guardian(version string) *model.Model {
	return &model.Model{Version: version, Meta: model.Meta{Task: model.Classification, Picture: &model.Picture{Width: shotWidth, Height: shotHeight, Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.25, 0.25, 0.25},
		Labels: []string{"clear", "person"}, Form: model.FormLogits, Threshold: 0.5, Normal: "clear"}}}
}

// record has two cameras take two frames a second for so many seconds; from a second on the first has half the exposure.
func record(t *testing.T, seed uint64, seconds, halved int) []event.Frame {
	t.Helper()
	scenes := []*scene{{rng: rand.New(rand.NewPCG(seed, 1)), base: 0.25}, {rng: rand.New(rand.NewPCG(seed, 2)), base: 0.5}}
	var frames []event.Frame
	for i := range 2 * seconds {
		for c, s := range scenes {
			exposure := 1.0
			if c == 0 && i/2 >= halved {
				exposure = 0.5
			}
			frames = append(frames, event.Frame{Offset: int64(len(frames)), Camera: fmt.Sprint("hall-", c+1), Captured: 1e15 + int64(i)*5e8, Width: shotWidth, Height: shotHeight, JPEG: s.shot(t, exposure)})
		}
	}
	return frames
}

// watch shows the frames, and has the partition restart after each of the chunks that stop names.
func (g *guard) watch(t *testing.T, frames []event.Frame, stops ...int) (sketches []event.Sketch) {
	t.Helper()
	p, err := g.line.Open("in", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { p.Close() }()
	const chunk = 10
	for at := 0; at < len(frames); at += chunk {
		if _, broken, err := p.See(t.Context(), frames[at:min(at+chunk, len(frames))], 0, nil); err != nil || len(broken) > 0 {
			t.Fatal(err, broken)
		}
		sketches = p.Sketches(sketches)
		if slices.Contains(stops, at/chunk) {
			state := p.Snapshot(nil)
			p.Close()
			if p, err = g.line.Open("in", 2); err != nil {
				t.Fatal(err)
			}
			if err := p.Restore(state); err != nil {
				t.Fatal(err)
			}
			if again := p.Snapshot(nil); !bytes.Equal(again, state) {
				t.Fatal("a state that was restored is another")
			}
		}
	}
	return sketches
}

// alarms is what the panel makes of sketches, with a restart every few of them.
func alarms(t *testing.T, sketches []event.Sketch) (all []event.Alarm, rounds int) {
	t.Helper()
	settings := func(string) (drift.Config, bool) { return watched(60), true }
	panel, seen := drift.NewPanel(settings), map[int64]bool{}
	for i := range sketches {
		s := sketches[i]
		s.Pipeline = "gate"
		r, a := panel.Add(&s)
		for _, r := range r {
			if seen[r.Number] {
				t.Errorf("two rounds have the number %d", r.Number)
			}
			seen[r.Number] = true
		}
		rounds += len(r)
		all = append(all, a...)
		if i%7 == 0 {
			state, err := panel.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			panel = drift.NewPanel(settings)
			if err := panel.Restore(state); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all, rounds
}

// Cameras whose scenes stay as they were raise no alarm; one whose exposure is halved does, and the cause that is told first is that it is darker.
func TestWatchFrames(t *testing.T) {
	const seconds, halved = 900, 600
	calm, dim := record(t, 1, seconds, seconds), record(t, 1, seconds, halved)
	sketches := newGuard(t, guardian("m")).watch(t, calm)
	found, rounds := alarms(t, sketches)
	if len(found) > 0 {
		t.Errorf("nothing has changed: %+v", found)
	}
	// A frame a second of two cameras: 400 to learn, then pieces of 60.
	if want := (2*seconds - 400) / 60; len(sketches) != 2*want || rounds < want-2 {
		t.Errorf("%d sketches and %d rounds of %d pieces", len(sketches), rounds, want)
	}
	if groups := []string{sketches[0].Group, sketches[1].Group}; !slices.Equal(groups, []string{"hall-1", "hall-2"}) || sketches[0].Windows != 30 || sketches[0].Version != "m" || sketches[0].Reference != event.ReferenceLine {
		t.Errorf("groups %q, first %+v", groups, sketches[0])
	}
	found, _ = alarms(t, newGuard(t, guardian("m")).watch(t, dim))
	i := slices.IndexFunc(found, func(a event.Alarm) bool { return a.Kind == event.AlarmInput })
	if i < 0 {
		t.Fatalf("half the exposure raised %+v", found)
	}
	a := found[i]
	first := a.Causes[0]
	if first.Feature != "brightness" || first.Group != "hall-1" || first.Now > 0.65*first.Before || a.Since < 1e15+(halved-60)*1e9 || a.Since > 1e15+(halved+60)*1e9 {
		t.Errorf("%+v", a)
	}
	for _, c := range a.Causes {
		if c.Group == "hall-2" {
			t.Errorf("the other camera is as it was: %+v", c)
		}
	}
}

// A restart, while a reference is learned or later, changes no sketch; another model learns its own reference, and a camera that the reference does not know is a group of its own.
func TestWatchRestart(t *testing.T) {
	frames := record(t, 1, 450, 450)
	want := newGuard(t, guardian("m")).watch(t, frames)
	got := newGuard(t, guardian("m")).watch(t, frames, 3, 50, 51, 79, 80, 81, 100, 140)
	if len(want) < 10 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d sketches, %d without a restart, and not the same", len(got), len(want))
	}
	g := newGuard(t, guardian("m"))
	live := guardian("m")
	g.line.deps.Judge.Live = func() *model.Model { return live }
	p, err := g.line.Open("in", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	see := func(frames ...event.Frame) {
		t.Helper()
		if _, _, err := p.See(t.Context(), frames, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	see(frames[:1000]...) // 500 that count: 400 to learn, one piece, 40 more
	stranger := frames[1000]
	stranger.Camera = "hall-3"
	see(stranger)
	if !strings.Contains(g.said.String(), "hall-3") {
		t.Errorf("nothing is said of a camera that came later: %s", g.said.String())
	}
	live = guardian("other")
	see(frames[1000:1400]...)
	sketches := p.Sketches(nil)
	// The piece that the camera ended, and the one that the other model did: of the camera's one frame.
	if n := len(sketches); n != 5 || sketches[3].Version != "m" || sketches[2].Windows+sketches[3].Windows != 40 || sketches[2].Piece != 1 || !sketches[3].Last || sketches[2].Stranger ||
		sketches[4].Group != "hall-3 (new)" || !sketches[4].Stranger || sketches[4].Windows != 1 || sketches[4].Piece != 2 {
		t.Errorf("the pieces that the other camera and the other model ended: %+v", sketches)
	}
	if r := p.watch; r.model.Version != "other" || r.monitor != nil || len(r.rows.At) < 199 || len(r.rows.At) > 201 {
		t.Errorf("the other model has %d frames to learn from", len(r.rows.At))
	}
}
