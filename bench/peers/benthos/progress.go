package main

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// progress orders the acknowledgements of batches by partition.
type progress struct {
	mu   sync.Mutex
	open map[int32][]*span
}

// span is one batch: its last record, and whether the batch is acknowledged.
type span struct {
	last *kgo.Record
	done bool
}

func newProgress() *progress { return &progress{open: make(map[int32][]*span)} }

// begin notes a batch that ends with last. The function it returns acknowledges the batch and returns the record up to which the partition may be committed
// now, nil when that has not moved.
func (p *progress) begin(last *kgo.Record) func() *kgo.Record {
	s := &span{last: last}
	p.mu.Lock()
	p.open[last.Partition] = append(p.open[last.Partition], s)
	p.mu.Unlock()
	return func() *kgo.Record {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.done = true
		var to *kgo.Record
		spans := p.open[last.Partition]
		for len(spans) > 0 && spans[0].done {
			to, spans = spans[0].last, spans[1:]
		}
		p.open[last.Partition] = spans
		return to
	}
}
