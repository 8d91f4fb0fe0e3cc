package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"andon/event"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// HeaderReplayed is on a dead letter that was sent again: "topic/partition@offset pipeline", the record that it was and who could not use it, several pipelines
// parted by commas. One that fails again is a dead letter with this header, so that its origin can be followed.
const HeaderReplayed = "andon.replayed-from"

// Resender sends dead letters again as they were: key, value, timestamp and headers to the byte. It is safe for concurrent use.
type Resender struct {
	group  int // bytes that are under way together
	client *kgo.Client
	count  *prometheus.CounterVec
}

// largest is the most that one record may have; what the broker takes less of it refuses, and says so.
const largest = 64 << 20

// Resender makes a Resender, with connections of its own.
func (p *Publisher) Resender() (*Resender, error) {
	opts := p.client.Opts()
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(largest), kgo.MaxBufferedBytes(0), kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
			keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic) // Kafka's own hash
			return func(r *kgo.Record, n int) int {
				if r.Partition < 0 || int(r.Partition) >= n {
					return keyed.Partition(r, n)
				}
				return int(r.Partition)
			}
		})))...)
	if err != nil {
		return nil, err
	}
	return &Resender{group: int(p.cfg.MaxRecord), client: client, count: p.metrics.replayed}, nil
}

// Letter is a dead letter to be sent again.
type Letter struct {
	event.Record
	// Pipelines could not use it.
	Pipelines []string
	// To is the topic it goes to. In its own topic it keeps its partition, so that an asset stays where its state is; in another its key says where, and without a key
	// its partition as far as the topic has it.
	To string
}

// Outcome tells what became of a letter. Err is nil when the brokers have acknowledged it at the position. With Doubt, the record may have been stored all the same:
// the answer did not come in time.
type Outcome struct {
	At    event.Position
	Err   error
	Doubt bool
}

// Ping returns nil when the brokers answer: asked before, a replay does not leave all its letters in doubt where there is no broker.
func (r *Resender) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx); err != nil {
		return fmt.Errorf("the brokers do not answer: %w", err)
	}
	return nil
}

// Resend sends letters, those of a partition in their order, and returns what became of each when all are acknowledged or refused, or ctx ends.
func (r *Resender) Resend(ctx context.Context, letters []Letter) []Outcome {
	out := make([]Outcome, len(letters))
	for from := 0; from < len(letters); {
		// A batch takes no more than brokers do by default, unless one record does.
		to, bytes := from, 0
		for ; to < len(letters); to++ {
			n := size(record(&letters[to]))
			if to > from && bytes+n > r.group {
				break
			}
			bytes += n
		}
		r.send(ctx, letters[from:to], out[from:to])
		from = to
	}
	for i := range out {
		outcome := "sent"
		if out[i].Doubt {
			outcome = "doubtful"
		} else if out[i].Err != nil {
			outcome = "failed"
		}
		for _, p := range letters[i].Pipelines {
			r.count.WithLabelValues(p, outcome).Inc()
		}
	}
	return out
}

func (r *Resender) send(ctx context.Context, letters []Letter, out []Outcome) {
	if err := ctx.Err(); err != nil { // nothing has left
		for i := range out {
			out[i] = Outcome{Err: err}
		}
		return
	}
	var mu sync.Mutex
	var answers sync.WaitGroup
	got := make([]Outcome, len(letters))
	for i := range got {
		got[i] = Outcome{Err: errors.New("the brokers have not acknowledged it in time"), Doubt: true}
	}
	answers.Add(len(letters))
	for i := range letters {
		r.client.Produce(ctx, record(&letters[i]), func(rec *kgo.Record, err error) {
			defer answers.Done()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got[i] = Outcome{At: event.Position{Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset}}
				return
			}
			err, definite := refusal(err, rec.Topic)
			got[i] = Outcome{Err: err, Doubt: !definite}
		})
	}
	done := make(chan struct{})
	go func() { answers.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done(): // what is on its way cannot be called back
	}
	mu.Lock()
	defer mu.Unlock()
	copy(out, got)
}

// refusal says what to do about an error, and whether the record is certainly not in the topic.
func refusal(err error, topic string) (said error, definite bool) {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("topic %s does not exist: create it, or name another with --to", topic), true
	case errors.Is(err, kerr.MessageTooLarge):
		return fmt.Errorf("%w: raise max.message.bytes of topic %s", err, topic), true
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%w: let andon's user write to topic %s", err, topic), true
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTopicException), errors.Is(err, kerr.InvalidTimestamp), errors.Is(err, kerr.PolicyViolation):
		return fmt.Errorf("topic %s: %w", topic, err), true
	}
	return err, false
}

// letterHeaders are those that a record has in the topic of dead letters beside its own.
var letterHeaders = []string{HeaderPipeline, HeaderTopic, HeaderPartition, HeaderOffset, HeaderReason, HeaderDetail, HeaderTime, HeaderTruncated}

// record is the letter as it is sent. A record of the topic of dead letters that somebody sent on has our headers of then, which are no longer true; the headers that
// a score has name its source and stay.
func record(l *Letter) *kgo.Record {
	r := &kgo.Record{Topic: l.To, Key: l.Key, Value: l.Value, Timestamp: time.Unix(0, l.Time), Partition: l.Partition}
	if l.To != l.Topic && l.Key != nil {
		r.Partition = -1
	}
	wasLetter := slices.ContainsFunc(l.Headers, func(h event.Header) bool { return h.Key == HeaderReason })
	for _, h := range l.Headers {
		if h.Key != HeaderReplayed && !(wasLetter && slices.Contains(letterHeaders, h.Key)) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: HeaderReplayed, Value: []byte(l.Position.String() + " " + strings.Join(l.Pipelines, ","))})
	return r
}

// Close lets go of the connections. No Resend may be running.
func (r *Resender) Close() error {
	r.client.Close()
	return nil
}
