package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reader reads one partition of the local log in order. Its memory is that of two fetches.
type reader struct {
	client  *kgo.Client
	pending []*kgo.Record
	next    int64 // the offset after the last that was seen, records or not
}

// fetchMost bounds what one answer of the local log holds; a record that is larger comes alone.
const fetchMost = 2 << 20

func (u *Uplink) open(r *route, at int64) (*reader, error) {
	client, err := kgo.NewClient(append(u.localOpts[:len(u.localOpts):len(u.localOpts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: {r.partition: kgo.NewOffset().At(at)}}),
		// What the log let go of meanwhile is seen as a hole.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // markers take offsets, too
		kgo.FetchMaxBytes(fetchMost), kgo.FetchMaxPartitionBytes(fetchMost), kgo.FetchMaxWait(5*time.Second), kgo.MaxConcurrentFetches(1))...)
	if err != nil {
		return nil, err
	}
	return &reader{client: client, next: at}, nil
}

// gather waits for a record and for those that come within interval after it, up to bytes and count of them, records of size at least one. Records that are
// not taken stay. With nothing by idle it returns none.
func (r *reader) gather(ctx context.Context, bytes int64, count int, interval, idle time.Duration) (batch []*kgo.Record, err error) {
	deadline := time.Now().Add(idle)
	var n int64
	for {
		for len(r.pending) > 0 && len(batch) < count && (len(batch) == 0 || n+int64(size(r.pending[0])) <= bytes) {
			if len(batch) == 0 {
				deadline = time.Now().Add(interval)
			}
			n += int64(size(r.pending[0]))
			batch = append(batch, r.pending[0])
			r.pending = r.pending[1:]
		}
		if len(r.pending) > 0 || len(batch) >= count || n >= bytes || !time.Now().Before(deadline) {
			return batch, ctx.Err()
		}
		poll, cancel := context.WithDeadline(ctx, deadline)
		fetches := r.client.PollFetches(poll)
		cancel()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				return nil, fmt.Errorf("read %s/%d of the local log: %w", e.Topic, e.Partition, e.Err)
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			r.next = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				r.pending = append(r.pending, rec)
			}
		})
	}
}

// back returns records that were gathered and not taken.
func (r *reader) back(batch []*kgo.Record) {
	r.pending = append(batch[:len(batch):len(batch)], r.pending...)
}

// through is the offset up to which all is in what was gathered so far.
func (r *reader) through() int64 {
	if len(r.pending) > 0 {
		return r.pending[0].Offset
	}
	return r.next
}

// start asks where a partition of the local log begins.
func (u *Uplink) start(ctx context.Context, r *route) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	starts, err := kadm.NewClient(u.local).ListStartOffsets(ctx, r.topic)
	if err != nil {
		return 0, fmt.Errorf("ask for the begin of %s: %w", r.key, err)
	}
	at, ok := starts.Lookup(r.topic, r.partition)
	if !ok || at.Err != nil {
		return 0, fmt.Errorf("ask for the begin of %s: %w", r.key, errors.Join(at.Err, errors.New("the local log does not answer for it")))
	}
	return at.Offset, nil
}

// scan calls f with the records of a topic, read committed, from the offsets given, or their begin, to where its partitions end now.
func scan(ctx context.Context, opts []kgo.Opt, topic string, from map[int32]int64, f func(*kgo.Record)) error {
	fail := func(err error) error { return fmt.Errorf("read %s: %w", topic, err) }
	ask, err := kadm.NewOptClient(opts...)
	if err != nil {
		return fail(err)
	}
	defer ask.Close()
	starts, err1 := ask.ListStartOffsets(ctx, topic)
	ends, err2 := ask.ListCommittedOffsets(ctx, topic)
	if err := errors.Join(err1, err2, starts.Error(), ends.Error()); err != nil {
		return fail(err)
	}
	left, begin := map[int32]int64{}, map[int32]kgo.Offset{}
	for id, end := range ends[topic] {
		at, start := from[id], starts[topic][id].Offset
		if at < start || at > end.Offset { // a topic that was made anew ends before
			at = start
		}
		if at < end.Offset {
			left[id], begin[id] = end.Offset, kgo.NewOffset().At(at)
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: begin}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxBytes(8<<20), kgo.FetchMaxPartitionBytes(fetchMost))...)
	if err != nil {
		return fail(err)
	}
	defer client.Close()
	for len(left) > 0 {
		poll, cancel := context.WithTimeout(ctx, 30*time.Second)
		fetches := client.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); errors.Is(err, context.DeadlineExceeded) {
			return fail(errors.New("the brokers sent nothing for 30 s"))
		} else if err != nil {
			return fail(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, ok := left[r.Partition]
			if !ok || r.Offset >= end {
				delete(left, r.Partition)
				return
			}
			if !r.Attrs.IsControl() {
				f(r)
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}
