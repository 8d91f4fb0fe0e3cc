package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Journal keeps a small log of events in a topic, which every replica of the appliance reads whole and then follows. A topic with more than one partition keeps the
// order of each partition only, so it is made with one. Past and Follow are for one goroutine; Append is safe for concurrent use.
type Journal struct {
	topic  string
	log    *slog.Logger
	client *kgo.Client
	count  prometheus.Counter
}

// pastWithin is how long the brokers may take to send all that the topic holds.
const pastWithin = 30 * time.Second

// Journal makes a Journal in a topic, with connections of its own.
func (p *Publisher) Journal(topic string, log *slog.Logger) (*Journal, error) {
	opts := p.client.Opts()
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(time.Second), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, err
	}
	return &Journal{topic: topic, log: log, client: client, count: p.metrics.published.WithLabelValues(topic)}, nil
}

// Append returns when all brokers in sync have the event, or ctx ends.
func (j *Journal) Append(ctx context.Context, key string, event []byte) error {
	err := j.client.ProduceSync(ctx, &kgo.Record{Topic: j.topic, Key: []byte(key), Value: event}).FirstErr()
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = errors.New("the topic does not exist: create it, compacted")
	}
	if err != nil {
		return fmt.Errorf("append to %s: %w", j.topic, err)
	}
	j.count.Inc()
	return nil
}

// Past returns every event that the topic holds now, in order; Follow goes on after the last of them.
func (j *Journal) Past(ctx context.Context) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pastWithin)
	defer cancel()
	fail := func(err error) ([][]byte, error) { return nil, fmt.Errorf("read %s: %w", j.topic, err) }
	adm := kadm.NewClient(j.client)
	starts, err1 := adm.ListStartOffsets(ctx, j.topic)
	ends, err2 := adm.ListEndOffsets(ctx, j.topic)
	if err := errors.Join(err1, err2); err != nil {
		return fail(err)
	}
	err := errors.Join(starts.Error(), ends.Error())
	if err == nil && len(ends[j.topic]) == 0 {
		err = kerr.UnknownTopicOrPartition
	}
	if err != nil {
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			err = errors.New("the topic does not exist: create it with one partition, compacted, or set kafka.create_topics: true")
		}
		return fail(err)
	}
	left := map[int32]int64{} // the end of each partition that has something and was not read to it
	for id, end := range ends[j.topic] {
		if start := starts[j.topic][id]; end.Offset > start.Offset {
			left[id] = end.Offset
		}
	}
	var past [][]byte
	for len(left) > 0 {
		fetches := j.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fail(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			past = append(past, r.Value)
			if end, ok := left[r.Partition]; ok && r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		})
	}
	return past, nil
}

// Follow calls f with each event that comes, in order, until ctx ends. While the brokers are away it waits for them; idle is called whenever nothing has come for the
// given time.
func (j *Journal) Follow(ctx context.Context, f func(event []byte), every time.Duration, idle func()) error {
	for ctx.Err() == nil {
		began := time.Now()
		poll, cancel := context.WithTimeout(ctx, every)
		fetches := j.client.PollFetches(poll)
		cancel()
		if fetches.IsClientClosed() {
			return nil
		}
		fetches.EachError(func(_ string, partition int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				j.log.Warn("the journal cannot be read now", "topic", j.topic, "partition", partition, "error", err)
			}
		})
		any := false
		fetches.EachRecord(func(r *kgo.Record) {
			any = true
			f(r.Value)
		})
		if !any && ctx.Err() == nil {
			if time.Since(began) < every { // an error that comes at once must not be asked for again and again
				select {
				case <-time.After(min(every, time.Second)):
				case <-ctx.Done():
				}
			}
			idle()
		}
	}
	return nil
}

// Close lets go of the connections. No Append may be running.
func (j *Journal) Close() error {
	j.client.Close()
	return nil
}
