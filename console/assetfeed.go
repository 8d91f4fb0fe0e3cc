package console

import (
	"context"
	"errors"
	"sync"
	"time"
)

// storeDelay is within what time of being watched a row is in the store, unless the store is in trouble: a few flushes.
const storeDelay = 5 * time.Second

// pendingPoints bounds what waits for a client that reads slowly: some minutes of one asset at the hub's rate.
const pendingPoints = 4096

// assetFeed tells one asset's rows and scores as they come, after what the store remembers of it.
type assetFeed struct {
	hub      *hub
	deps     feedDeps
	pipeline string
	asset    string
	p        Pipeline
	// from is where the history begins, milliseconds of event time; negative before it is known: so long before the newest reading.
	from   int64
	opened time.Time
	past   *series

	mu     sync.Mutex
	rows   points
	scores points
	// lost counts points that were left out, between the times lostFrom and lostTo.
	lost             int
	lostFrom, lostTo float64
}

func newAssetFeed(h *hub, deps feedDeps, p Pipeline, asset string, from int64) *assetFeed {
	return &assetFeed{hub: h, deps: deps, pipeline: p.Name, asset: asset, p: p, from: from, opened: time.Now(),
		rows: newPoints(len(p.Signals)), scores: newPoints(2)}
}

// load follows the asset first and reads the history then, so that nothing falls between the two; what comes twice is the same point.
func (f *assetFeed) load() func(context.Context) *fault {
	f.hub.follow(f)
	return func(ctx context.Context) *fault {
		past, err := f.deps.history.readSeries(ctx, f.p, f.asset, f.from, endOfTime, f.deps.maxPoints)
		if err != nil && !errors.Is(err, context.Canceled) {
			return &fault{Type: "error", Code: codeStore, Message: err.Error()}
		}
		if past != nil {
			f.past, f.from = past, past.from
		}
		return nil
	}
}

func (f *assetFeed) close() { f.hub.unfollow(f) }

func (f *assetFeed) row(w *watched, r *watchedRow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows.add(ms(r.time), w.values[r.values.from:r.values.to]...)
	f.boundLocked(&f.rows)
}

func (f *assetFeed) score(s *watchedScore) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scores.add(ms(s.End), s.Value, s.Risk)
	f.boundLocked(&f.scores)
}

func ms(nanos int64) float64 { return float64(millis(nanos)) }

// boundLocked leaves out the older half of what waits when it has become too much.
func (f *assetFeed) boundLocked(p *points) {
	if p.len() <= pendingPoints {
		return
	}
	n := p.len() / 2
	if f.lost == 0 {
		f.lostFrom, f.lostTo = p.times[0], p.times[n-1]
	}
	f.lostFrom, f.lostTo = min(f.lostFrom, p.times[0]), max(f.lostTo, p.times[n-1])
	f.lost += n
	p.cut(n)
}

func (f *assetFeed) dirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows.len()+f.scores.len()+f.lost > 0
}

// assetSnapshot heads the two frames that follow it: the rows, then the scores.
type assetSnapshot struct {
	head
	Pipeline string   `json:"pipeline"`
	Asset    string   `json:"asset"`
	Signals  []string `json:"signals"`
	// From is where the snapshot begins; Step the milliseconds that one point of the past stands for, 0 where all points are there.
	From int64 `json:"from"`
	Step int64 `json:"step"`
	// Whole tells that no point can be missing between the past and the present; where it is false the page reads the history once more.
	Whole bool `json:"whole"`
}

func (f *assetFeed) snapshot(w *writer) error {
	rows, scores, _ := f.take()
	f.hub.feedsMu.Lock()
	whole := f.hub.recent.reaches(f.opened.Add(-storeDelay))
	f.hub.feedsMu.Unlock()
	if f.past == nil {
		f.past = &series{rows: newPoints(len(f.p.Signals)), scores: newPoints(2)}
	}
	f.past.rows.join(&rows, float64(f.from))
	f.past.scores.join(&scores, float64(f.from))
	past := f.past
	f.past = nil
	if err := w.json(assetSnapshot{head: w.head("snapshot"), Pipeline: f.pipeline, Asset: f.asset, Signals: f.p.Signals,
		From: f.from, Step: past.step, Whole: whole}); err != nil {
		return err
	}
	if err := f.frame(w, frameRows, frameSnapshot, &past.rows); err != nil {
		return err
	}
	return f.frame(w, frameScores, frameSnapshot, &past.scores)
}

func (f *assetFeed) delta(w *writer) error {
	rows, scores, missed := f.take()
	if missed.Count > 0 {
		f.hub.metrics.gaps.Add(float64(missed.Count))
		missed.head = w.head("gap")
		if err := w.json(missed); err != nil {
			return err
		}
	}
	if rows.len() > 0 {
		if err := f.frame(w, frameRows, 0, &rows); err != nil {
			return err
		}
	}
	if scores.len() > 0 {
		return f.frame(w, frameScores, 0, &scores)
	}
	return nil
}

func (f *assetFeed) frame(w *writer, kind, flags uint8, p *points) error {
	h := w.head("")
	w.c.buf = appendFrame(w.c.buf[:0], kind, flags, h.ID, h.Seq, p)
	return w.binary(w.c.buf)
}

// take returns what waits, in order of time, and leaves nothing waiting.
func (f *assetFeed) take() (rows, scores points, missed gap) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows, scores = f.rows, f.scores
	f.rows, f.scores = newPoints(len(f.p.Signals)), newPoints(2)
	missed = gap{Count: f.lost, From: int64(f.lostFrom), To: int64(f.lostTo)}
	f.lost = 0
	rows.sort()
	scores.sort()
	return rows, scores, missed
}
