package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/trainer/fit"
)

// hall is a board in memory.
type hall struct {
	jobs  chan []byte
	mu    sync.Mutex
	seats []*seat
	files map[string][]byte
	twice bool // each job is given to two
	away  int  // so many files are not taken
}

// seat is one process's view of it.
type seat struct {
	*hall
	words chan []byte
	gone  bool // the process was killed
}

func newHall() *hall { return &hall{jobs: make(chan []byte, 100), files: map[string][]byte{}} }

func (h *hall) seat() *seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &seat{hall: h, words: make(chan []byte, 10000)}
	h.seats = append(h.seats, s)
	return s
}

var errKilled = errors.New("the process is dead")

func (s *seat) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
}

func (s *seat) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return errKilled
	}
	return nil
}

func (s *seat) Post(_ context.Context, _ string, order []byte) error {
	s.mu.Lock()
	twice := s.twice
	s.mu.Unlock()
	s.jobs <- order
	if twice {
		s.jobs <- order
	}
	return nil
}

func (s *seat) Tell(_ context.Context, _ string, word []byte) error {
	if err := s.alive(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.seats {
		other.words <- word
	}
	return nil
}

func (s *seat) Hear(ctx context.Context, f func([]byte)) error {
	for {
		select {
		case w := <-s.words:
			f(w)
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *seat) Save(_ context.Context, job string, file []byte) (string, error) {
	if err := s.alive(); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away > 0 {
		s.away--
		return "", errors.New("the broker is away")
	}
	place := fmt.Sprint(job, "/", len(s.files))
	s.files[place] = file
	return place, nil
}

func (s *seat) Load(_ context.Context, place string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.files[place]; ok {
		return f, nil
	}
	return nil, errors.New("it is gone")
}

func (s *seat) Take(ctx context.Context, accept func([]byte) error) error {
	select {
	case order := <-s.jobs:
		err := accept(order)
		if err != nil {
			s.jobs <- order
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// works is a submitter with a store that tests can hold back.
type works struct {
	*Remote
	hall  *hall
	store archive
	// hold, where it is set, is called when a worker begins to read.
	hold func(ctx context.Context, worker string)
	wait sync.WaitGroup
	stop context.CancelFunc
	ctx  context.Context
}

// pausing is a source that tells when it is read.
type pausing struct {
	archive
	w      *works
	worker string
}

func (p pausing) At(m event.Marks) Source { return pausedAt{p.archive.At(m), p} }

type pausedAt struct {
	Source
	of pausing
}

func (p pausedAt) Readings(ctx context.Context, pipeline string, signals, assets []string, from, until int64, f func(string, []event.Row) error) (string, error) {
	if p.of.w.hold != nil {
		p.of.w.hold(ctx, p.of.worker)
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return p.Source.Readings(ctx, pipeline, signals, assets, from, until, f)
}

func silentLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newWorks(t *testing.T, p *Pipeline, change func(*Workers)) *works {
	w := &works{hall: newHall(), store: archive{&warehouse{}}}
	fill(w.store.warehouse, 10)
	cfg := DefaultWorkers()
	if change != nil {
		change(&cfg)
	}
	w.ctx, w.stop = context.WithCancel(t.Context())
	w.Remote = NewRemote(cfg, w.store, []Pipeline{*p}, Default().Memory, nil, w.hall.seat(), silentLog(), prometheus.NewRegistry())
	w.wait.Go(func() { _ = w.Run(w.ctx) })
	t.Cleanup(func() { w.stop(); w.wait.Wait() })
	return w
}

// worker starts one; the function ends it as SIGKILL would, or as SIGTERM.
func (w *works) worker(t *testing.T, name string, change func(*Worker)) (kill func(), end func()) {
	at := w.hall.seat()
	ctx, cancel := context.WithCancel(w.ctx)
	one := &Worker{Name: name, Board: at, Log: silentLog(), Local: Local{Source: pausing{w.store, w, name}}, Section: func(text []byte) (*Pipeline, error) {
		p := written(pumps())
		return p, json.Unmarshal(text, &p.Spec)
	}}
	if change != nil {
		change(one)
	}
	w.wait.Go(func() {
		if err := one.Run(ctx); err != nil && at.alive() == nil {
			t.Errorf("worker %s: %v", name, err)
		}
	})
	return func() { at.kill(); cancel() }, cancel
}

// quick is a pipeline that trains in no time.
func quick() *Pipeline {
	p := written(pumps())
	p.Spec.Epochs = 2
	return p
}

// A worker does what this process would have done, to the byte but for what is of the moment, and its progress arrives in order.
func TestRemote(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := quick()
		w := newWorks(t, p, nil)
		w.hall.away = 3 // what is made is not lost by that
		w.worker(t, "w1", func(w *Worker) {
			w.Local.Meters = Meters{Processors: func() (float64, bool) { return 7, true }}
		})
		var said []string
		var used Usage
		watch := Watcher{
			Waits: func(why string) { said = append(said, why) },
			Ready: func(d Data) error { said = append(said, fmt.Sprint("ready ", d.Windows > 0)); return nil },
			Epoch: func(p fit.Progress) { said = append(said, fmt.Sprintf("epoch %d/%d", p.Epoch, p.Epochs)) },
			Took:  func(u Usage) { used = u },
		}
		lessons, err := w.Make(w.ctx, Job{ID: "run-1", Pipeline: "pumps", Watch: watch})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(said, ", "), "it waits for a worker, ready true, epoch 1/2, epoch 2/2"; got != want {
			t.Errorf("told: %s; want %s", got, want)
		}
		if used.Worker != "w1" || !(used.CPUSeconds > 0) || used.Energy != "processors" || !math.IsNaN(used.GPUSeconds) {
			t.Errorf("used %+v", used)
		}
		m := lessons[0].Model
		if m.Lineage.Worker != "w1" || !strings.Contains(lessons[0].Summary, "made by worker w1") || m.Lineage.Marks == nil {
			t.Errorf("%+v, %s", m.Lineage, lessons[0].Summary)
		}
		local := &Local{Source: w.store, Pipelines: []Pipeline{*p}, Memory: Default().Memory}
		r, err := local.Rebuild(w.ctx, p, m, Watcher{})
		if err != nil || len(r.Differs) > 0 {
			t.Errorf("made here it differs: %+v, %v", r, err)
		}
		// What cannot be learned from fails there as it does here.
		w.store.mu.Lock()
		w.store.labels = nil
		w.store.mu.Unlock()
		if _, err := w.Make(w.ctx, Job{ID: "run-2", Pipeline: "pumps"}); err == nil || !strings.HasPrefix(err.Error(), "worker w1: ") {
			t.Errorf("without labels: %v", err)
		}
		if _, err := w.Make(w.ctx, Job{ID: "run-3", Pipeline: "fans"}); err == nil || !strings.Contains(err.Error(), "no pipeline of that name") {
			t.Errorf("no pipeline: %v", err)
		}
		// An order that ends the lesson ends the job.
		no := errors.New("too early")
		fill(w.store.warehouse, 10)
		if _, err := w.Make(w.ctx, Job{ID: "run-4", Pipeline: "pumps", Watch: Watcher{Ready: func(Data) error { return no }}}); !errors.Is(err, no) {
			t.Errorf("refused when it was ready: %v", err)
		}
		for outcome, want := range map[string]float64{"done": 1, "failed": 2, "lost": 0} {
			if got := testutil.ToFloat64(w.outcomes.WithLabelValues(outcome)); got != want {
				t.Errorf("%v jobs are %s, want %v", got, outcome, want)
			}
		}
		w.stop()
		w.wait.Wait()
	})
}

// A worker that is killed in the middle is replaced; the data set is the one of the first attempt; a job that kills each of them is given up with their names.
func TestRemoteKilled(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := quick()
		w := newWorks(t, p, nil)
		kill, _ := w.worker(t, "w1", nil)
		w.hold = func(ctx context.Context, worker string) {
			if worker == "w1" {
				kill()
				fill(w.store.warehouse, 14) // which came after the job was posted
				<-ctx.Done()
			}
		}
		var waits []string
		done := make(chan error, 1)
		var lessons []*Lesson
		go func() {
			var err error
			lessons, err = w.Make(w.ctx, Job{ID: "run-1", Pipeline: "pumps", Watch: Watcher{Waits: func(why string) { waits = append(waits, why) }}})
			done <- err
		}()
		time.Sleep(10 * time.Second) // of which a second worker makes use only when the first has been silent for half a minute
		w.worker(t, "w2", nil)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		m := lessons[0].Model
		if m.Lineage.Worker != "w2" || len(m.Lineage.Marks.Rows) != 10 || m.Lineage.Assets != 10 {
			t.Errorf("made by %s of %d assets", m.Lineage.Worker, m.Lineage.Assets)
		}
		if len(waits) != 2 || waits[1] != "worker w1 fell silent; it waits for another worker" {
			t.Errorf("told %q", waits)
		}

		// Each that takes the next dies of it.
		w.hold = func(ctx context.Context, worker string) {
			w.hall.mu.Lock()
			for _, s := range w.hall.seats[1:] {
				s.gone = true
			}
			w.hall.mu.Unlock()
			<-ctx.Done()
		}
		go func() {
			_, err := w.Make(w.ctx, Job{ID: "run-2", Pipeline: "pumps"})
			done <- err
		}()
		for i := range 3 {
			time.Sleep(time.Minute)
			w.worker(t, fmt.Sprint("x", i), nil)
		}
		err := <-done
		if err == nil || !strings.Contains(err.Error(), "given up after 3 attempts") || !strings.Contains(err.Error(), "worker x1 fell silent") {
			t.Errorf("after three deaths: %v", err)
		}
		w.stop()
		w.wait.Wait()
	})
}

// A worker that is stopped gives its job back, which counts as no attempt; one that nobody waits for lets go; two that got the same order give one result.
func TestRemoteHandedOver(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := quick()
		w := newWorks(t, p, func(c *Workers) { c.Attempts = 1 })
		_, end := w.worker(t, "w1", nil)
		w.hold = func(ctx context.Context, worker string) {
			switch worker {
			case "w1":
				end()
				<-ctx.Done()
			case "slow":
				<-ctx.Done()
			}
		}
		post := func(id string) (chan error, *[]*Lesson) {
			done, out := make(chan error, 1), new([]*Lesson)
			go func() {
				l, err := w.Make(w.ctx, Job{ID: id, Pipeline: "pumps"})
				*out = l
				done <- err
			}()
			return done, out
		}
		done, out := post("run-1")
		time.Sleep(time.Second)
		w.worker(t, "w2", nil)
		if err := <-done; err != nil || (*out)[0].Model.Lineage.Worker != "w2" {
			t.Fatalf("after a clean stop: %v", err)
		}
		// The same order to two: the first result is taken, and the other one let go of.
		var slow *Worker
		w.worker(t, "slow", func(w *Worker) { w.Register(prometheus.NewRegistry()); slow = w })
		w.hall.twice = true
		synctest.Wait() // both are idle now
		done, out = post("run-2")
		if err := <-done; err != nil || len(*out) != 1 || (*out)[0].Model.Lineage.Worker != "w2" {
			t.Errorf("of two: %v", err)
		}
		synctest.Wait()
		if got := testutil.ToFloat64(slow.metrics.jobs.WithLabelValues("unwanted")); got != 1 {
			t.Errorf("%v jobs are unwanted", got)
		}
		w.stop()
		w.wait.Wait()
	})
}

// Nobody waits for a job whose submitter died, or was told to stop; what is too old, or was written by another version, is not begun.
func TestRemoteUnwanted(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := quick()
		w := newWorks(t, p, func(c *Workers) { c.Wait = time.Minute })
		began := make(chan struct{}, 10)
		ended := make(chan error, 10)
		w.hold = func(ctx context.Context, worker string) {
			began <- struct{}{}
			<-ctx.Done()
			ended <- context.Cause(ctx)
		}
		if _, err := w.Make(w.ctx, Job{ID: "run-0", Pipeline: "pumps"}); !errors.Is(err, errUntaken) || !strings.Contains(err.Error(), "start andon trainer") {
			t.Errorf("without workers: %v", err)
		}
		reg := prometheus.NewRegistry()
		var one *Worker
		w.worker(t, "w1", func(w *Worker) { w.Register(reg); one = w })
		outcome := func(name string, want float64) {
			t.Helper()
			synctest.Wait()
			if got := testutil.ToFloat64(one.metrics.jobs.WithLabelValues(name)); got != want {
				t.Errorf("%v jobs are %s, want %v", got, name, want)
			}
		}
		outcome("refused", 1) // run-0 was cancelled, and is still in the queue

		ctx, cancel := context.WithCancel(w.ctx)
		failed := make(chan error, 1)
		go func() {
			_, err := w.Make(ctx, Job{ID: "run-1", Pipeline: "pumps"})
			failed <- err
		}()
		<-began
		cancel() // the campaign is aborted
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := <-ended; !errors.Is(err, errUnwanted) {
			t.Errorf("the worker ended by %v", err)
		}
		outcome("unwanted", 1)

		// The submitter dies without a word.
		dead := w.hall.seat()
		orphan := NewRemote(w.cfg, w.store, []Pipeline{*p}, Default().Memory, nil, dead, silentLog(), prometheus.NewRegistry())
		ctx, cancel = context.WithCancel(w.ctx)
		go func() {
			_, err := orphan.Make(ctx, Job{ID: "run-2", Pipeline: "pumps"})
			failed <- err
		}()
		<-began
		dead.kill()
		if err := <-ended; !errors.Is(err, errUnwanted) {
			t.Errorf("the worker of an orphan ended by %v", err)
		}
		cancel()
		<-failed
		outcome("unwanted", 2)

		// Too old, changed, and no job at all.
		listener := w.hall.seat()
		order := func(change func(*assignment)) []byte {
			a, err := w.assign(w.ctx, p, &p.Spec, Job{ID: "odd", Pipeline: "pumps"})
			if err != nil {
				t.Fatal(err)
			}
			a.Attempt = 1
			change(a)
			text, err := a.encode()
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		w.hall.jobs <- order(func(a *assignment) { a.Until = time.Now().Add(-time.Second).UnixNano() })
		w.hall.jobs <- []byte(strings.Replace(string(order(func(*assignment) {})), `"attempt":1`, `"attempt":1,"more":2,"memory_":1`, 1)[:40])
		w.hall.jobs <- []byte(strings.Replace(string(order(func(*assignment) {})), `"memory":`, `"memory":1`, 1))
		outcome("refused", 4)
		var said []string
		for {
			select {
			case text := <-listener.words:
				var x word
				if err := json.Unmarshal(text, &x); err != nil {
					t.Fatal(err)
				}
				if x.Job == "odd" {
					said = append(said, x.Kind+": "+x.Why)
				}
				continue
			default:
			}
			break
		}
		if text := strings.Join(said, "\n"); strings.Count(text, "failed: ") != 2 || !strings.Contains(text, "it was to be taken until") || !strings.Contains(text, "another version of andon") {
			t.Errorf("told of odd jobs:\n%s", text)
		}
		w.stop()
		w.wait.Wait()
	})
}

// A warm start takes the champion's file along, and workers end when they were told to.
func TestRemoteWarm(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := quick()
		w := newWorks(t, p, nil)
		w.worker(t, "w1", func(w *Worker) { w.Jobs = 2 })
		first, err := w.Make(w.ctx, Job{ID: "run-1", Pipeline: "pumps"})
		if err != nil {
			t.Fatal(err)
		}
		champion := first[0].Model
		p.Spec.Warm = true
		w.pipelines[0] = *p
		w.get = func(_, version string) (*model.Model, error) {
			if version != champion.Version {
				return nil, model.ErrUnknown
			}
			return champion, nil
		}
		second, err := w.Make(w.ctx, Job{ID: "run-2", Pipeline: "pumps", Champion: champion.Version})
		if err != nil {
			t.Fatal(err)
		}
		if l := second[0].Model.Lineage; l.Start != digest(champion.ONNX) || l.Champion != champion.Version {
			t.Errorf("%+v", l)
		}
		if _, err := w.Make(w.ctx, Job{ID: "run-3", Pipeline: "pumps", Champion: "abc"}); !errors.Is(err, model.ErrUnknown) {
			t.Errorf("of a champion that is gone: %v", err)
		}
		w.worker(t, "w2", func(w *Worker) { w.Idle = time.Minute })
		w.stop()
		w.wait.Wait()
	})
}

// The jobs of a search are shared by the workers that there are, and find what a search in one process finds, to the bit.
func TestRemoteSearch(t *testing.T) {
	orttest.Open(t)
	synctest.Test(t, func(t *testing.T) {
		p := quick()
		p.Spec.Search = Search{Trials: 4, Keep: 2}
		w := newWorks(t, p, nil)
		served := map[string]float64{}
		var workers []*Worker
		for i := range 3 {
			w.worker(t, fmt.Sprint("w", i), func(w *Worker) {
				w.Register(prometheus.NewRegistry())
				workers = append(workers, w)
			})
		}
		// Each waits in its first job for the others, so that no one does all.
		var gate sync.WaitGroup
		gate.Add(3)
		var mu sync.Mutex
		seen := map[string]bool{}
		w.hold = func(_ context.Context, worker string) {
			mu.Lock()
			first := !seen[worker]
			seen[worker] = true
			mu.Unlock()
			if first {
				gate.Done()
				gate.Wait()
			}
		}
		var said []string
		var used Usage
		lessons, err := w.Make(w.ctx, Job{ID: "run-1", Pipeline: "pumps", Watch: Watcher{
			Waits: func(why string) { said = append(said, why) },
			Ready: func(Data) error { said = append(said, "ready"); return nil },
			Epoch: func(p fit.Progress) { said = append(said, fmt.Sprint("epoch ", p.Epoch)) },
			Took:  func(u Usage) { used = u },
		}})
		if err != nil {
			t.Fatal(err)
		}
		jobs := 0.0
		for _, one := range workers {
			served[one.Name] = testutil.ToFloat64(one.metrics.jobs.WithLabelValues("done"))
			jobs += served[one.Name]
			if served[one.Name] == 0 {
				t.Errorf("%s did nothing: %v", one.Name, served)
			}
		}
		if jobs != 4+2 {
			t.Errorf("%v jobs: %v", jobs, served)
		}
		if text := strings.Join(said, ", "); !strings.HasSuffix(text, "ready, epoch 1, epoch 2") || strings.Count(text, "ready") != 1 {
			t.Errorf("told %s", text)
		}
		if used.Worker != "several" || !(used.CPUSeconds > 0) {
			t.Errorf("used %+v", used)
		}
		local := &Local{Source: w.store, Pipelines: []Pipeline{*p}, Memory: Default().Memory}
		own, err := local.Make(w.ctx, Job{ID: "run-1", Pipeline: "pumps"})
		if err != nil {
			t.Fatal(err)
		}
		if len(lessons) != 2 || len(own) != 2 {
			t.Fatalf("%d lessons, here %d", len(lessons), len(own))
		}
		for i, l := range lessons {
			if l.Loss != own[i].Loss || l.Model.Lineage.Section != own[i].Model.Lineage.Section || l.Model.Lineage.Run != "run-1" || !strings.Contains(l.Summary, "of 4 settings") {
				t.Errorf("lesson %d: loss %v, here %v; run %s; %s", i, l.Loss, own[i].Loss, l.Model.Lineage.Run, l.Summary)
			}
		}
		w.stop()
		w.wait.Wait()
	})
}
