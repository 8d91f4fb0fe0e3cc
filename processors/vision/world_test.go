package vision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"andon/event"
	"andon/model"
	"andon/processors/vision/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a line works with. A frame's JPEG is text: "0.9" is a picture of a person with that probability, "box x0 y0 x1 y1" one with a box, "torn" one that cannot be decoded.
type world struct {
	t     *testing.T
	mu    sync.Mutex
	now   time.Time
	live  *model.Model
	other *model.Model // canary or shadow
	share float64
	shade *model.Model
	fails error // of the scorer
	calls []string

	alerts []event.Alert
	shown  []string
	kept   map[string]Item
	refuse bool // of the evidence store
}

func newWorld(t *testing.T) *world {
	return &world{t: t, now: time.Unix(1_000_000, 0), kept: map[string]Item{}}
}

func (w *world) line(change func(c *Config)) *Line {
	w.t.Helper()
	cfg := Default()
	cfg.Keep.Every = 0
	if change != nil {
		change(&cfg)
	}
	l, err := New("gate", cfg, Deps{
		Judge: Judge{Scorer: w, Live: func() *model.Model { return w.live }, Canary: func() (*model.Model, float64) { return w.other, w.share },
			Shadow: func() *model.Model { return w.shade }},
		Decoder: func() (Decoder, error) { return decoder{}, nil },
		Alert:   func(a event.Alert) { w.alerts = append(w.alerts, a) },
		Show: func(pipeline string, f *event.Frame, s *event.Sight) {
			w.shown = append(w.shown, fmt.Sprintf("%s %d %s", f.Camera, f.Offset, s.Status))
		},
		Evidence: w, Machines: &Machines{},
	}, NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	l.now = func() time.Time { return w.now }
	return l
}

func (w *world) open(l *Line) *Partition {
	w.t.Helper()
	p, err := l.Open("in", 2)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

// frame is captured so long ago.
func (w *world) frame(offset int64, camera string, ago time.Duration, picture string) event.Frame {
	return event.Frame{Offset: offset, Camera: camera, Captured: w.now.Add(-ago).UnixNano(), Sequence: offset, Width: 64, Height: 36, JPEG: []byte(picture)}
}

func (w *world) see(p *Partition, frames ...event.Frame) []event.Sight {
	w.t.Helper()
	sights, _, err := p.See(context.Background(), frames, w.now.UnixNano(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return sights
}

// classifier says how probable a person is; boxer where he is.
func classifier(version string) *model.Model {
	return &model.Model{Version: version, Meta: model.Meta{Task: model.Classification, Picture: &model.Picture{Width: 2, Height: 2, Labels: []string{"clear", "person"}, Form: model.FormProbabilities, Threshold: 0.5, Normal: "clear"}}}
}

func boxer(version string) *model.Model {
	return &model.Model{Version: version, Meta: model.Meta{Task: model.Detection, Picture: &model.Picture{Width: 100, Height: 100, Labels: []string{"person"}, Form: model.FormYOLOv8, Threshold: 0.5, Overlap: 0.5}}}
}

// decoder writes what the text says into the first numbers of the planes, and the crop into those that follow.
type decoder struct{}

func (decoder) Close() {}

func (decoder) Append(dst []float32, jpeg []byte, plans []Plan) ([]float32, error) {
	var v [4]float32
	if n, _ := fmt.Sscanf(string(jpeg), "box %g %g %g %g", &v[0], &v[1], &v[2], &v[3]); n != 4 {
		v = [4]float32{}
		if _, err := fmt.Sscanf(string(jpeg), "%g", &v[0]); err != nil {
			return dst, errors.New("the JPEG cannot be decoded: it is torn")
		}
	}
	for _, p := range plans {
		at := len(dst)
		dst = append(dst, make([]float32, 3*p.Width*p.Height)...)
		copy(dst[at:], v[:])
		dst[at+4] = float32(p.X0)
	}
	return dst, nil
}

// SeeRuns says what the planes say.
func (w *world) SeeRuns(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor, runs []event.Run) ([]model.Tensor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, fmt.Sprintf("%s×%d", m.Version, n))
	if w.fails != nil {
		return dst, w.fails
	}
	size := 3 * m.Picture.Width * m.Picture.Height
	if len(pictures) != n*size {
		return dst, fmt.Errorf("%d numbers for %d pictures", len(pictures), n)
	}
	if m.Task == model.Classification {
		out := model.Tensor{Name: "p", Shape: []int{n, 2}}
		for i := range n {
			runs[i] = event.Run{Batch: uint32(n)}
			x := pictures[i*size]
			out.Data = append(out.Data, 1-x, x)
		}
		return []model.Tensor{out}, nil
	}
	out := model.Tensor{Name: "boxes", Shape: []int{n, 5, 1}}
	for i := range n {
		runs[i] = event.Run{Batch: uint32(n)}
		b := pictures[i*size : i*size+4]
		out.Data = append(out.Data, 50*(b[0]+b[2]), 50*(b[1]+b[3]), 100*(b[2]-b[0]), 100*(b[3]-b[1]), 0.9)
	}
	return []model.Tensor{out}, nil
}

func (w *world) Ref(i *Item) string {
	return fmt.Sprintf("%s/%s/%d.jpg", i.Pipeline, i.Camera, i.Captured)
}

func (w *world) Put(_ context.Context, i *Item) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse {
		return "", errors.New("the disk is full")
	}
	w.kept[w.Ref(i)] = *i
	return w.Ref(i), nil
}

func (w *world) Get(_ context.Context, ref string) ([]byte, []byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := w.kept[ref]
	if !ok {
		return nil, nil, errors.New("there is no " + ref)
	}
	note, err := json.Marshal(i.Note)
	return i.JPEG, note, err
}

func statuses(sights []event.Sight) (all []string) {
	for _, s := range sights {
		all = append(all, s.Status)
	}
	return all
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

var gate = rules.Zone{Name: "gate", Inertia: 1, Polygon: []rules.Point{{X: 0, Y: 0.5}, {X: 1, Y: 0.5}, {X: 1, Y: 1}, {X: 0, Y: 1}}}
