package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// entry is one record as the log holds it, by its headers: what the loader says of it, not what the appliance makes of it.
type entry struct {
	offset int64
	id     uint64
	kind   string
	asset  string
	time   int64
	// scored and score are what must come of it.
	scored bool
	score  float64
	// again tells that the log holds the record twice, because a producer had to send it again: what must come of the second is not decided.
	again bool
}

// truth reads the log by itself and knows what must come of each record.
type truth struct {
	seen   map[uint64]bool
	assets map[string][]float64 // the last values of each
	next   [partitions]int64
	// doubled counts records that the broker holds twice.
	doubled int
}

func newTruth() *truth { return &truth{seen: map[uint64]bool{}, assets: map[string][]float64{}} }

// ends returns the log's ends.
func ends(ctx context.Context, broker string) (out [partitions]int64, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ClientID("chaos-truth"))
	if err != nil {
		return out, err
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err := errors.Join(err, listed.Error()); err != nil {
		return out, err
	}
	for p := range out {
		o, ok := listed.Lookup(topic, int32(p))
		if !ok {
			return out, fmt.Errorf("the broker does not tell the end of %s/%d", topic, p)
		}
		out[p] = o.Offset
	}
	return out, nil
}

// read returns the records of each partition from where it stopped up to the ends.
func (t *truth) read(ctx context.Context, broker string, to [partitions]int64) (out [partitions][]entry, err error) {
	from := map[int32]kgo.Offset{}
	left := 0
	for p, next := range t.next {
		if next < to[p] {
			from[int32(p)] = kgo.NewOffset().At(next)
			left++
		}
	}
	if left == 0 {
		return out, nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ClientID("chaos-truth"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return out, err
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("read the log: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			p := r.Partition
			if r.Offset >= to[p] {
				continue
			}
			if r.Offset != t.next[p] {
				return out, fmt.Errorf("the log of %s/%d has offset %d after %d", topic, p, r.Offset, t.next[p]-1)
			}
			e, err := t.judge(r)
			if err != nil {
				return out, err
			}
			out[p] = append(out[p], e)
			if t.next[p]++; t.next[p] == to[p] {
				left--
			}
		}
	}
	return out, nil
}

// judge says what must come of a record.
func (t *truth) judge(r *kgo.Record) (entry, error) {
	e := entry{offset: r.Offset}
	for _, h := range r.Headers {
		var err error
		switch v := string(h.Value); h.Key {
		case "id":
			e.id, err = strconv.ParseUint(v, 10, 64)
		case "kind":
			e.kind = v
		case "asset":
			e.asset = v
		case "time":
			e.time, err = strconv.ParseInt(v, 10, 64)
		}
		if err != nil {
			return e, fmt.Errorf("%s/%d@%d is not the loader's: %w", r.Topic, r.Partition, r.Offset, err)
		}
	}
	if e.id == 0 || e.kind == "" {
		return e, fmt.Errorf("%s/%d@%d is not the loader's: another program writes to the topic", r.Topic, r.Partition, r.Offset)
	}
	if e.again = t.seen[e.id]; e.again {
		t.doubled++
		return e, nil
	}
	t.seen[e.id] = true
	if e.kind != kindOK {
		return e, nil
	}
	last := append(t.assets[e.asset], value(e.asset, e.time))
	if len(last) > length {
		last = last[1:]
	}
	t.assets[e.asset] = last
	if len(last) == length {
		e.scored = true
		for _, v := range last {
			e.score += v / length
		}
	}
	return e, nil
}
