package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// Worker takes jobs from a board, one at a time, and does them as Local does.
//
// Metrics: andon_worker_busy, andon_worker_jobs_total (by outcome: done, failed, left, unwanted, refused), andon_worker_rows_per_second, andon_worker_loss, andon_worker_cpu_seconds_total,
// andon_worker_gpu_seconds_total and andon_worker_energy_joules_total, of jobs; the last two only where something measures.
type Worker struct {
	// Name tells workers apart.
	Name  string
	Board Board
	// Local does the work; its pipelines and memory are the jobs'.
	Local Local
	// Section makes the pipeline of what Pipeline.Section wrote.
	Section func(text []byte) (*Pipeline, error)
	// Jobs is how many it does before it ends, Idle how long it waits for one before it does; 0 has no end.
	Jobs int
	Idle time.Duration
	Log  *slog.Logger

	metrics *workerMetrics
	mu      sync.Mutex
	// gone are jobs that nobody wants any more, the last that were told; of is what is heard of the one at hand.
	gone  map[string]bool
	order []string
	of    func(w *word)
}

type workerMetrics struct {
	busy, rate, loss prometheus.Gauge
	jobs             *prometheus.CounterVec
	cpu, gpu, joules prometheus.Counter
}

// Register makes the worker's metrics. Before Run.
func (w *Worker) Register(reg prometheus.Registerer) {
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	w.metrics = &workerMetrics{busy: gauge("andon_worker_busy", "1 while the worker has a job."), rate: gauge("andon_worker_rows_per_second", "Windows learned from a second in the last epoch."),
		loss: gauge("andon_worker_loss", "Validation loss of the last epoch."),
		jobs: f.NewCounterVec(prometheus.CounterOpts{Name: "andon_worker_jobs_total", Help: "Jobs that were taken, by what came of them."}, []string{"outcome"}),
		cpu:  counter("andon_worker_cpu_seconds_total", "CPU time of the process while it had jobs.")}
	if u := w.Local.Meters.start().usage(); u.GPUSeconds >= 0 {
		w.metrics.gpu = counter("andon_worker_gpu_seconds_total", "Time in which kernels ran on the NVIDIA devices while it had jobs.")
	}
	if u := w.Local.Meters.start().usage(); u.Joules >= 0 {
		w.metrics.joules = counter("andon_worker_energy_joules_total", "Energy that was drawn while it had jobs, by "+u.Energy+".")
	}
}

// The reasons why a job is given up in the middle.
var (
	errUnwanted = errors.New("nobody waits for it any more")
	errLimit    = errors.New("it took longer than trainer.workers.limit")
	errDropped  = errors.New("dropped") // and told
)

// mostGone bounds what is remembered of jobs that are not wanted.
const mostGone = 1000

// Run takes jobs until ctx ends, or Jobs are done, or none came for Idle. A job at hand when ctx ends is given back.
func (w *Worker) Run(ctx context.Context) error {
	if w.metrics == nil {
		w.Register(prometheus.NewRegistry())
	}
	w.gone = map[string]bool{}
	hearing, deaf := context.WithCancel(context.WithoutCancel(ctx))
	heard := make(chan error, 1)
	go func() { heard <- w.Board.Hear(hearing, w.hear) }()
	defer func() { deaf(); <-heard }()
	for n := 0; w.Jobs == 0 || n < w.Jobs; {
		a, err := w.take(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			w.Log.Info("no job came", "within", w.Idle)
			return nil
		case errors.Is(err, errDropped):
			continue
		case err != nil:
			return err
		}
		n++
		w.do(ctx, a)
	}
	return nil
}

// take waits for a job that is worth doing.
func (w *Worker) take(ctx context.Context) (a *assignment, err error) {
	if w.Idle > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.Idle)
		defer cancel()
	}
	err = w.Board.Take(ctx, func(order []byte) error {
		a, err = readAssignment(order)
		why := ""
		w.mu.Lock()
		gone := w.gone[a.ID]
		w.mu.Unlock()
		switch {
		case err != nil:
			why = err.Error()
		case gone:
			why = errUnwanted.Error()
		case time.Now().UnixNano() > a.Until:
			why = fmt.Sprintf("it was to be taken until %s", time.Unix(0, a.Until).UTC().Format(time.DateTime))
		}
		if why == "" {
			return w.tell(ctx, a, word{Kind: wordTaken})
		}
		w.metrics.jobs.WithLabelValues("refused").Inc()
		w.Log.Warn("a job is dropped", "job", a.ID, "attempt", a.Attempt, "why", why)
		dropped := a
		a = nil
		if dropped.ID != "" && !gone { // whoever waits must know; a record without a name nobody waits for
			return errors.Join(w.tell(ctx, dropped, word{Kind: wordTaken}), w.tell(ctx, dropped, word{Kind: wordFailed, Why: why}))
		}
		return nil
	})
	if err == nil && a == nil {
		err = errDropped
	}
	return a, err
}

func (w *Worker) tell(ctx context.Context, a *assignment, say word) error {
	say.Job, say.Attempt, say.Worker = a.ID, a.Attempt, w.Name
	text, err := json.Marshal(say)
	if err != nil {
		return err
	}
	return w.Board.Tell(ctx, a.ID, text)
}

// hear takes in what is said of any job.
func (w *Worker) hear(text []byte) {
	var said word
	if json.Unmarshal(text, &said) != nil { // another version's, of no use here
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if said.Kind == wordCancel && !w.gone[said.Job] {
		w.gone[said.Job] = true
		if w.order = append(w.order, said.Job); len(w.order) > mostGone {
			delete(w.gone, w.order[0])
			w.order = w.order[1:]
		}
	}
	if w.of != nil {
		w.of(&said)
	}
}

// do does one job and tells how it goes.
func (w *Worker) do(ctx context.Context, a *assignment) {
	w.metrics.busy.Set(1)
	defer w.metrics.busy.Set(0)
	log := w.Log.With("job", a.ID, "attempt", a.Attempt)
	log.Info("a job is taken", "pipeline", a.Pipeline, "why", a.Why)
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	limit := time.AfterFunc(a.Limit, func() { stop(errLimit) })
	defer limit.Stop()
	silent := 0
	w.listen(func(said *word) {
		if said.Job != a.ID {
			return
		}
		switch {
		case said.Kind == wordCancel, said.Attempt > a.Attempt:
			stop(errUnwanted)
		case said.Kind == wordWanted:
			silent = 0
		case said.Kind == wordBeat && said.Worker == w.Name: // while we hear ourselves, we would hear the submitter
			if silent++; silent > a.Missed {
				stop(errUnwanted)
			}
		}
	})
	defer w.listen(nil)
	w.mu.Lock()
	if w.gone[a.ID] { // told between the taking and now
		stop(errUnwanted)
	}
	w.mu.Unlock()

	clock := w.Local.Meters.start()
	spent := func() *usageFact {
		u := clock.usage()
		return u.fact()
	}
	words := make(chan word, 64)
	talking := make(chan struct{})
	go func() {
		defer close(talking)
		beat := time.NewTicker(a.Beat)
		defer beat.Stop()
		for {
			say := word{Kind: wordBeat}
			select {
			case <-beat.C:
				say.Usage = spent()
			case next, ok := <-words:
				if !ok {
					return
				}
				say = next
			}
			if err := w.tell(work, a, say); err != nil && work.Err() == nil {
				log.Warn("the submitter cannot be told how a job goes", "error", err)
			}
		}
	}()
	lessons, err := w.make(work, a, Watcher{
		Ready: func(d Data) error {
			select {
			case words <- word{Kind: wordReady, Data: &d}:
				return nil
			case <-work.Done():
				return work.Err()
			}
		},
		Epoch: func(p fit.Progress) {
			w.metrics.rate.Set(p.RowsPerSecond)
			w.metrics.loss.Set(p.ValLoss)
			select {
			case words <- word{Kind: wordEpoch, Epoch: factOf(p), Usage: spent()}:
			default: // the broker is away: the next one tells more
			}
		},
	})
	last := word{Kind: wordDone}
	for i := 0; err == nil && i < len(lessons); i++ {
		l := lessons[i]
		h := handed{Version: l.Model.Version, Loss: l.Loss, Summary: l.Summary}
		if h.Place, err = w.save(work, a, l.Model.ONNX, log); err == nil {
			last.Lessons = append(last.Lessons, h)
		}
	}
	close(words)
	<-talking
	u := clock.usage()
	w.metrics.cpu.Add(u.CPUSeconds)
	if w.metrics.gpu != nil && u.GPUSeconds >= 0 {
		w.metrics.gpu.Add(u.GPUSeconds)
	}
	if w.metrics.joules != nil && u.Joules >= 0 {
		w.metrics.joules.Add(u.Joules)
	}
	outcome := "done"
	cause := context.Cause(work)
	switch {
	case err == nil:
	case errors.Is(cause, errUnwanted):
		outcome, last = "unwanted", word{}
	case ctx.Err() != nil:
		outcome, last = "left", word{Kind: wordLeft}
	case errors.Is(cause, errLimit):
		outcome, last = "failed", word{Kind: wordFailed, Why: errLimit.Error()}
	default:
		outcome, last = "failed", word{Kind: wordFailed, Why: err.Error(), Diverged: errors.Is(err, fit.ErrDiverged)}
	}
	w.metrics.jobs.WithLabelValues(outcome).Inc()
	log.Info("a job is over", "outcome", outcome, "seconds", u.Seconds, "cpu_seconds", u.CPUSeconds, "error", err)
	if last.Kind == "" {
		return
	}
	patience := away
	if ctx.Err() != nil { // whoever stops it does not wait for long
		patience = 5 * time.Second
	}
	say, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	last.Usage = u.fact()
	if err := w.tell(say, a, last); err != nil { // the submitter finds the silence, and has another do it
		log.Error("what came of a job cannot be told", "error", err)
	}
}

// away is how long a broker may be away when a job is over: what was made is not thrown away for a restart.
const away = 5 * time.Minute

// save hands a file over.
func (w *Worker) save(ctx context.Context, a *assignment, file []byte, log *slog.Logger) (string, error) {
	for began := time.Now(); ; {
		place, err := w.Board.Save(ctx, a.ID, file)
		if err == nil || ctx.Err() != nil || time.Since(began) > away {
			return place, err
		}
		log.Warn("what was made cannot be handed over yet", "error", err)
		select {
		case <-time.After(a.Beat):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// make does what an assignment says.
func (w *Worker) make(ctx context.Context, a *assignment, watch Watcher) ([]*Lesson, error) {
	p, err := w.Section([]byte(a.Section))
	if err != nil {
		return nil, err
	}
	l := w.Local
	l.Pipelines, l.Memory, l.Worker = []Pipeline{*p}, event.Bytes(a.Memory), w.Name
	l.Get = func(string, string) (*model.Model, error) {
		file, err := w.Board.Load(ctx, a.Start)
		if err != nil {
			return nil, err
		}
		return model.Parse(file)
	}
	if a.Start == "" {
		l.Get = nil
	}
	j := a.Job
	j.Watch = watch
	return l.Make(ctx, j)
}

func (w *Worker) listen(f func(said *word)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of = f
}
