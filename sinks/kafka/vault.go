package kafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"andon/event"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// HeaderState marks a part of a snapshot: id/index/count, the id being the first 16 bytes of the SHA-256 of the whole in hexadecimal digits.
const HeaderState = "andon.state"

const (
	// Brokers take batches of 1 MB unless they were told otherwise.
	statePart = 512 << 10
	// The line waits for a snapshot; without one it goes on.
	saveWithin = 10 * time.Second
	// A broker that answers but does not give the records for so long, so often, does not have them.
	loadWithin = 15 * time.Second
	loadTries  = 4
)

// Vault keeps large values in a topic, cut into records with the key KEY/INDEX, and finds them by their offsets. The topic may be compacted: the last value of a
// key stays, and of an earlier one with more parts the surplus. It is safe for concurrent use.
type Vault struct {
	topic  string
	max    event.Bytes
	log    *slog.Logger
	opts   []kgo.Opt
	client *kgo.Client
	count  prometheus.Counter
}

// Vault makes a Vault in a topic, with connections of its own. Values of more than max bytes are refused.
func (p *Publisher) Vault(topic string, max event.Bytes, log *slog.Logger) (*Vault, error) {
	opts := p.client.Opts()
	opts = opts[:len(opts):len(opts)]
	client, err := kgo.NewClient(append(opts, kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(1000<<10), kgo.MaxBufferedBytes(0),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, n int) int { return int(r.Partition) % n }
		})))...)
	if err != nil {
		return nil, err
	}
	return &Vault{topic: topic, max: max, log: log, opts: opts, client: client, count: p.metrics.published.WithLabelValues(topic)}, nil
}

// Save keeps data, which must not change afterwards, in the topic's partition of that number, modulo how many there are. It returns when all brokers in sync
// have it. ref tells where: PARTITION@FIRST-LAST/COUNT/ID.
func (v *Vault) Save(ctx context.Context, key string, partition int32, data []byte) (ref string, err error) {
	if len(data) > int(v.max) {
		return "", fmt.Errorf("save %s: %d bytes are more than the %v that %s has room for", key, len(data), v.max, v.topic)
	}
	ctx, cancel := context.WithTimeout(ctx, saveWithin)
	defer cancel()
	id := stateID(data)
	n := max(1, (len(data)+statePart-1)/statePart)
	records := make([]*kgo.Record, n)
	o := &outcome{left: n, done: make(chan struct{})}
	for i := range records {
		part := data[i*statePart : min((i+1)*statePart, len(data))]
		records[i] = &kgo.Record{Topic: v.topic, Partition: partition, Key: fmt.Appendf(nil, "%s/%d", key, i), Value: part,
			Headers: []kgo.RecordHeader{{Key: HeaderState, Value: fmt.Appendf(nil, "%s/%d/%d", id, i, n)}}}
		v.client.Produce(ctx, records[i], func(_ *kgo.Record, err error) { o.one(err) })
	}
	select {
	case <-o.done:
		err = o.err()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = errors.New("the topic does not exist: create it, compacted")
	}
	if err != nil {
		return "", fmt.Errorf("save %s in %s: %w", key, v.topic, err)
	}
	v.count.Add(float64(n))
	first, last := records[0].Offset, records[0].Offset
	for _, r := range records {
		if r.Partition != records[0].Partition {
			return "", fmt.Errorf("save %s in %s: the topic was given more partitions meanwhile", key, v.topic)
		}
		first, last = min(first, r.Offset), max(last, r.Offset)
	}
	return fmt.Sprintf("%d@%d-%d/%d/%s", records[0].Partition, first, last, n, id), nil
}

func stateID(data []byte) string {
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%x", sum[:16])
}

// place is a ref taken apart.
type place struct {
	partition   int32
	first, last int64
	count       int
	id          string
}

func (v *Vault) parse(ref string) (at place, err error) {
	_, err = fmt.Sscanf(ref, "%d@%d-%d/%d/%s", &at.partition, &at.first, &at.last, &at.count, &at.id)
	if err != nil || at.partition < 0 || at.first < 0 || at.count < 1 || at.last-at.first < int64(at.count)-1 || len(at.id) != 32 {
		return at, errors.New("that is no place in a topic")
	}
	return at, nil
}

// errGone means that the value is not to be had any more.
type errGone string

func (e errGone) Error() string { return string(e) }

// Load returns what was saved. While the brokers cannot be reached it goes on trying; an error means that they no longer have all of it, or that ctx is over.
func (v *Vault) Load(ctx context.Context, ref string) ([]byte, error) {
	at, err := v.parse(ref)
	if err != nil {
		return nil, fmt.Errorf("load %q from %s: %w", ref, v.topic, err)
	}
	for tries := 0; ; {
		data, answered, err := v.read(ctx, at)
		if answered {
			tries++
		}
		switch _, gone := errors.AsType[errGone](err); {
		case err == nil:
			return data, nil
		case gone, tries == loadTries, ctx.Err() != nil:
			return nil, fmt.Errorf("load %s from %s: %w", ref, v.topic, err)
		}
		v.log.Warn("a snapshot of state is not to be had yet", "topic", v.topic, "ref", ref, "error", err)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// read tries once; answered tells whether the brokers did.
func (v *Vault) read(ctx context.Context, at place) (data []byte, answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	// The options' own codecs are a slice that each client of them sorts in place.
	cl, err := kgo.NewClient(append(v.opts[:len(v.opts):len(v.opts)], kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{v.topic: {at.partition: kgo.NoResetOffset().At(at.first)}}))...)
	if err != nil {
		return nil, false, err
	}
	defer cl.Close()
	if answered, err = v.holds(ctx, kadm.NewClient(cl), at); err != nil {
		return nil, answered, err
	}
	parts, found := make([][]byte, at.count), 0
	for found < at.count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, true, err
		}
		for r := range fetches.RecordsAll() {
			if i, ok := at.index(r); ok && parts[i] == nil {
				parts[i] = r.Value
				found++
			}
			if r.Offset >= at.last && found < at.count {
				return nil, true, errGone(fmt.Sprintf("only %d of %d parts are left: has the topic's cleanup.policy or retention changed?", found, at.count))
			}
		}
	}
	if data = bytes.Join(parts, nil); stateID(data) != at.id {
		return nil, true, errGone("its bytes have changed")
	}
	return data, true, nil
}

// index tells which part a record is, if it is one.
func (at *place) index(r *kgo.Record) (i int, ok bool) {
	for _, h := range r.Headers {
		if h.Key != HeaderState {
			continue
		}
		var id string
		var count int
		text := string(h.Value)
		if len(text) < 33 {
			return 0, false
		}
		id = text[:32]
		if _, err := fmt.Sscanf(text[32:], "/%d/%d", &i, &count); err != nil {
			return 0, false
		}
		return i, id == at.id && count == at.count && i >= 0 && i < count
	}
	return 0, false
}

// holds fails unless the topic's log reaches over the place.
func (v *Vault) holds(ctx context.Context, adm *kadm.Client, at place) (answered bool, err error) {
	starts, err := adm.ListStartOffsets(ctx, v.topic)
	if err != nil {
		return false, err
	}
	ends, err := adm.ListEndOffsets(ctx, v.topic)
	if err != nil {
		return false, err
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		// A cluster that starts may not know its topics yet: asked again, it does.
		return errors.Is(err, kerr.UnknownTopicOrPartition), err
	}
	start, ok1 := starts.Lookup(v.topic, at.partition)
	end, ok2 := ends.Lookup(v.topic, at.partition)
	if !ok1 || !ok2 {
		return true, fmt.Errorf("there is no partition %d", at.partition)
	}
	if start.Offset > at.first || end.Offset <= at.last {
		return true, errGone(fmt.Sprintf("the topic now holds the offsets from %d to %d of partition %d", start.Offset, end.Offset, at.partition))
	}
	return true, nil
}

// Close lets go of the connections. No Save may be running.
func (v *Vault) Close() error {
	v.client.Close()
	return nil
}
