package ingest

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What waits is taken as one piece, up to the partition's end, and given back to the budget whole.
func TestGather(t *testing.T) {
	b := NewBudget(1<<20, NewMetrics(prometheus.NewRegistry()))
	paused := 0
	q := newQueue(b, 100, func() { paused++ }, func() { paused-- })
	if _, ok := q.gather(); ok {
		t.Fatal("something was gathered of nothing")
	}
	records := func(first, n int) (all []*kgo.Record) {
		for i := range n {
			all = append(all, &kgo.Record{Offset: int64(first + i)})
		}
		return all
	}
	first := records(0, 3)
	q.push(piece{records: first[:2], start: 0, end: 2, received: 10, cost: 40})
	q.push(piece{records: records(2, 3), start: 1, end: 9, received: 11, cost: 50})
	q.push(piece{records: records(5, 1), start: 1, end: 12, received: 12, cost: 30})
	q.push(piece{none: true, end: 12})
	if paused != 1 {
		t.Error("120 bytes wait and the partition is not paused")
	}
	p, ok := q.gather()
	if !ok || p.none || len(p.records) != 6 || p.start != 0 || p.end != 12 || p.received != 12 || p.cost != 120 {
		t.Fatalf("%v %+v", ok, p)
	}
	for i, r := range p.records {
		if r.Offset != int64(i) {
			t.Errorf("record %d has offset %d", i, r.Offset)
		}
	}
	if first[2].Offset != 2 {
		t.Error("the client's slice was written to")
	}
	q.handled(p)
	if b.Used() != 0 || paused != 0 {
		t.Errorf("%d bytes are still taken, paused %d", b.Used(), paused)
	}
	if p, ok := q.gather(); !ok || !p.none {
		t.Errorf("the end: %v %+v", ok, p)
	}
}
