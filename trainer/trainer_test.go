package trainer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
)

// school is a trainer on a fake store and registry, running in a bubble of virtual time.
type school struct {
	*Trainer
	store *warehouse
	shelf *shelf

	mu   sync.Mutex
	said []event.Training
}

// told returns what went to out.
func (s *school) told() []event.Training {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

func open(t *testing.T, pipelines ...Pipeline) *school {
	s := &school{store: &warehouse{}, shelf: &shelf{}}
	out := func(e event.Training) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.said = append(s.said, e)
	}
	s.Trainer = New(Default(), pipelines, s.store, s.shelf, out, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return s
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *school) expect(t *testing.T, v Verdict, reason string) {
	t.Helper()
	d, ok := s.Decision("pumps")
	if !ok || d.Verdict != v || !strings.Contains(d.Reason, reason) {
		t.Errorf("decided %s: %s (%v), want %s: %s", d.Verdict, d.Reason, ok, v, reason)
	}
}

func TestFirstModel(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := pumps()
		p.Spec.Epochs = 2
		s := open(t, p)
		after(10 * time.Second)
		s.expect(t, Wait, "0 of 6 assets have failed")
		fill(s.store, 8)
		after(4 * time.Second)
		s.expect(t, Wait, "8 assets have failed, the last label came")
		if len(s.told()) != 0 {
			t.Fatalf("started while labels came: %+v", s.told())
		}
		after(3 * time.Second)
		s.expect(t, Content, "champion")

		want := []string{event.TrainingStarted, event.TrainingEpoch, event.TrainingEpoch, event.TrainingFinished}
		if got := s.store.states(); !slices.Equal(got, want) || len(s.told()) != len(want) {
			t.Fatalf("states %v, told %d", got, len(s.told()))
		}
		first, last := s.told()[0], s.told()[3]
		if first.Detail != "no champion, and 8 assets have failed" || first.Rows == 0 || first.Epochs != 2 || !math.IsNaN(first.Loss) {
			t.Errorf("started: %+v", first)
		}
		if m := s.shelf.Live("pumps"); m == nil || last.Version != m.Version || last.Epoch != 2 || last.Loss != s.told()[2].Loss || last.Run != first.Run ||
			m.Lineage.Run != first.Run || !strings.Contains(last.Detail, "validation error") {
			t.Errorf("finished: %+v", last)
		}
		if !slices.Equal(s.shelf.why, []string{"trainer: no champion, and 8 assets have failed"}) {
			t.Errorf("promoted: %q", s.shelf.why)
		}
	})
}

// many is a Maker elsewhere.
type many struct{ Maker }

func (many) Parallel() int { return 2 }

// Trainings here take turns; elsewhere as many are under way as the maker takes.
func TestTurns(t *testing.T) {
	tr := New(Default(), nil, &warehouse{}, &shelf{}, func(event.Training) {}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	take := func(n int) {
		t.Helper()
		for range n {
			if _, err := tr.turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tr.turn(over); err == nil {
			t.Errorf("more than %d trainings are under way", n)
		}
	}
	take(1)
	tr.MakeBy(many{})
	take(2)
}

func TestTrigger(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := pumps()
		p.Spec.Epochs = 1
		s := open(t, p)
		if err := s.Trigger("fans", "", ""); err == nil || !strings.Contains(err.Error(), "no pipeline of that name") {
			t.Errorf("a pipeline that is not there: %v", err)
		}
		if err := s.Trigger("pumps", "", "too early"); err != nil {
			t.Fatal(err)
		}
		after(time.Millisecond)
		if last := s.told()[len(s.told())-1]; last.State != event.TrainingFailed || last.Detail != "not started: too early; but 0 of 6 assets have failed" {
			t.Errorf("told %+v", last)
		}
		fill(s.store, 8)
		after(10 * time.Second)
		champion := s.shelf.Live("pumps").Version
		if err := s.Trigger("pumps", "", ""); err != nil {
			t.Fatal(err)
		}
		after(time.Millisecond)
		if now := s.shelf.Live("pumps").Version; now == champion || s.shelf.why[1] != "trainer: asked by hand" {
			t.Errorf("champion %s then %s, %q", champion, now, s.shelf.why)
		}
		after(time.Hour)
		if n := len(s.shelf.why); n != 2 {
			t.Errorf("%d runs after one request", n)
		}
	})
}

// A pipeline whose recipe was changed needs a new model: its champion reads other windows.
func TestChampionOfAnotherShape(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := pumps()
		p.Spec.Epochs = 1
		s := open(t, p)
		old := p.Recipe
		old.Length = 7
		s.shelf.mu.Lock()
		s.shelf.live = map[string]*model.Model{"pumps": {Meta: model.Meta{Recipe: old}, Version: "old"}}
		s.shelf.mu.Unlock()
		fill(s.store, 8)
		after(10 * time.Second)
		if m := s.shelf.Live("pumps"); m.Version == "old" {
			t.Error("the champion of another shape was kept")
		}
	})
}

func TestFailuresBackOff(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := pumps()
		p.Spec.Epochs = 1
		s := open(t, p)
		s.shelf.mu.Lock()
		s.shelf.refuse = errors.New("the disk is full")
		s.shelf.mu.Unlock()
		fill(s.store, 8)
		after(30 * time.Second)
		failed := func() (n int) {
			for _, state := range s.store.states() {
				if state == event.TrainingFailed {
					n++
				}
			}
			return n
		}
		if failed() != 1 || !strings.HasSuffix(s.told()[len(s.told())-1].Detail, ": the disk is full") {
			t.Fatalf("%d failures: %+v", failed(), s.told()[len(s.told())-1])
		}
		s.expect(t, Wait, "run 1 failed")
		after(time.Minute)
		if failed() != 2 {
			t.Errorf("%d failures after a minute's backoff", failed())
		}
		after(time.Minute)
		if failed() != 2 {
			t.Errorf("%d failures: the backoff did not double", failed())
		}
		s.shelf.mu.Lock()
		s.shelf.refuse = nil
		s.shelf.mu.Unlock()
		after(2 * time.Minute)
		s.expect(t, Content, "champion")
	})
}

// Labels come by another topic than rows and may overtake them: the run waits, but not for ever.
func TestLabelsOvertakeRows(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := pumps()
		p.Spec.Epochs = 1
		s := open(t, p)
		fill(s.store, 8)
		var rest []event.Row
		s.store.mu.Lock()
		rows := s.store.rows["pump-03"]
		s.store.rows["pump-03"], rest = rows[:20], rows[20:]
		s.store.mu.Unlock()
		after(22 * time.Second)
		s.expect(t, Wait, "the rows of 1 failed assets have not come up")
		if len(s.told()) != 0 {
			t.Fatalf("told %+v", s.told())
		}
		s.store.put("pump-03", rest)
		after(7 * time.Second)
		s.expect(t, Content, "champion")
		if m := s.shelf.Live("pumps"); m.Lineage.Windows != 8*50+3*28-8*4 {
			t.Errorf("trained on %d windows", m.Lineage.Windows)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := pumps()
		p.Spec.Epochs = 1
		s := open(t, p)
		fill(s.store, 8)
		s.store.fail("never-seen", 1000*hour)
		after(2 * time.Minute)
		s.expect(t, Content, "champion")
	})
}

func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, pumps())
		s.store.mu.Lock()
		s.store.broken = errors.New("connection refused")
		s.store.mu.Unlock()
		after(10 * time.Second)
		s.expect(t, Wait, "connection refused")
		if len(s.told()) != 0 {
			t.Errorf("told %+v", s.told())
		}
	})
}

func TestStopMidTraining(t *testing.T) {
	orttest.Open(t)
	var w warehouse
	fill(&w, 8)
	p := pumps()
	p.Spec.Epochs, p.Spec.Patience, p.Spec.Settle = 100000, 100000, 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	epochs := 0
	out := func(e event.Training) {
		if e.State == event.TrainingEpoch {
			if epochs++; epochs == 3 {
				cancel()
			}
		}
	}
	tr := New(Default(), []Pipeline{p}, &w, &shelf{}, out, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	if err := tr.Run(ctx); err != nil {
		t.Fatal(err)
	}
	last := w.trainings[len(w.trainings)-1]
	if last.State != event.TrainingFailed || last.Detail != "stopped with the appliance" || epochs != 3 {
		t.Errorf("after %d epochs: %+v", epochs, last)
	}
}

func TestSpecYAML(t *testing.T) {
	read := func(text string) (Spec, error) {
		var s Spec
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		err := d.Decode(&s)
		return s, err
	}
	s, err := read("task: anomaly\nhidden: 12\n")
	want := DefaultSpec(model.Anomaly)
	want.Hidden = 12
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("read %+v, %v", s, err)
	}
	if _, err := read("task: anomaly\nhiden: 12\n"); err == nil || !strings.Contains(err.Error(), "hiden") {
		t.Errorf("an unknown key gave %v", err)
	}
	for _, task := range []model.Task{model.RemainingLife, model.Anomaly} {
		s := DefaultSpec(task)
		if err := s.Validate(); err != nil {
			t.Errorf("defaults of %s: %v", task, err)
		}
	}
	bad := func(text string, faults ...string) {
		t.Helper()
		s, err := read(text)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(s.Validate().Error(), "\n")
		if !slices.Equal(got, faults) {
			t.Errorf("%s: faults %q, want %q", text, got, faults)
		}
	}
	bad("task: guess", "task: guess is not remaining-life, anomaly, classification or detection")
	bad("task: remaining-life\nhidden: 0\nhorizon: 200\nbatch: 0", "horizon: 200 is not at least 1 and less than cap", "hidden: 0 is not between 1 and 1024",
		"batch: 0 is not at least 1", "shards: 1 is not between 1 and the batch")
	bad("task: anomaly\nmin_rows: 3\nnetwork: mlp\nsearch: {trials: 2, keep: 3, networks: [autoencoder]}\nwarm: true",
		"min_rows: 3 is not at least 100", "network: mlp is not gru, lstm or command, or for anomaly autoencoder", "search.keep: 3 is not between 0 and trials",
		"search.networks: autoencoder is not gru or lstm: losses of others cannot be set beside theirs", "warm: true is not for search.trials above 1: networks of other sizes cannot begin with the champion's parameters")
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Check, c.BackoffLimit = 0, time.Second
	if err := c.Validate(); err == nil || err.Error() != "check: 0s is not at least 10ms\nbackoff_limit: 1s is not at least backoff" {
		t.Errorf("faults %v", err)
	}
}
