package ingest

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// piece is what one fetch brought of one partition.
type piece struct {
	records    []*kgo.Record
	start, end int64 // the log's first offset and its end at that time
	received   int64 // Unix nanoseconds
	cost       int64 // of the budget
	none       bool  // instead of a fetch: there are no more records before the partition's end
}

// recordCost is what a fetched record takes beside its bytes: the client's Record and the pointer to it.
const recordCost = 176

// queue holds the pieces that wait for a partition's goroutine. It never blocks the poll: a partition with too much waiting is paused at the broker instead, so
// that it cannot use up the budget of the others.
type queue struct {
	budget        *Budget
	share         int64 // bytes waiting from which the partition is paused; half of it resumes
	pause, resume func()
	ready         chan struct{} // has one element when pieces may wait

	mu     sync.Mutex
	pieces []piece
	bytes  int64 // of the pieces waiting or in hand
	paused bool
	closed bool
}

func newQueue(budget *Budget, share int64, pause, resume func()) queue {
	return queue{budget: budget, share: share, pause: pause, resume: resume, ready: make(chan struct{}, 1)}
}

// push adds a piece, unless the queue is closed.
func (q *queue) push(p piece) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.budget.take(p.cost)
	q.bytes += p.cost
	q.pieces = append(q.pieces, p)
	if q.bytes >= q.share && !q.paused {
		q.paused = true
		q.pause()
	}
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop takes the oldest piece; handled must follow.
func (q *queue) pop() (piece, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pieces) == 0 {
		return piece{}, false
	}
	p := q.pieces[0]
	q.pieces[0] = piece{}
	q.pieces = q.pieces[1:]
	return p, true
}

// gather takes all pieces that wait, as one: who may leave out what is old must see what is new. handled must follow.
func (q *queue) gather() (piece, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pieces) == 0 {
		return piece{}, false
	}
	all, n := q.pieces[0], 1
	if all.none {
		q.pieces = q.pieces[1:]
		return all, true
	}
	for _, p := range q.pieces[1:] {
		if p.none {
			break
		}
		if n == 1 {
			all.records = slices.Clip(all.records) // the client's slice stays as it is
		}
		all.records, all.cost, all.end, all.received = append(all.records, p.records...), all.cost+p.cost, p.end, p.received
		n++
	}
	clear(q.pieces[:n])
	q.pieces = q.pieces[n:]
	return all, true
}

// handled gives back what a popped piece took.
func (q *queue) handled(p piece) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.giveBackLocked(p.cost)
	if q.paused && !q.closed && q.bytes <= q.share/2 {
		q.paused = false
		q.resume()
	}
}

// empty tells that nothing waits or is in hand.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes == 0
}

// finish drops what waits and what still comes, and has the brokers send no more. close must follow.
func (q *queue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pieces {
		q.giveBackLocked(p.cost)
	}
	q.pieces, q.closed = nil, true
	if !q.paused {
		q.paused = true
		q.pause()
	}
}

// close drops what waits.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.pieces {
		q.giveBackLocked(p.cost)
	}
	q.pieces, q.closed = nil, true
	if q.paused { // the client would remember it when the partition comes back
		q.paused = false
		q.resume()
	}
}

func (q *queue) giveBackLocked(n int64) {
	q.bytes -= n
	q.budget.take(-n)
}
