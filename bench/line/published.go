package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/sinks/kafka"
)

// origin is what a published record says that it came of; end is the window's, empty if it is of none.
type origin struct {
	partition, offset int64
	asset, end        string
}

func originOf(r *kgo.Record) (o origin, err error) {
	o.asset, o.offset, o.partition = string(r.Key), -1, -1
	for _, h := range r.Headers {
		var bad error
		switch h.Key {
		case kafka.HeaderPartition:
			o.partition, bad = strconv.ParseInt(string(h.Value), 10, 32)
		case kafka.HeaderOffset:
			o.offset, bad = strconv.ParseInt(string(h.Value), 10, 64)
		case kafka.HeaderEnd:
			o.end = string(h.Value)
		}
		err = errors.Join(err, bad)
	}
	if err == nil && (o.offset < 0 || o.partition < 0) {
		err = errors.New("a published record does not say what it came of")
	}
	return o, err
}

// published reads a topic as a reader of committed records does, up to its end, and returns how many records it found; two of one origin are an error.
func (v *venue) published(ctx context.Context, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ends, err := endsOf(ctx, v.at.Brokers, topic, 0)
	if err != nil {
		return 0, err
	}
	left := 0
	for _, end := range ends {
		if end > 0 {
			left++
		}
	}
	// Control records, which end transactions, take offsets too: with them the last is seen.
	cl, err := kgo.NewClient(kgo.SeedBrokers(v.at.Brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.DisableClientMetrics())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	seen := map[origin]struct{}{}
	for left > 0 {
		f := cl.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return 0, fmt.Errorf("read %s: %w", topic, err)
		}
		var bad error
		f.EachRecord(func(r *kgo.Record) {
			if r.Offset == ends[r.Partition]-1 {
				left--
			}
			if r.Attrs.IsControl() || bad != nil {
				return
			}
			o, err := originOf(r)
			if err != nil {
				bad = err
				return
			}
			if _, double := seen[o]; double {
				bad = fmt.Errorf("a record of %d/%d %s %s is there twice", o.partition, o.offset, o.asset, o.end)
			}
			seen[o] = struct{}{}
		})
		if bad != nil {
			return 0, fmt.Errorf("read %s: %w", topic, bad)
		}
	}
	return len(seen), nil
}

// forget deletes a group and its output topic.
func (k *cluster) forget(ctx context.Context, group, topic string) error {
	if _, err := k.adm.DeleteTopics(ctx, topic); err != nil {
		return err
	}
	r, err := k.adm.DeleteGroups(ctx, group)
	if err == nil {
		err = r[group].Err
	}
	if errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.NonEmptyGroup) { // a member that is not quite gone: its group goes with the broker
		return nil
	}
	return err
}
