// Package scorer gives the verdict: it runs models on windows, or on pictures (pictures.go), many callers' in one run.
//
// There are no worker goroutines to wake while there is little to do: a call that finds a worker's place free runs its own windows on its own goroutine.
// While all places are taken, calls queue and whoever ends a run takes what has gathered, of all callers, as the next run. A place whose caller is
// served while others wait goes to a goroutine that lives until the queues are empty. Shadows take a place that nobody wants (shadow.go), and calls that come with a
// deadline are refused where it cannot be met (deadline.go).
//
// Metrics: andon_scorer_scores_total, _failures_total, _batch_size, _queue_seconds, _compute_seconds, _models, _cpu_fallbacks_total,
// _busy_total (calls of Serve that were not taken).
package scorer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// ErrClosed is returned by calls that come after Close.
var ErrClosed = errors.New("the scorer is closed")

// Scorer runs models. All methods are safe for concurrent use.
type Scorer struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	// gate holds a token for each call inside.
	gate     chan struct{}
	requests sync.Pool
	// scored counts the verdicts given, over all models.
	scored atomic.Uint64

	mu sync.Mutex
	// idle is the number of workers' places that are free, rows the number of windows queued for all models.
	idle, rows int
	queues     map[string]*queue
	// ready lists the queues whose model is loaded; turn is the one that is served next.
	ready  []*queue
	turn   int
	closed bool
	// shadows wait, oldest first, one of them perhaps in a run; shading is set while a place is theirs.
	shadows []*shadow
	shading bool

	calls   sync.WaitGroup // calls inside
	helpers sync.WaitGroup // goroutines and timers of ours
}

// New makes a scorer for a valid configuration.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Scorer {
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	return &Scorer{cfg: cfg, log: log, metrics: newMetrics(reg), gate: make(chan struct{}, cfg.Queue), idle: cfg.Workers, queues: map[string]*queue{},
		requests: sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}}
}

// Score fills out with the verdicts of len(out) windows, row-major [len(out), Length, Width], each with the run that it came from, and blocks until all are there. Both slices are the caller's again
// when it returns. A model that was not loaded is loaded first. After an error out is undefined; when a verdict is not finite the error names its row.
// When ctx ends, windows that no run has taken yet are dropped and its error is returned.
func (s *Scorer) Score(ctx context.Context, m *model.Model, windows []float32, out []event.Verdict) error {
	return naming(m, s.score(ctx, m, windows, out, false))
}

// score is Score or, for an impatient caller, Serve.
func (s *Scorer) score(ctx context.Context, m *model.Model, windows []float32, out []event.Verdict, impatient bool) error {
	if m.Picture != nil {
		return errors.New("it takes pictures, not windows")
	}
	if size := m.Recipe.Length * m.Recipe.Width(); len(windows) != len(out)*size {
		return fmt.Errorf("%d numbers are not %d windows of %dx%d", len(windows), len(out), m.Recipe.Length, m.Recipe.Width())
	}
	if err := s.admit(ctx, len(out), impatient); err != nil || len(out) == 0 {
		return err
	}
	defer s.leave()
	r := s.requests.Get().(*request)
	*r = request{windows: windows, out: out, n: len(out), arrived: time.Now(), wake: r.wake}
	err := s.serve(ctx, m, r, len(out), impatient)
	r.windows, r.out, r.q = nil, nil, nil
	s.requests.Put(r)
	return err
}

// admit waits for a place inside, which leave gives back, for a call of n windows; none takes none.
func (s *Scorer) admit(ctx context.Context, n int, impatient bool) error {
	if err := ctx.Err(); err != nil || n == 0 {
		return err
	}
	select {
	case s.gate <- struct{}{}:
		return nil
	default:
	}
	if impatient {
		return fmt.Errorf("%w: %d calls are inside (scorer.queue)", ErrBusy, s.cfg.Queue)
	}
	select {
	case s.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Scorer) leave() { <-s.gate }

// serve queues a request of n windows or pictures, has a part in running them where a place is free, and returns when no run has anything of it.
func (s *Scorer) serve(ctx context.Context, m *model.Model, r *request, n int, impatient bool) error {
	q, lead, err := s.enter(ctx, m, r, impatient)
	if err != nil {
		return err
	}
	defer s.calls.Done()
	if lead {
		s.work(ctx, r)
	}
	if impatient {
		s.await(ctx, r)
	} else {
		select {
		case <-r.wake:
		case <-ctx.Done():
			s.giveUp(r, ctx.Err())
		}
	}
	if err = r.err; err == nil {
		q.scores.Add(float64(n))
		s.scored.Add(uint64(n))
	} else if ctx.Err() == nil && !errors.Is(err, ErrBusy) {
		s.metrics.failures.WithLabelValues(m.Pipeline).Inc()
	}
	return err
}

// Scored returns how many verdicts were given since New.
func (s *Scorer) Scored() uint64 { return s.scored.Load() }

// enter queues a request at its model and reports whether its caller has a worker's place.
func (s *Scorer) enter(ctx context.Context, m *model.Model, r *request, impatient bool) (q *queue, lead bool, err error) {
	s.mu.Lock()
	for {
		if s.closed {
			s.mu.Unlock()
			return nil, false, ErrClosed
		}
		q = s.queues[m.Version]
		if q != nil && q.session != nil {
			break
		}
		s.mu.Unlock()
		if err := s.load(ctx, m); err != nil {
			return nil, false, fmt.Errorf("load it: %w", err)
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if impatient {
		if err := s.refuseLocked(ctx, q, r.n); err != nil {
			return nil, false, err
		}
	}
	s.calls.Add(1)
	q.inUse++
	if q.inUse > 1 {
		q.company = r.arrived
	}
	q.push(r)
	s.rows += r.n
	for _, other := range s.ready {
		s.nudgeLocked(other)
	}
	if q.gathering || s.idle == 0 {
		return q, false, nil
	}
	s.idle--
	return q, true, nil
}

// Load makes a model ready: it checks that the file fits its recipe or picture, and runs it until it is warm. A model that is loaded already, or being loaded, is
// waited for and not loaded twice; one that was retired is kept.
func (s *Scorer) Load(ctx context.Context, m *model.Model) error {
	if err := s.load(ctx, m); err != nil {
		return fmt.Errorf("load model %s of %s: %w", m.Version, m.Pipeline, err)
	}
	return nil
}

func (s *Scorer) load(ctx context.Context, m *model.Model) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	if q := s.queues[m.Version]; q != nil {
		s.reviveLocked(q)
		s.mu.Unlock()
		select {
		case <-q.loaded:
			return q.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	q := newQueue(m.Version, s.metrics.scores.WithLabelValues(m.Pipeline))
	s.queues[m.Version] = q
	s.calls.Add(1)
	defer s.calls.Done()
	s.mu.Unlock()

	start := time.Now()
	session, err := newSession(m, &s.cfg)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(q.loaded)
	if err != nil {
		q.err = err
		delete(s.queues, m.Version)
		return err
	}
	q.session = session
	s.ready = append(s.ready, q)
	s.metrics.models.Inc()
	s.log.Info("model loaded", "pipeline", m.Pipeline, "version", m.Version, "provider", session.Provider(), "took", time.Since(start))
	if why := session.Fallback(); why != nil {
		s.metrics.onCPU.Inc()
		s.log.Warn("model runs on the CPU: CUDA does not work here", "pipeline", m.Pipeline, "version", m.Version, "error", why)
	}
	if session.alone != nil {
		s.log.Info("pictures run one by one", "pipeline", m.Pipeline, "version", m.Version, "because", session.alone)
	}
	return nil
}

// Retire lets a model go: after the grace period, and once no call uses it, its memory is freed. A later Load or Score of it loads it again.
func (s *Scorer) Retire(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[version]; q != nil && q.retired == nil && !s.closed {
		s.retireLocked(q)
	}
}

func (s *Scorer) retireLocked(q *queue) {
	s.helpers.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(s.cfg.Grace, func() {
		defer s.helpers.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		if q.retired != timer {
			return // revived as the timer fired, and perhaps retired again since
		}
		q.expired = true
		s.maybeFreeLocked(q)
	})
	q.retired = timer
}

// Loaded reports whether a version can be scored with at once, and will be for longer than the grace of a retired one.
func (s *Scorer) Loaded(version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[version]
	return q != nil && q.session != nil && q.retired == nil
}

func (s *Scorer) reviveLocked(q *queue) {
	if q.retired != nil && q.retired.Stop() {
		s.helpers.Done()
	}
	q.retired, q.expired = nil, false
}

// maybeFreeLocked frees a model that is retired, past its grace and unused.
func (s *Scorer) maybeFreeLocked(q *queue) {
	if !q.expired || q.inUse > 0 || q.session == nil {
		return
	}
	s.forgetLocked(q)
	s.helpers.Add(1)
	go func() { // freeing takes a while, and the lock is everybody's
		defer s.helpers.Done()
		q.free()
	}()
}

func (s *Scorer) forgetLocked(q *queue) {
	delete(s.queues, q.version)
	s.ready = slices.DeleteFunc(s.ready, func(o *queue) bool { return o == q })
	s.metrics.models.Dec()
}

// Close refuses further calls, waits for those inside, and frees all models. A second Close does nothing more.
func (s *Scorer) Close() {
	s.mu.Lock()
	s.closed = true
	for _, sh := range slices.Clone(s.shadows) {
		s.dropShadowLocked(sh, ErrClosed)
	}
	s.mu.Unlock()
	s.calls.Wait()
	s.mu.Lock()
	queues := slices.Clone(s.ready)
	for _, q := range s.queues {
		s.reviveLocked(q)
	}
	for len(s.ready) > 0 {
		s.forgetLocked(s.ready[0])
	}
	s.mu.Unlock()
	for _, q := range queues {
		q.free()
	}
	s.helpers.Wait()
}
