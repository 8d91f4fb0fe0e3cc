package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest"
	"andon/processors"
)

type visibleResult struct {
	Rows     int           `json:"rows"`
	Rate     int           `json:"rows_per_s"`
	Flush    time.Duration `json:"flush_ns"`
	Load     string        `json:"load_average"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Most     time.Duration `json:"most_ns"`
	Question time.Duration `json:"question_p50_ns"` // how long the reader's question takes, which is a part of the times
}

// ack is a record that the broker has acknowledged.
type ack struct {
	offset int64
	at     time.Time
}

// visible sends rows at a steady rate and measures from a row's acknowledgement until a reader that shares nothing with the sink sees it.
func (c *config) visible(ctx context.Context) (_ *visibleResult, err error) {
	source := c.demo.Source
	source.Signals = source.Signals[:ingestSignals]
	rows := int(c.visibleFor.Seconds() * float64(c.visibleRate))
	l := load{Rows: rows, Assets: 1000, Signals: source.Signals, Bytes: rowBytes}
	if err := l.open(); err != nil {
		return nil, err
	}
	h, err := c.open(ctx, topicBytes(rows, 400))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.makeTopic(ctx, source.Topic, topicBytes(rows, 400)); err != nil {
		return nil, err
	}
	cfg := processors.Default()
	cfg.Pipeline, cfg.Signals, cfg.Source = c.demo.Name, source.Signals, source.Topic
	outlets := h.outlets
	outlets.Sink = h.store
	line, err := processors.New(cfg, processors.Judge{}, outlets, h.working, h.log)
	if err != nil {
		return nil, err
	}
	in, err := ingest.New(h.at, cfg.Pipeline, source, func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
		return line.Open(ctx, processors.Assignment(a))
	}, h.budget, h.reading, h.log)
	if err != nil {
		return nil, err
	}
	r := &visibleResult{Rows: rows, Rate: c.visibleRate, Flush: cfg.Flush.Interval, Load: loadAverage()}
	c.say("visible: %d rows in %v", rows, c.visibleFor)
	ctx, stop := context.WithTimeout(ctx, c.visibleFor+time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	acks := &acknowledged{by: map[int32][]ack{}}
	sent := make(chan error, 1)
	go func() { sent <- c.send(ctx, h.at.Brokers, source.Topic, l, acks) }()
	all, questions, err := watch(ctx, h, cfg.Pipeline, rows, acks)
	if err != nil {
		stop()
		return nil, errors.Join(err, <-sent, <-ended)
	}
	err = <-sent
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	slices.Sort(all)
	slices.Sort(questions)
	r.P50, r.P99, r.Most, r.Question = all[len(all)/2], all[len(all)*99/100], all[len(all)-1], questions[len(questions)/2]
	return r, nil
}

// acknowledged holds what is not seen yet, by partition, in offset order.
type acknowledged struct {
	mu sync.Mutex
	by map[int32][]ack
}

// send produces the rows, a hundredth of a second's at a time.
func (c *config) send(ctx context.Context, brokers []string, topic string, l load, acks *acknowledged) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()
	begun := time.Now()
	for i := range l.Rows {
		if due := time.Duration(i) * time.Second / time.Duration(c.visibleRate); due-time.Since(begun) > 10*time.Millisecond {
			if err := wait(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
		value, err := l.append(make([]byte, 0, 320), i)
		if err != nil {
			return err
		}
		cl.Produce(ctx, &kgo.Record{Key: appendAsset(nil, l.asset(i)), Value: value}, func(r *kgo.Record, err error) {
			if err != nil {
				return // its absence is seen
			}
			acks.mu.Lock()
			defer acks.mu.Unlock()
			acks.by[r.Partition] = append(acks.by[r.Partition], ack{r.Offset, time.Now()})
		})
	}
	return cl.Flush(ctx)
}

// watch asks ClickHouse, by a connection of its own, how far each partition is stored, until all rows are. A block is stored whole, and blocks of a partition in
// their order, so all below the greatest offset is there; a last question proves it.
func watch(ctx context.Context, h *house, pipeline string, rows int, acks *acknowledged) (all, questions []time.Duration, err error) {
	at := h.server.Endpoint()
	conn, err := ch.Open(&ch.Options{Addr: []string{at.Native}, Auth: ch.Auth{Database: "andon", Username: at.Owner.User, Password: at.Owner.Password}})
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	for len(all) < rows {
		asked := time.Now()
		answer, err := conn.Query(ctx, "SELECT _partition, max(_offset) FROM readings WHERE pipeline = ? GROUP BY _partition", pipeline)
		if err != nil {
			return nil, nil, fmt.Errorf("%d of %d rows were seen: %w", len(all), rows, err)
		}
		reach := map[int32]int64{}
		for answer.Next() {
			var partition int32
			var offset int64
			if err := answer.Scan(&partition, &offset); err != nil {
				return nil, nil, err
			}
			reach[partition] = offset
		}
		if err := errors.Join(answer.Err(), answer.Close()); err != nil {
			return nil, nil, err
		}
		seen := time.Now()
		questions = append(questions, seen.Sub(asked))
		acks.mu.Lock()
		for partition, offset := range reach {
			list := acks.by[partition]
			for len(list) > 0 && list[0].offset <= offset {
				all = append(all, seen.Sub(list[0].at))
				list = list[1:]
			}
			acks.by[partition] = list
		}
		acks.mu.Unlock()
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return nil, nil, fmt.Errorf("%d of %d rows were seen: %w", len(all), rows, err)
		}
	}
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT uniqExact(_partition, _offset) FROM readings WHERE pipeline = ?", pipeline).Scan(&n); err != nil {
		return nil, nil, err
	}
	if n != uint64(rows) {
		return nil, nil, fmt.Errorf("%d different rows are stored, %d were sent", n, rows)
	}
	return all, questions, nil
}

func (r *visibleResult) print(p *printer) {
	p.line("\nvisible: %d rows of %d bytes at %d rows/s, flush %v, load %s: from acknowledgement to visible p50 %d ms, p99 %d ms, most %d ms; the question itself takes %d ms",
		r.Rows, rowBytes, r.Rate, r.Flush, r.Load, r.P50.Milliseconds(), r.P99.Milliseconds(), r.Most.Milliseconds(), r.Question.Milliseconds())
}
