package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// Remote has challengers made by workers elsewhere. A job is posted, taken by one of them, and watched: where its worker falls silent it is posted again. The first result counts, whichever worker it comes from.
//
// Metrics: andon_jobs_waiting, andon_jobs_running, andon_jobs_oldest_wait_seconds, andon_jobs_wait_seconds (a histogram of how long jobs waited for a worker), andon_jobs_total (by outcome: done, failed, lost,
// left, untaken, cancelled; a job that is posted again counts each time).
type Remote struct {
	cfg       Workers
	source    Source
	pipelines []Pipeline
	memory    event.Bytes
	get       func(pipeline, version string) (*model.Model, error)
	board     Board
	log       *slog.Logger
	slots     chan struct{} // one a job that is under way

	running  prometheus.Gauge
	waited   prometheus.Histogram
	outcomes *prometheus.CounterVec

	// mu guards boxes, by job, and waiting, which says of those that no worker has taken when they were posted.
	mu      sync.Mutex
	boxes   map[string]*inbox
	waiting map[string]time.Time
}

// NewRemote returns a Maker of pipelines over a board; get finds champions, for a warm start. The source only says how far the data is stored.
func NewRemote(cfg Workers, source Source, pipelines []Pipeline, memory event.Bytes, get func(pipeline, version string) (*model.Model, error), board Board, log *slog.Logger, reg prometheus.Registerer) *Remote {
	f := promauto.With(reg)
	r := &Remote{cfg: cfg, source: source, pipelines: pipelines, memory: memory, get: get, board: board, log: log, slots: make(chan struct{}, cfg.Parallel), boxes: map[string]*inbox{}, waiting: map[string]time.Time{},
		running:  f.NewGauge(prometheus.GaugeOpts{Name: "andon_jobs_running", Help: "Jobs of this appliance that a worker has taken."}),
		waited:   f.NewHistogram(prometheus.HistogramOpts{Name: "andon_jobs_wait_seconds", Help: "How long jobs waited for a worker.", Buckets: []float64{1, 5, 15, 60, 300, 900, 3600}}),
		outcomes: f.NewCounterVec(prometheus.CounterOpts{Name: "andon_jobs_total", Help: "Jobs by what came of them; one that is posted again counts each time."}, []string{"outcome"})}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_jobs_waiting", Help: "Jobs of this appliance that no worker has taken yet."}, func() float64 {
		n, _ := r.queue()
		return float64(n)
	})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "andon_jobs_oldest_wait_seconds", Help: "How long the oldest of them has waited."}, func() float64 {
		_, oldest := r.queue()
		return oldest.Seconds()
	})
	return r
}

func (r *Remote) queue() (n int, oldest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, since := range r.waiting {
		oldest = max(oldest, time.Since(since))
	}
	return len(r.waiting), oldest
}

// Parallel is how many jobs it wants at once.
func (r *Remote) Parallel() int { return r.cfg.Parallel }

// Run hears what workers say, until ctx ends.
func (r *Remote) Run(ctx context.Context) error {
	return r.board.Hear(ctx, func(text []byte) {
		var w word
		if err := json.Unmarshal(text, &w); err != nil {
			r.log.Warn("a word about a job is not understood", "error", err)
			return
		}
		r.mu.Lock()
		box := r.boxes[w.Job]
		r.mu.Unlock()
		if box != nil {
			box.put(w)
		}
	})
}

// inbox holds the words about one job until they are read.
type inbox struct {
	mu    sync.Mutex
	words []word
	wake  chan struct{}
}

func (b *inbox) put(w word) {
	b.mu.Lock()
	b.words = append(b.words, w)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) read() []word {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.words
	b.words = nil
	return all
}

// lostError tells that an attempt came to nothing, and another may do.
type lostError struct {
	why string
	// left tells that the worker was stopped, which is no fault of the job's.
	left bool
}

func (e *lostError) Error() string { return e.why }

// Make is of Maker. Run must be running. The trainings of a search are jobs of their own.
func (r *Remote) Make(ctx context.Context, j Job) ([]*Lesson, error) {
	i := slices.IndexFunc(r.pipelines, func(p Pipeline) bool { return p.Name == j.Pipeline })
	if i < 0 || r.pipelines[i].Section == nil {
		return nil, fmt.Errorf("train %s: no pipeline of that name has a model section", j.Pipeline)
	}
	p := &r.pipelines[i]
	if past, ok := r.source.(Past); ok && j.Marks == nil {
		m, err := past.Marks(ctx, j.Pipeline)
		if err != nil {
			return nil, err
		}
		j.Marks = &m
	}
	if p.Spec.Search.Trials > 1 {
		return r.search(ctx, p, j)
	}
	return r.one(ctx, p, &p.Spec, j)
}

// one has one job done, by settings.
func (r *Remote) one(ctx context.Context, p *Pipeline, s *Spec, j Job) ([]*Lesson, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a, err := r.assign(ctx, p, s, j)
	if err != nil {
		return nil, err
	}
	box := &inbox{wake: make(chan struct{}, 1)}
	r.mu.Lock()
	_, twice := r.boxes[j.ID]
	if !twice {
		r.boxes[j.ID] = box
	}
	r.mu.Unlock()
	if twice {
		return nil, fmt.Errorf("the job %s is under way", j.ID)
	}
	defer func() {
		r.mu.Lock()
		delete(r.boxes, j.ID)
		r.mu.Unlock()
		// Whoever still is at it, or will take it, need not.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := r.tell(last, a, wordCancel); err != nil {
			r.log.Debug("workers find out by themselves that a job is not wanted any more", "job", j.ID, "error", err)
		}
	}()
	var lost []string
	for a.Attempt = 1; ; a.Attempt++ {
		lessons, err := r.attempt(ctx, box, a, &j.Watch)
		var gone *lostError
		if !errors.As(err, &gone) {
			return lessons, err
		}
		r.log.Warn("a job is posted again", "job", j.ID, "attempt", a.Attempt, "why", gone.why)
		if !gone.left {
			lost = append(lost, gone.why)
		}
		if len(lost) >= r.cfg.Attempts {
			return nil, fmt.Errorf("train %s: given up after %d attempts: %v: see the workers' logs; more attempts by trainer.workers.attempts", j.Pipeline, len(lost), lost)
		}
		j.Watch.waits(gone.why + "; it waits for another worker")
	}
}

// assign writes down all that a worker needs.
func (r *Remote) assign(ctx context.Context, p *Pipeline, s *Spec, j Job) (*assignment, error) {
	section, err := p.Section(s)
	if err != nil {
		return nil, fmt.Errorf("train %s: write its settings down: %w", j.Pipeline, err)
	}
	now := time.Now()
	a := &assignment{Job: j, Section: string(section), Memory: int64(r.memory), Posted: now.UnixNano(), Until: now.Add(r.cfg.Wait).UnixNano(), Limit: r.cfg.Limit, Beat: r.cfg.Beat, Missed: r.cfg.Missed}
	if s.Warm && j.Champion != "" && r.get != nil {
		m, err := r.get(j.Pipeline, j.Champion)
		if err == nil {
			a.Start, err = r.board.Save(ctx, j.ID, m.ONNX)
		}
		if err != nil {
			return nil, fmt.Errorf("train %s: the champion, to begin with: %w", j.Pipeline, err)
		}
	}
	return a, nil
}

func (r *Remote) tell(ctx context.Context, a *assignment, kind string) error {
	text, err := json.Marshal(word{Kind: kind, Job: a.ID, Attempt: a.Attempt})
	if err != nil {
		return err
	}
	return r.board.Tell(ctx, a.ID, text)
}

// attempt posts a job and waits for what comes of it.
func (r *Remote) attempt(ctx context.Context, box *inbox, a *assignment, watch *Watcher) (lessons []*Lesson, err error) {
	holder, silent := "", 0
	posted := time.Now()
	r.wait(a.ID, posted)
	taken := func(worker string) {
		if holder == "" {
			r.wait(a.ID, time.Time{})
			r.running.Inc()
			r.waited.Observe(time.Since(posted).Seconds())
		}
		holder = worker
	}
	defer func() {
		r.wait(a.ID, time.Time{})
		if holder != "" {
			r.running.Dec()
		}
		r.outcomes.WithLabelValues(outcomeOf(err)).Inc()
	}()
	order, err := a.encode()
	if err == nil {
		err = r.board.Post(ctx, a.ID, order)
	}
	if err != nil {
		return nil, err
	}
	if a.Attempt == 1 {
		watch.waits("it waits for a worker")
	}
	beat := time.NewTicker(r.cfg.Beat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-beat.C:
			if holder == "" && time.Now().UnixNano() > a.Until {
				return nil, fmt.Errorf("%w: train %s: none has taken the job for %v: start andon trainer, or set trainer.workers.by: local", errUntaken, a.Pipeline, r.cfg.Wait)
			}
			if err := r.tell(ctx, a, wordWanted); err != nil && ctx.Err() == nil {
				r.log.Warn("workers cannot be told that a job is wanted", "job", a.ID, "error", err)
			}
			continue
		case <-box.wake:
		}
		for _, w := range box.read() {
			switch {
			case w.Kind == wordCancel:
			case w.Kind == wordWanted: // ours: while we hear it, we would hear the worker
				if silent++; holder != "" && silent > r.cfg.Missed {
					return nil, &lostError{why: fmt.Sprintf("worker %s fell silent", holder)}
				}
			case w.Kind == wordDone: // of an earlier attempt, too, that was given up too early
				lessons, err := r.receive(ctx, &w)
				if err != nil && ctx.Err() == nil {
					return nil, &lostError{why: fmt.Sprintf("what worker %s made is not to be had: %v", w.Worker, err)}
				}
				return lessons, err
			case w.Attempt != a.Attempt:
			case w.Kind == wordTaken:
				silent = 0
				taken(w.Worker)
			case w.Worker != holder: // another got the same order, and was told first
			default:
				silent = 0
				if err := r.follow(&w, watch); err != nil {
					return nil, err
				}
			}
		}
	}
}

// follow passes on what the worker that has the job says.
func (r *Remote) follow(w *word, watch *Watcher) error {
	switch w.Kind {
	case wordReady:
		if watch.Ready != nil && w.Data != nil {
			return watch.Ready(*w.Data)
		}
	case wordBeat, wordEpoch:
		if watch.Took != nil && w.Usage != nil {
			watch.Took(w.Usage.usage(w.Worker))
		}
		if w.Kind == wordEpoch && watch.Epoch != nil && w.Epoch != nil {
			watch.Epoch(w.Epoch.progress())
		}
	case wordFailed:
		if w.Diverged {
			return fmt.Errorf("worker %s: %w", w.Worker, fit.ErrDiverged)
		}
		return fmt.Errorf("worker %s: %s", w.Worker, w.Why)
	case wordLeft:
		return &lostError{why: fmt.Sprintf("worker %s was stopped", w.Worker), left: true}
	}
	return nil
}

// receive fetches what a worker made.
func (r *Remote) receive(ctx context.Context, w *word) (all []*Lesson, err error) {
	for _, h := range w.Lessons {
		file, err := r.board.Load(ctx, h.Place)
		if err != nil {
			return nil, err
		}
		m, err := model.Parse(file)
		if err != nil {
			return nil, err
		}
		if m.Version != h.Version {
			return nil, fmt.Errorf("its file is version %s, not %s", m.Version, h.Version)
		}
		all = append(all, &Lesson{Model: m, Loss: h.Loss, Summary: h.Summary + "; made by worker " + w.Worker})
	}
	if len(all) == 0 {
		return nil, errors.New("it made none")
	}
	return all, nil
}

func (r *Remote) wait(job string, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.waiting, job); !since.IsZero() {
		r.waiting[job] = since
	}
}

// errUntaken tells that no worker came for a job.
var errUntaken = errors.New("no worker")

func outcomeOf(err error) string {
	var gone *lostError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &gone) && gone.left:
		return "left"
	case errors.As(err, &gone):
		return "lost"
	case errors.Is(err, errUntaken):
		return "untaken"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled"
	}
	return "failed"
}

// waits tells that a job waits, and for what.
func (w *Watcher) waits(why string) {
	if w.Waits != nil {
		w.Waits(why)
	}
}
