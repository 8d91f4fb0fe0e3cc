package console

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"andon/event"
)

// watch takes what the line tells and hands it to the hub's goroutine. It never makes the line wait: what exceeds the budget or finds the queue full is
// dropped and counted.
type watch struct {
	queue     chan *watched
	trainings chan event.Training
	free      sync.Pool
	// budget is how many more rows and scores may be copied before the next refill: the bound on what watching costs the line.
	budget  atomic.Int64
	perTick int64
	metrics *metrics
}

// watched is a copy of one call's rows and scores. Assets are ranges of text, so that copying allocates nothing after warm-up.
type watched struct {
	pipeline string
	arrived  time.Time
	text     []byte
	rows     []watchedRow
	values   []float32
	scores   []watchedScore
}

type span struct{ from, to uint32 }

func (w *watched) asset(s span) []byte { return w.text[s.from:s.to] }

type watchedRow struct {
	asset span
	time  int64
	// values is the range of watched.values.
	values span
}

type watchedScore struct {
	asset span
	event.Score
}

// ticksPerSecond is how often the budget is refilled and the clients are woken: the fastest that the page is drawn by data.
const ticksPerSecond = 10

func newWatch(rowsPerSecond int, m *metrics) *watch {
	w := &watch{
		// At ten ticks a second and a few dozen partitions this holds more than a tick.
		queue:     make(chan *watched, 512),
		trainings: make(chan event.Training, 256),
		perTick:   int64(max(rowsPerSecond/ticksPerSecond, 1)),
		metrics:   m,
	}
	w.free.New = func() any { return new(watched) }
	w.refill()
	return w
}

// refill allows another tick's worth; what was not used is not saved up.
func (w *watch) refill() { w.budget.Store(w.perTick) }

// take reserves up to n of the budget.
func (w *watch) take(n int) int {
	for {
		left := w.budget.Load()
		got := min(int64(n), left)
		if got <= 0 {
			return 0
		}
		if w.budget.CompareAndSwap(left, left-got) {
			return int(got)
		}
	}
}

// observe copies what it may. Where the budget is short the newest are taken, since they are what a screen shows.
func (w *watch) observe(pipeline string, rows []event.Row, scores []event.Score) {
	ns := w.take(len(scores))
	nr := w.take(len(rows))
	w.metrics.dropped(kindScores, len(scores)-ns)
	w.metrics.dropped(kindRows, len(rows)-nr)
	if ns+nr == 0 {
		return
	}
	c := w.free.Get().(*watched)
	c.fill(pipeline, rows[len(rows)-nr:], scores[len(scores)-ns:])
	select {
	case w.queue <- c:
	default:
		w.free.Put(c)
		w.metrics.dropped(kindScores, ns)
		w.metrics.dropped(kindRows, nr)
	}
}

func (w *watch) training(t event.Training) {
	t.Run, t.Pipeline, t.Version, t.Detail = strings.Clone(t.Run), strings.Clone(t.Pipeline), strings.Clone(t.Version), strings.Clone(t.Detail)
	select {
	case w.trainings <- t:
	default:
		w.metrics.dropped(kindTrainings, 1)
	}
}

func (w *watched) fill(pipeline string, rows []event.Row, scores []event.Score) {
	w.pipeline, w.arrived = pipeline, time.Now()
	w.text, w.rows, w.values, w.scores = w.text[:0], w.rows[:0], w.values[:0], w.scores[:0]
	put := func(asset string) span {
		from := uint32(len(w.text))
		w.text = append(w.text, asset...)
		return span{from, uint32(len(w.text))}
	}
	for i := range rows {
		r := &rows[i]
		from := uint32(len(w.values))
		for _, v := range r.Values {
			w.values = append(w.values, float32(v))
		}
		w.rows = append(w.rows, watchedRow{asset: put(r.Asset), time: r.Time, values: span{from, uint32(len(w.values))}})
	}
	for i := range scores {
		s := watchedScore{asset: put(scores[i].Asset), Score: scores[i]}
		s.Score.Asset = ""
		w.scores = append(w.scores, s)
	}
}
