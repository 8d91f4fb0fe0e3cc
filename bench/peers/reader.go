package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reader is the independent consumer: read_committed, from the beginning, outside of any group.
type reader struct {
	cl    *kgo.Client
	addr  string
	topic string
	check Checker
	next  []int64
	last  []int64 // offset of the last record that was still missing, -1 for none
}

func newReader(addr, topic string, partitions int32, check Checker) *reader {
	r := &reader{addr: addr, topic: topic, check: check, next: make([]int64, partitions), last: make([]int64, partitions)}
	for p := range r.last {
		r.last[p] = -1
	}
	return r
}

// ReadTo checks everything before the given ends.
func (r *reader) ReadTo(ctx context.Context, ends []int64) error {
	if r.cl == nil {
		from := make(map[int32]kgo.Offset)
		for p := range r.next {
			from[int32(p)] = kgo.NewOffset().At(0)
		}
		cl, err := kgo.NewClient(kgo.SeedBrokers(r.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from}))
		if err != nil {
			return err
		}
		r.cl = cl
	}
	for !reached(r.next, ends) {
		fetches := r.cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", r.topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			r.next[rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() && r.check.Check(rec.Key, rec.Value) {
				r.last[rec.Partition] = rec.Offset
			}
		})
	}
	return nil
}

func (r *reader) Close() {
	if r.cl != nil {
		r.cl.Close()
	}
}

func reached(next, ends []int64) bool {
	for p, e := range ends {
		if next[p] < e {
			return false
		}
	}
	return true
}

func total(ends []int64) (sum int64) {
	for _, e := range ends {
		sum += e
	}
	return sum
}
