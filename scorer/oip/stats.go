package oip

import (
	"slices"
	"sync"
	"time"

	"andon/event"
)

// spent is where a call's time went.
type spent struct {
	// input reads the tensors from the request, queue waits for a run, infer is the run, output writes the answer.
	input, queue, infer, output time.Duration
}

// duration is a count of something that took time, as the statistics extension tells it.
type duration struct {
	Count uint64 `json:"count"`
	NS    uint64 `json:"ns"`
}

func (d *duration) add(t time.Duration) {
	d.Count++
	d.NS += uint64(max(t, 0))
}

// stats counts the calls of one version since the start. Only calls of the protocol count, not the line's own windows.
type stats struct {
	mu sync.Mutex
	snapshot
}

// snapshot is what stats counted.
type snapshot struct {
	last    time.Time
	windows uint64
	// runs is the calls' share of runs: a window in a run of b counts 1/b.
	runs                 float64
	success, fail, queue duration
	input, infer, output duration
	// batches are by the size of a call's first run; there are no more than max_batch.
	batches []batchStats
}

type batchStats struct {
	size                 int
	input, infer, output duration
}

// done counts a call that was answered.
func (s *stats) done(now time.Time, out []event.Verdict, took time.Duration, t *spent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = now
	s.windows += uint64(len(out))
	for i := range out {
		s.runs += 1 / float64(max(1, out[i].Batch))
	}
	s.success.add(took)
	s.queue.add(t.queue)
	s.input.add(t.input)
	s.infer.add(t.infer)
	s.output.add(t.output)
	size := int(out[0].Batch)
	i, found := slices.BinarySearchFunc(s.batches, size, func(b batchStats, size int) int { return b.size - size })
	if !found {
		s.batches = slices.Insert(s.batches, i, batchStats{size: size})
	}
	b := &s.batches[i]
	b.input.add(t.input)
	b.infer.add(t.infer)
	b.output.add(t.output)
}

func (s *stats) failed(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail.add(took)
}

// take returns a copy that does not change any more.
func (s *stats) take() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.snapshot
	c.batches = slices.Clone(c.batches)
	return c
}
