package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestProgressFollowsTheOldestOpenBatch(t *testing.T) {
	p := newProgress()
	rec := func(partition int32, offset int64) *kgo.Record {
		return &kgo.Record{Partition: partition, Offset: offset}
	}
	a, b, c := p.begin(rec(0, 10)), p.begin(rec(0, 20)), p.begin(rec(0, 30))
	other := p.begin(rec(1, 5))
	if r := b(); r != nil {
		t.Fatalf("moved to %d while an older batch is open", r.Offset)
	}
	if r := other(); r == nil || r.Offset != 5 {
		t.Fatalf("the other partition: %v, want 5", r)
	}
	if r := a(); r == nil || r.Offset != 20 {
		t.Fatalf("got %v, want 20", r)
	}
	if r := c(); r == nil || r.Offset != 30 {
		t.Fatalf("got %v, want 30", r)
	}
}
