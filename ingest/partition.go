package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/decode"
)

// partition is one assigned partition and its goroutine. All but the queue, the atomics and the channels belong to that goroutine.
type partition struct {
	topic    string
	id       int32
	pipeline string
	member   string // as which member of the group it was assigned
	log      *slog.Logger
	metrics  *Metrics
	lag      prometheus.Gauge
	most     int  // records a batch
	gathers  bool // all that waits is handed on at once
	// committed is the group's commit at the assignment: below it, records are read to rebuild state only.
	committed int64
	// until is where the partition ends for us, and reached tells that all before it is handled and flushed.
	until   int64
	reached atomic.Bool

	handler Handler
	fence   io.Closer // nil without a Fencer
	decoder decode.Decoder
	batch   event.Batch
	current []*kgo.Record // what the batch was made from
	record  event.Record  // the one being decoded

	queue queue
	next  atomic.Int64 // next offset to handle
	end   atomic.Int64 // the log's end as last seen
	gone  atomic.Bool  // no commit may go out any more

	finish   chan struct{} // closed to ask for the end: batch in hand, Flush
	finished sync.Once
	cancel   context.CancelFunc // ends the work at once
	done     chan struct{}
}

// stop asks the goroutine to finish what it has in hand and flush.
func (p *partition) stop() { p.finished.Do(func() { close(p.finish) }) }

// drop ends the goroutine at once, without a flush or a commit.
func (p *partition) drop() {
	p.gone.Store(true)
	p.cancel()
}

// run works until the partition is given up, and returns the error that must end the Intake, or nil.
func (p *partition) run(ctx context.Context) error {
	defer close(p.done)
	defer p.queue.close()
	defer p.gone.Store(true)
	if p.fence != nil {
		defer p.fence.Close()
	}
	if h, ok := p.handler.(interface{ Close() }); ok {
		defer h.Close()
	}
	err := p.work(ctx)
	if ctx.Err() != nil || p.gone.Load() {
		return nil
	}
	return err
}

func (p *partition) work(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	if p.reached.Load() {
		p.queue.finish()
	}
	for {
		select {
		case <-p.finish:
			return p.flush(ctx)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		take := p.queue.pop
		if p.gathers {
			take = p.queue.gather
		}
		if piece, ok := take(); ok {
			err := p.handle(ctx, piece)
			p.queue.handled(piece)
			if err != nil {
				return err
			}
			continue
		}
		var due <-chan time.Time
		if at := p.handler.Due(); !at.IsZero() {
			timer.Reset(time.Until(at))
			due = timer.C
		}
		select {
		case <-p.queue.ready:
		case <-p.finish:
		case <-ctx.Done():
		case <-due:
			if err := p.tend(ctx); err != nil {
				return err
			}
		}
	}
}

// tend has the handler do what is due.
func (p *partition) tend(ctx context.Context) error {
	t, ok := p.handler.(interface {
		Tend(ctx context.Context) error
	})
	if !ok {
		return p.flush(ctx)
	}
	if err := t.Tend(ctx); err != nil {
		return fmt.Errorf("flush %s/%d below %d: %w", p.topic, p.id, p.next.Load(), err)
	}
	return nil
}

func (p *partition) flush(ctx context.Context) error {
	if err := p.handler.Flush(ctx); err != nil {
		return fmt.Errorf("flush %s/%d below %d: %w", p.topic, p.id, p.next.Load(), err)
	}
	return nil
}

// handle passes on one piece of a fetch, in batches.
func (p *partition) handle(ctx context.Context, piece piece) error {
	p.saw(piece.end)
	if p.reached.Load() {
		return nil
	}
	if piece.none {
		p.noteExpired(min(piece.start, p.until))
		return p.reach(ctx)
	}
	p.noteExpired(min(piece.start, piece.records[0].Offset, p.until))
	records := p.below(piece.records)
	beyond := len(records) < len(piece.records)
	for len(records) > 0 {
		n := min(len(records), p.most)
		if err := p.handleBatch(ctx, records[:n], piece.received); err != nil {
			return err
		}
		records = records[n:]
		if due := p.handler.Due(); !due.IsZero() && !time.Now().Before(due) {
			if err := p.tend(ctx); err != nil {
				return err
			}
		}
		select {
		case <-p.finish:
			return nil // the rest is the next owner's
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
	if beyond || p.next.Load() >= p.until {
		return p.reach(ctx)
	}
	return nil
}

// noteExpired tells that the log, which now begins at start, has dropped what was never handled. The next batch says that these offsets hold no records.
func (p *partition) noteExpired(start int64) {
	if from := max(p.next.Load(), p.committed); start > from {
		p.metrics.expired.WithLabelValues(p.pipeline).Add(float64(start - from))
		p.log.Error("the log dropped records before they were read: raise the topic's retention, or the speed of what reads it", "partition", p.id, "from", from, "to", start)
	}
}

func (p *partition) handleBatch(ctx context.Context, records []*kgo.Record, received int64) error {
	first := p.next.Load()
	if records[0].Offset < first {
		return fmt.Errorf("read %s: the log went back to offset %d: records that were handled are gone from the broker, and others may take their offsets: "+
			"compare the topic with what is stored, then set the group's offset", event.Position{Topic: p.topic, Partition: p.id, Offset: first}, records[0].Offset)
	}
	b := &p.batch
	b.Reset()
	b.Topic, b.Partition, b.First, b.Received, b.Raw = p.topic, p.id, first, received, p.raw
	p.current = records
	count := 0
	for _, r := range records {
		if r.Attrs.IsControl() { // a transaction's marker: an offset without a record
			continue
		}
		count++
		b.Bytes += size(r)
		if err := p.decode(r, b); err != nil {
			p.reject(r, b, err)
		}
	}
	b.Next = records[len(records)-1].Offset + 1
	p.metrics.records.WithLabelValues(p.pipeline).Add(float64(count))
	p.metrics.bytes.WithLabelValues(p.pipeline).Add(float64(b.Bytes))
	if err := p.handler.Handle(ctx, b); err != nil {
		return fmt.Errorf("handle %s/%d@%d-%d: %w", p.topic, p.id, b.First, b.Next, err)
	}
	p.next.Store(b.Next)
	p.saw(b.Next)
	p.current = nil
	for _, r := range records {
		r.Recycle()
	}
	return nil
}

func (p *partition) decode(r *kgo.Record, b *event.Batch) error {
	rec := &p.record
	rec.Offset, rec.Time, rec.Key, rec.Value, rec.Headers = r.Offset, r.Timestamp.UnixNano(), r.Key, r.Value, rec.Headers[:0]
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, event.Header{Key: h.Key, Value: h.Value})
	}
	return p.decoder.Decode(rec, b)
}

func (p *partition) reject(r *kgo.Record, b *event.Batch, err error) {
	d := event.DeadLetter{Record: p.copy(r), Pipeline: p.pipeline, Reason: event.ReasonMalformed, Detail: err.Error()}
	if rejection, ok := errors.AsType[*decode.Rejection](err); ok {
		d.Reason = rejection.Reason
	}
	p.metrics.rejected.WithLabelValues(p.pipeline, d.Reason).Inc()
	b.Rejects = append(b.Rejects, d)
}

// raw is a batch's Raw. The client's buffers are used again, so the record is copied.
func (p *partition) raw(offset int64) event.Record {
	i := sort.Search(len(p.current), func(i int) bool { return p.current[i].Offset >= offset })
	if i == len(p.current) || p.current[i].Offset != offset {
		return event.Record{Position: event.Position{Topic: p.topic, Partition: p.id, Offset: offset}}
	}
	return p.copy(p.current[i])
}

func (p *partition) copy(r *kgo.Record) event.Record {
	out := event.Record{Position: event.Position{Topic: p.topic, Partition: p.id, Offset: r.Offset}, Time: r.Timestamp.UnixNano(), Key: slices.Clone(r.Key), Value: slices.Clone(r.Value)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, event.Header{Key: h.Key, Value: slices.Clone(h.Value)})
	}
	return out
}

// saw learns of a log's end.
func (p *partition) saw(end int64) {
	for {
		old := p.end.Load()
		if end <= old {
			end = old
			break
		}
		if p.end.CompareAndSwap(old, end) {
			break
		}
	}
	p.lag.Set(float64(max(end-p.next.Load(), 0)))
}

func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
