package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// letters reads the topic of dead letters.
type letters struct {
	next map[int32]int64
	// published counts, by partition and offset of the record's own, how often it is there.
	published map[int32]map[int64]int
	records   int
}

func newLetters() *letters {
	return &letters{next: map[int32]int64{}, published: map[int32]map[int64]int{}}
}

const letterTopic = "andon.deadletter"

// read takes in what has come since the last time.
func (l *letters) read(ctx context.Context, broker string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ClientID("chaos-letters"))
	if err != nil {
		return err
	}
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, letterTopic)
	cl.Close()
	if err != nil {
		return err
	}
	to, from, left := map[int32]int64{}, map[int32]kgo.Offset{}, 0
	for id, o := range listed[letterTopic] {
		if to[id] = o.Offset; o.Offset > l.next[id] {
			from[id] = kgo.NewOffset().At(l.next[id])
			left++
		}
	}
	if left == 0 {
		return nil
	}
	cl, err = kgo.NewClient(kgo.SeedBrokers(broker), kgo.ClientID("chaos-letters"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{letterTopic: from}),
		kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= to[r.Partition] {
				continue
			}
			l.take(r)
			if l.next[r.Partition] = r.Offset + 1; r.Offset+1 == to[r.Partition] {
				left--
			}
		}
	}
	return nil
}

func (l *letters) take(r *kgo.Record) {
	l.records++
	var partition, offset int64 = -1, -1
	ours := false
	for _, h := range r.Headers {
		switch h.Key {
		case "andon.topic":
			ours = string(h.Value) == topic
		case "andon.partition":
			partition, _ = strconv.ParseInt(string(h.Value), 10, 32)
		case "andon.offset":
			offset, _ = strconv.ParseInt(string(h.Value), 10, 64)
		}
	}
	if !ours {
		return
	}
	of := l.published[int32(partition)]
	if of == nil {
		of = map[int64]int{}
		l.published[int32(partition)] = of
	}
	of[offset]++
}
