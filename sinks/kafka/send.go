package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"andon/event"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Send publishes one record to a topic and returns when all brokers in sync have it, or ctx ends. Records with one key keep their order where each waits for the one before.
func (p *Publisher) Send(ctx context.Context, topic string, key, value []byte, headers []event.Header) error {
	_, err := p.Place(ctx, topic, key, value, headers)
	return err
}

// Place is Send, and returns where the record is.
func (p *Publisher) Place(ctx context.Context, topic string, key, value []byte, headers []event.Header) (event.Position, error) {
	r := &kgo.Record{Topic: topic, Key: key, Value: value}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	room := min(int64(size(r)), int64(p.cfg.MaxInFlight))
	if err := p.room.Acquire(ctx, room); err != nil {
		return event.Position{}, err
	}
	defer p.room.Release(room)
	err := p.client.ProduceSync(ctx, r).FirstErr()
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = fmt.Errorf("the topic does not exist on %s: create it", strings.Join(p.cfg.Seeds, ","))
	}
	if err != nil {
		return event.Position{}, fmt.Errorf("send to %s: %w", topic, err)
	}
	p.metrics.published.WithLabelValues(topic).Inc()
	return event.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}, nil
}
