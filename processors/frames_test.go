package processors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/processors/vision"
	"andon/processors/vision/rules"
)

// looks is the world's eye: a picture is what its text says, and a model sees the person in it.
type looks struct {
	w      *world
	alerts []event.Alert
}

func (looks) Append(dst []float32, jpeg []byte, plans []vision.Plan) ([]float32, error) {
	if string(jpeg) == "torn" {
		return dst, errors.New("it is torn")
	}
	for range plans {
		dst = append(dst, float32(len(jpeg))/10, 0, 0)
	}
	return dst, nil
}

func (looks) Close() {}

func (l *looks) SeeRuns(_ context.Context, _ *model.Model, pictures []float32, n int, _ []model.Tensor, _ []event.Run) ([]model.Tensor, error) {
	out := model.Tensor{Shape: []int{n, 2}}
	err := l.w.step(func() {
		for i := range n {
			out.Data = append(out.Data, 1-pictures[3*i], pictures[3*i])
		}
	})
	if err != nil {
		l.w.turn.Lock()
		l.w.dead = true // the line would go on without the model
		l.w.turn.Unlock()
	}
	return []model.Tensor{out}, err
}

// eyed is a line of frames of which each is scored, so that what it stores follows from the log alone. A rule fires at whoever stays for three frames.
func (w *world) eyed(t *testing.T, flush int) (*Line, *looks) {
	t.Helper()
	return w.watching(t, flush, drift.Config{})
}

// watching is one that is watched for drift.
func (w *world) watching(t *testing.T, flush int, d drift.Config) (*Line, *looks) {
	t.Helper()
	look := &looks{w: w}
	cfg := vision.Default()
	cfg.Newest, cfg.MaxAge, cfg.Pictures = false, 0, 3
	cfg.Rules = []rules.Rule{{Name: "stays", Inertia: 3, Severity: event.SeverityWarning}}
	m := &model.Model{Version: "eye", Meta: model.Meta{Task: model.Classification,
		Picture: &model.Picture{Width: 1, Height: 1, Labels: []string{"clear", "person"}, Form: model.FormProbabilities, Threshold: 0.5, Normal: "clear"}}}
	quiet := slog.New(slog.DiscardHandler)
	eye, err := vision.New("p", cfg, vision.Deps{Judge: vision.Judge{Scorer: look, Live: func() *model.Model { return m }}, Decoder: func() (vision.Decoder, error) { return look, nil },
		Alert: func(a event.Alert) { look.alerts = append(look.alerts, a) }, Drift: d}, vision.NewMetrics(prometheus.NewRegistry()), quiet)
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Pipeline, c.Vision = "p", eye
	c.Flush.Rows = flush
	l, err := New(c, Judge{}, Outlets{w, w, w, w}, NewMetrics(prometheus.NewRegistry()), quiet)
	if err != nil {
		t.Fatal(err)
	}
	l.patience = 0
	return l, look
}

// footage is what two cameras saw, with gaps, frames that cannot be read and some that cannot be decoded.
func footage(rng *rand.Rand, n int) (log []entry, end int64) {
	for i := range n {
		end += 1 + int64(rng.IntN(6)/5)
		at := event.Position{Topic: "t", Partition: 1, Offset: end - 1}
		if rng.IntN(20) == 0 {
			log = append(log, entry{offset: at.Offset, reject: &event.DeadLetter{Record: event.Record{Position: at, Value: []byte("?")}, Pipeline: "p", Reason: event.ReasonMalformed}})
			continue
		}
		picture := strings.Repeat("x", 1+rng.IntN(9)) // a person's probability in tenths
		if rng.IntN(15) == 0 {
			picture = "torn"
		}
		log = append(log, entry{offset: at.Offset, frame: &event.Frame{Offset: at.Offset, Camera: fmt.Sprint("camera-", rng.IntN(2)), Captured: int64(i+1) * 1e8, Width: 4, Height: 3, JPEG: []byte(picture)}})
	}
	return log, end
}

// Whatever crashes when, each frame is stored once, a broken one is a dead letter once, and rules fire as if nothing had happened.
func TestFramesExactlyOnce(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 11))
		w := newWorld()
		w.log, w.end = footage(rng, 200)
		w.rng = rand.New(rand.NewPCG(seed, 13))
		whole := newWorld()
		whole.log, whole.end = w.log, w.end
		plain, calm := whole.eyed(t, 7)
		if err := whole.run(t.Context(), plain, rand.New(rand.NewPCG(seed, 12))); err != nil {
			t.Fatal(err)
		}
		crashes := 0
		alerts := map[string]bool{}
		for done := false; !done; {
			l, look := w.eyed(t, 3+rng.IntN(20))
			w.fuse = rng.IntN(60)
			if crashes > 40 {
				w.fuse = -1
			}
			err := w.run(t.Context(), l, rng)
			if done = err == nil; !done {
				crashes++
				if !errors.Is(err, errCrash) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			for _, a := range look.alerts {
				alerts[told(a)] = true
			}
		}
		if got, want := w.stored(t), whole.stored(t); !slices.Equal(got, want) {
			t.Fatalf("seed %d, %d crashes:\n%s\nwant\n%s", seed, crashes, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, a := range calm.alerts {
			if !alerts[told(a)] {
				t.Fatalf("seed %d: after %d crashes %s was never told", seed, crashes, told(a))
			}
			delete(alerts, told(a))
		}
		if len(alerts) > 0 || len(calm.alerts) == 0 {
			t.Fatalf("seed %d: told of %v, which nobody else was", seed, alerts)
		}
		for offset, n := range w.sent {
			if n > crashes+1 {
				t.Fatalf("offset %d was published %d times", offset, n)
			}
		}
	}
}

// What is watched of frames is stored once, too, and is the same whatever crashes when.
func TestFrameDriftExactlyOnce(t *testing.T) {
	d := drift.Default()
	d.Windows, d.Learn, d.Every = 50, 200, 150*time.Millisecond // about two frames in three
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 13))
		w, whole := newWorld(), newWorld()
		w.log, w.end = footage(rng, 800)
		w.rng, whole.log, whole.end = rand.New(rand.NewPCG(seed, 15)), w.log, w.end
		plain, _ := whole.watching(t, 7, d)
		if err := whole.run(t.Context(), plain, rand.New(rand.NewPCG(seed, 14))); err != nil {
			t.Fatal(err)
		}
		crashes := 0
		for done := false; !done; {
			l, _ := w.watching(t, 10+rng.IntN(30), d)
			w.fuse = 20 + rng.IntN(100)
			if crashes > 40 {
				w.fuse = -1
			}
			err := w.run(t.Context(), l, rng)
			if done = err == nil; !done {
				crashes++
				if !errors.Is(err, errCrash) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		got, want := w.stored(t), whole.stored(t)
		pieces := 0
		for _, row := range want {
			if strings.Contains(row, "brightness") {
				pieces++
			}
		}
		if !slices.Equal(got, want) || pieces < 8 || crashes == 0 {
			t.Fatalf("seed %d, %d crashes, %d sketches: %d rows, %d without a crash, or not the same", seed, crashes, pieces, len(got), len(want))
		}
	}
}

// told is an alert without what depends on the clock.
func told(a event.Alert) string { return fmt.Sprint(a.ID, " ", a.Resolved, " ", a.Since) }

// A range that is formed again under other settings keeps what is stored of it.
func TestFramesSettle(t *testing.T) {
	b := &event.Block{Sights: []event.Sight{{Position: event.Position{Offset: 3}}, {Position: event.Position{Offset: 4}}, {Position: event.Position{Offset: 5}}}}
	without(b, set([]int64{4}), nil)
	if len(b.Sights) != 2 || b.Sights[0].Offset != 3 || b.Sights[1].Offset != 5 {
		t.Errorf("%+v", b.Sights)
	}
}

// A block that is being stored does not hold up the frames that come meanwhile, until the next is full.
func TestFramesDoNotWait(t *testing.T) {
	w := newWorld()
	w.log, w.end = footage(rand.New(rand.NewPCG(3, 4)), 30)
	gate := make(chan struct{})
	w.before = func() { <-gate }
	l, _ := w.eyed(t, 10)
	p, at, err := l.Open(t.Context(), w.assignment())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	open := sync.OnceFunc(func() { close(gate) })
	defer open() // before Close, which waits
	handle := func(next int64) {
		t.Helper()
		if err := p.Handle(t.Context(), w.batch(at, next)); err != nil {
			t.Fatal(err)
		}
		at = next
	}
	handle(w.log[9].offset + 1) // full, and under way to a sink that does not answer
	handle(w.log[15].offset + 1)
	if seen := p.records(); seen < 3 || p.beside.done == nil {
		t.Fatalf("%d records are in the next block, being stored %v", seen, p.beside.done != nil)
	}
	if due := p.Due(); !due.After(l.now()) {
		t.Errorf("due %v while something is being stored", due)
	}
	if err := p.Tend(t.Context()); err != nil || p.beside.done == nil {
		t.Errorf("Tend waited: %v", err)
	}
	open()
	handle(w.end)
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(w.stored(t)); w.committed != w.end || n < 30 {
		t.Errorf("%d rows are stored, committed %d of %d", n, w.committed, w.end)
	}
}
