package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"andon/console"
	"andon/event"
	"andon/ingest/decode"
)

// labeller tells labels to the topic that the line reads them from, so that they take the way of all others: one log, one decoder, one table.
type labeller struct {
	topic     string
	pipelines []string
	place     func(ctx context.Context, topic string, key, value []byte, headers []event.Header) (event.Position, error)
}

// tell checks all labels, by the decoder that will read them, and sends them in their order, each when the one before is acknowledged: of two of one asset the later one counts.
func (l *labeller) tell(ctx context.Context, labels []console.Label) ([]string, error) {
	d, err := decode.New(decode.Spec{Shape: decode.ShapeLabels})
	if err != nil {
		return nil, err
	}
	records := make([][]byte, len(labels))
	var faults []error
	for i := range labels {
		value, err := json.Marshal(&labels[i])
		if err != nil {
			return nil, err
		}
		records[i] = value
		if !slices.Contains(l.pipelines, labels[i].Pipeline) {
			err = fmt.Errorf("there is no pipeline %q, but %s", labels[i].Pipeline, strings.Join(l.pipelines, ", "))
		} else {
			err = d.Decode(&event.Record{Time: time.Now().UnixNano(), Value: value}, new(event.Batch))
		}
		if err != nil && len(faults) < 10 {
			faults = append(faults, fmt.Errorf("label %d: %w", i+1, err))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", console.ErrAsk, errors.Join(faults...))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var at []string
	for i, value := range records {
		key := []byte(labels[i].Asset)
		if len(key) == 0 {
			key = []byte(labels[i].Of)
		}
		p, err := l.place(ctx, l.topic, key, value, nil)
		if err != nil {
			return at, fmt.Errorf("label %d, of which %d were told: %w", i+1, i, err)
		}
		at = append(at, p.String())
	}
	return at, nil
}

// pendingLabels is told labels before there is a broker to tell them to.
type pendingLabels struct{ to atomic.Pointer[labeller] }

func (p *pendingLabels) tell(ctx context.Context, labels []console.Label) ([]string, error) {
	l := p.to.Load()
	if l == nil {
		return nil, errors.New("the broker is still starting: try again in a moment")
	}
	return l.tell(ctx, labels)
}
