package scorer

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model/ort"
)

// request is one call's windows, or pictures. All but what a run needs of its part is guarded by Scorer.mu.
type request struct {
	windows []float32
	out     []event.Verdict
	sight   sight // of pictures
	arrived time.Time
	q       *queue
	// Of n windows, the first taken have gone to runs, of which flying are not back yet.
	n, taken, flying int
	err              error
	done             bool
	// wake gets one token when the last window is back or dropped.
	wake       chan struct{}
	prev, next *request
}

// queue holds what waits for one model, oldest first, and the model's session. It is guarded by Scorer.mu.
type queue struct {
	version string
	scores  prometheus.Counter
	// loaded is closed once session or err is set.
	loaded  chan struct{}
	session *session
	err     error
	// retired is set while the model is on its way out; expired when its grace is over.
	retired *time.Timer
	expired bool
	// inUse counts the calls inside.
	inUse int

	head, tail *request
	// rows are waiting, flying are in runs.
	rows, flying int
	slots        []*batch // free ones
	// perWindow is about what a window takes in the runs of late.
	perWindow time.Duration
	// company is when two calls were last inside together.
	company time.Time
	// gathering is set while somebody waits, on enough or until patience ends, for windows to join a run.
	gathering bool
	enough    chan struct{}
	patience  *time.Timer
}

func newQueue(version string, scores prometheus.Counter) *queue {
	q := &queue{version: version, scores: scores, loaded: make(chan struct{}), enough: make(chan struct{}, 1), patience: time.NewTimer(0)}
	q.patience.Stop()
	return q
}

func (q *queue) push(r *request) {
	r.q = q
	q.append(r)
	q.rows += r.n
}

func (q *queue) append(r *request) {
	r.prev, r.next = q.tail, nil
	if q.tail != nil {
		q.tail.next = r
	} else {
		q.head = r
	}
	q.tail = r
}

func (q *queue) unlink(r *request) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		q.head = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		q.tail = r.prev
	}
	r.prev, r.next = nil, nil
}

func (q *queue) free() {
	for _, b := range q.slots {
		b.close()
	}
	q.session.Close()
}

// batch is one run: windows of one or more requests in a slot.
type batch struct {
	*slot
	q     *queue
	n     int
	parts []part
	err   error
	// start and took are of the run.
	start time.Time
	took  time.Duration
}

// part is what a request has in a run: windows [at, at+n) of its own.
type part struct {
	r     *request
	at, n int
	err   error
	// got is what a loose session gave.
	got []ort.Array
}

// work fills a worker's place: with a request of the caller's own until all of it is taken, without one until nothing is queued.
func (s *Scorer) work(ctx context.Context, own *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gathered := false
	for s.rows > 0 {
		if own != nil {
			if err := ctx.Err(); err != nil {
				s.abandonLocked(own, err)
			}
			if own.taken == own.n {
				break
			}
		}
		q := s.nextLocked()
		if !gathered && s.gatherLocked(q) {
			gathered = true
			continue
		}
		gathered = false
		b := s.takeLocked(q)
		if s.rows > 0 && s.idle > 0 {
			s.idle--
			s.helpLocked()
		}
		s.mu.Unlock()
		b.err = s.run(b)
		s.mu.Lock()
		s.finishLocked(b)
	}
	if s.rows > 0 {
		s.helpLocked()
	} else {
		s.idle++
		s.maybeShadeLocked()
	}
}

// helpLocked gives the caller's place to a goroutine of its own.
func (s *Scorer) helpLocked() {
	s.helpers.Add(1)
	go func() {
		defer s.helpers.Done()
		s.work(context.Background(), nil)
	}()
}

// gatherLocked lets the lock go for a while if that may make the next run of q better, and reports whether it did.
func (s *Scorer) gatherLocked(q *queue) bool {
	if q.rows >= q.most() {
		return false
	}
	let := false
	if time.Since(q.company) < companyLasts {
		// Callers that are ready to run bring their windows along; without any this returns at once.
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		let = true
	}
	// Windows that are being scored now belong to callers who may soon bring more.
	if s.cfg.MaxDelay == 0 || q.gathering || q.rows == 0 || q.flying == 0 || q.rows >= s.evenLocked(q) || s.rows > q.rows {
		return let
	}
	q.gathering = true
	select {
	case <-q.enough: // of an earlier time
	default:
	}
	q.patience.Reset(s.cfg.MaxDelay)
	s.mu.Unlock()
	select {
	case <-q.enough:
	case <-q.patience.C:
	}
	s.mu.Lock()
	q.patience.Stop()
	q.gathering = false
	return true
}

// companyLasts is how long after two calls were inside together the next are expected to be.
const companyLasts = 10 * time.Millisecond

// nudgeLocked ends the wait of whoever gathers for q once there is enough, or nobody to wait for.
func (s *Scorer) nudgeLocked(q *queue) {
	if q.gathering && (q.rows >= s.evenLocked(q) || q.flying == 0 || s.rows > q.rows) {
		select {
		case q.enough <- struct{}{}:
		default:
		}
	}
}

// evenLocked is the size of run that shares all windows inside evenly among the workers, so that none is left with crumbs or nothing.
func (s *Scorer) evenLocked(q *queue) int {
	return min(q.most(), (q.rows+q.flying+s.cfg.Workers-1)/s.cfg.Workers)
}

// most is how many windows or pictures a run takes.
func (q *queue) most() int {
	n := q.session.maxBatch
	if q.session.sees && q.perWindow > 0 {
		n = min(n, max(1, int(longestSight/q.perWindow)))
	}
	return n
}

// takeLocked takes a run's windows from q, from its oldest request on. A request that is not used up goes to the end, so that a short one need not wait for a
// long one. Below what is whole none is split to keep idle workers busy.
func (s *Scorer) takeLocked(q *queue) *batch {
	size := min(q.rows, q.most(), max(s.evenLocked(q), q.session.whole))
	s.turn++
	b := s.slotLocked(q)
	for b.n < size {
		r := q.head
		n := min(size-b.n, r.n-r.taken)
		b.parts = append(b.parts, part{r: r, at: r.taken, n: n})
		b.n += n
		r.taken += n
		r.flying += n
		q.unlink(r)
		if r.taken < r.n {
			q.append(r)
		}
	}
	q.rows -= b.n
	q.flying += b.n
	s.rows -= b.n
	return b
}

// slotLocked returns an empty run of a model.
func (s *Scorer) slotLocked(q *queue) *batch {
	var b *batch
	if n := len(q.slots); n > 0 {
		b, q.slots = q.slots[n-1], q.slots[:n-1]
	} else {
		b = &batch{slot: q.session.newSlot(), q: q}
	}
	b.n, b.parts, b.err, b.took = 0, b.parts[:0], nil, 0
	return b
}

// nextLocked returns the queue whose turn it is among those that are not empty; there must be one.
func (s *Scorer) nextLocked() *queue {
	for {
		if q := s.ready[s.turn%len(s.ready)]; q.rows > 0 {
			return q
		}
		s.turn++
	}
}

// run computes a batch and hands the verdicts to their requests.
func (s *Scorer) run(b *batch) error {
	err := b.compute()
	for _, p := range b.parts {
		if p.at == 0 {
			s.metrics.queue.Observe(b.start.Sub(p.r.arrived).Seconds())
		}
	}
	if err != nil {
		return err
	}
	s.metrics.batch.Observe(float64(b.n))
	s.metrics.compute.Observe(b.took.Seconds())
	return nil
}

// compute runs the model on the windows or pictures of a batch's parts, and sets what it says of them.
func (b *batch) compute() error {
	size := b.s.size
	at := 0
	b.start = time.Now()
	for _, p := range b.parts {
		copy(b.in[at*size:], p.r.windows[p.at*size:(p.at+p.n)*size])
		at += p.n
	}
	if b.s.sees {
		return b.see()
	}
	if err := b.slot.run(b.n); err != nil {
		return err
	}
	b.took = time.Since(b.start)
	at = 0
	for i := range b.parts {
		p := &b.parts[i]
		how := event.Run{Batch: uint32(b.n), Queue: int64(b.start.Sub(p.r.arrived)), Compute: int64(b.took)}
		for row := p.at; row < p.at+p.n; row++ {
			v := b.verdict(at)
			v.Run = how
			if !finite(v) && p.err == nil {
				p.err = fmt.Errorf("window %d of %d: value %v, risk %v: not finite", row, len(p.r.out), v.Value, v.Risk)
			}
			p.r.out[row] = v
			at++
		}
	}
	return nil
}

// finishLocked gives a run's slot back and ends the requests that have all their verdicts.
func (s *Scorer) finishLocked(b *batch) {
	q := b.q
	q.slots = append(q.slots, b)
	q.flying -= b.n
	if b.err == nil {
		q.learnLocked(b.took / time.Duration(b.n))
	}
	for i := range b.parts {
		p := &b.parts[i]
		r := p.r
		r.flying -= p.n
		if p.err == nil {
			p.err = b.err
		}
		if p.err != nil {
			s.dropLocked(r, p.err)
		} else if p.got != nil {
			r.sight.pieces = append(r.sight.pieces, piece{p.at, p.n, p.got})
		}
		s.maybeDoneLocked(r)
		*p = part{}
	}
	s.nudgeLocked(q)
}

// abandonLocked drops what no run has taken of a request whose caller gives up.
func (s *Scorer) abandonLocked(r *request, err error) {
	if r.taken < r.n {
		s.dropLocked(r, err)
		s.maybeDoneLocked(r)
	}
}

func (s *Scorer) dropLocked(r *request, err error) {
	if r.err == nil {
		r.err = err
	}
	if left := r.n - r.taken; left > 0 {
		r.q.unlink(r)
		r.q.rows -= left
		s.rows -= left
		r.n = r.taken
	}
}

func (s *Scorer) maybeDoneLocked(r *request) {
	if r.done || r.flying > 0 || r.taken < r.n {
		return
	}
	r.done = true
	r.q.inUse--
	s.maybeFreeLocked(r.q)
	r.wake <- struct{}{} // last: the caller, who holds no lock, uses the request again
}
