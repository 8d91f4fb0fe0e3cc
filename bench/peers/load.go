package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// flushStep is how far one flush record lies behind the one before.
const flushStep = 100 * time.Millisecond

// Loader writes the input topic.
type Loader struct {
	in         Input
	topic      string
	partitions int32
	keyed      *kgo.Client // partition by key, as every Kafka client does
	placed     *kgo.Client // partition as told
	flushes    int64
}

// NewLoader makes a loader for an existing topic.
func NewLoader(b *Broker, in Input, topic string, partitions int32) (*Loader, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(20 * time.Millisecond), kgo.MaxBufferedRecords(50_000),
	}
	keyed, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	placed, err := kgo.NewClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		keyed.Close()
		return nil, err
	}
	return &Loader{in: in, topic: topic, partitions: partitions, keyed: keyed, placed: placed}, nil
}

// Load writes all records, then one flush record a partition, and returns when the broker has acknowledged them.
func (l *Loader) Load(ctx context.Context) error {
	const slab = 1024
	var (
		mu     sync.Mutex
		failed error
		recs   []kgo.Record
		values []byte
		keys   = make([][]byte, l.in.Keys)
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for k := range keys {
		keys[k] = AppendKey(nil, int64(k))
	}
	acked := func(_ *kgo.Record, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = err
			cancel()
		}
	}
	for i := range l.in.Records {
		if len(recs) == 0 {
			recs, values = make([]kgo.Record, slab), make([]byte, 0, slab*RecordBytes)
		}
		r := &recs[0]
		recs = recs[1:]
		at := len(values)
		values = l.in.AppendRecord(values, i)
		r.Key, r.Value, r.Timestamp = keys[l.in.Asset(i)], values[at:len(values):len(values)], time.UnixMilli(l.in.Time(i))
		l.keyed.Produce(ctx, r, acked)
		if ctx.Err() != nil {
			break
		}
	}
	err := l.keyed.Flush(ctx)
	mu.Lock()
	defer mu.Unlock()
	if failed != nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", l.topic, err)
	}
	return l.Flush(ctx)
}

// Flush writes one record to each partition that lies an hour behind the last record in event time, a little more at each call.
func (l *Loader) Flush(ctx context.Context) error {
	at := l.in.End() + time.Hour.Milliseconds() + l.flushes*flushStep.Milliseconds()
	l.flushes++
	recs := make([]*kgo.Record, l.partitions)
	for p := range l.partitions {
		recs[p] = &kgo.Record{Partition: p, Key: AppendFlushKey(nil, p), Value: AppendFlush(nil, p, at), Timestamp: time.UnixMilli(at)}
	}
	if err := l.placed.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return fmt.Errorf("flush %s: %w", l.topic, err)
	}
	return nil
}

// Close lets go of the connections.
func (l *Loader) Close() {
	l.keyed.Close()
	l.placed.Close()
}
