package processors

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"andon/event"
)

// flush stores the block and commits it. At least once into Kafka:
//
//	commit(First, note with the intent to store [First, Next))
//	publish; write
//	commit(Next, note without intent), if it is time after a snapshot of the state
//
// Exactly once:
//
//	commit(First, note with the intent to store [First, Next))
//	write
//	publish and commit(Next, note without intent) in one transaction
//
// A crash before the first commit leaves no trace; after it, the next to open the partition forms the same range again, and the Sink drops what
// it has of it. The note of the first commit is that of First, whose state is what the range must be formed from. A transaction comes last because its commit is what
// says that all is done, and because a write may take long, while a transaction that is open holds up the topics' readers.
func (p *Pipeline) flush(ctx context.Context) error {
	b := &p.block
	begun := p.line.now()
	if p.eye != nil && p.ended == nil {
		p.ended = p.eye.Cut()
	}
	out := p.outgoing()
	if rows := b.Rows(); p.reform != nil {
		if err := p.settle(ctx); err != nil {
			return p.fail("settle", b.First, b.Next, err)
		}
	} else if rows > 0 {
		n := p.note
		n.Intent = &intent{Next: b.Next, Rows: rows, Model: p.version, Schema: p.line.schema}
		if err := p.commit(ctx, b.First, n.String()); err != nil {
			return p.fail("commit the intent to store", b.First, b.Next, err)
		}
	}
	if p.transactor == nil {
		if err := p.publish(ctx, b); err != nil {
			return err
		}
	}
	p.shadows()
	if p.ended != nil {
		b.ShadowSights = p.ended.Settle(b.Sights, b.ShadowSights)
	}
	if b.Rows() > 0 {
		if err := p.store(ctx, b, out); err != nil {
			return err
		}
		p.countLetters(b)
	}
	n, err := p.noteOf(ctx, b.Next)
	if err != nil {
		return p.fail("keep the state of", b.First, b.Next, err)
	}
	if p.transactor != nil && p.transactor.Publishes(out) {
		err = p.transact(ctx, func(ctx context.Context, identity func() (event.Member, error)) error {
			return p.transactor.Publish(ctx, out, n.String(), identity)
		})
	} else {
		err = p.commit(ctx, b.Next, n.String())
	}
	if err != nil {
		return p.fail("commit", b.First, b.Next, err)
	}
	p.note, p.reform, p.ended = n, nil, nil
	p.line.meters.flushing.Observe(p.line.now().Sub(begun).Seconds())
	p.empty(b.Next)
	return nil
}

// outgoing returns the block that a transaction publishes: the one that is stored, or a copy of it if it was formed again under other settings. What the Sink holds of
// that one is taken out of it before it is stored, while of what is published nothing is out.
func (p *Pipeline) outgoing() *event.Block {
	if p.transactor == nil || p.reform == nil || p.reform.Schema == p.line.schema {
		return &p.block
	}
	return p.block.Clone()
}

// publish sends what is published of a block, at least once.
func (p *Pipeline) publish(ctx context.Context, b *event.Block) error {
	if pub := p.line.out.Publisher; pub != nil && p.published(b)+len(b.Scores)+len(b.Sketches)+b.Features.Len()+len(b.DeadLetters) > 0 {
		if err := pub.Publish(ctx, b); err != nil {
			return p.fail("publish", b.First, b.Next, err)
		}
	}
	return nil
}

// published returns how many readings of a block may be published.
func (p *Pipeline) published(b *event.Block) int {
	if !p.line.cfg.Readings.Publish {
		return 0
	}
	return b.Readings.Len()
}

// store writes the block. Rows that the Sink refuses become dead letters, and the rest is written again: what is stored of it stays as it is. The letters are
// published, or become a part of what a transaction will publish.
func (p *Pipeline) store(ctx context.Context, b, out *event.Block) error {
	err := p.line.out.Sink.Write(ctx, b)
	if err == nil {
		return nil
	}
	var refusal Refusal
	if !errors.As(err, &refusal) || p.read == nil {
		return p.fail("store", b.First, b.Next, err)
	}
	words := refusal.RefusedOffsets()
	records, err := p.read(ctx, slices.Sorted(maps.Keys(words)))
	if err != nil {
		return p.fail("set aside what ClickHouse refuses of", b.First, b.Next, err)
	}
	refusal.Remove(b)
	letters := make([]event.DeadLetter, 0, len(records))
	for _, r := range records {
		letters = append(letters, event.DeadLetter{Record: r, Pipeline: b.Pipeline, Reason: event.ReasonRefused, Detail: words[r.Offset]})
	}
	switch {
	case p.transactor == nil:
		if err := p.publish(ctx, &event.Block{Pipeline: b.Pipeline, Topic: b.Topic, Partition: b.Partition, First: b.First, Next: b.Next, DeadLetters: letters}); err != nil {
			return err
		}
	case out != b:
		out.DeadLetters = merge(out.DeadLetters, letters)
	}
	b.DeadLetters = merge(b.DeadLetters, letters)
	p.line.meters.refused.Add(float64(len(records)))
	if err := p.line.out.Sink.Write(ctx, b); err != nil {
		return p.fail("store the rest of", b.First, b.Next, err)
	}
	return nil
}

// countLetters counts what was set aside, once it is stored: what stopped a block before is counted with the block that is formed again.
func (p *Pipeline) countLetters(b *event.Block) {
	for i := range b.DeadLetters {
		p.line.all.letters.WithLabelValues(b.Pipeline, b.DeadLetters[i].Reason).Inc()
	}
}

// merge adds dead letters to others, in offset order.
func merge(all, more []event.DeadLetter) []event.DeadLetter {
	all = append(all, more...)
	slices.SortStableFunc(all, func(x, y event.DeadLetter) int { return cmp.Compare(x.Offset, y.Offset) })
	return all
}

// empty begins the next block.
func (p *Pipeline) empty(first int64) {
	// A burst's memory is not kept for the quiet after it.
	if r := &p.block.Readings; cap(r.Values) > 1<<17 && len(r.Values) < cap(r.Values)/8 {
		*r = event.Readings{Signals: r.Signals}
	}
	if f := &p.block.Features; cap(f.Values) > 1<<17 && len(f.Values) < cap(f.Values)/8 {
		*f = event.Features{Names: f.Names}
	}
	if s := p.block.Scores; cap(s) > 1<<13 && len(s) < cap(s)/8 {
		p.block.Scores = nil
	}
	if s := p.block.Shadows; cap(s) > 1<<13 && len(s) < cap(s)/8 {
		p.block.Shadows = nil
	}
	if s := p.block.Sights; cap(s) > 1<<12 && len(s) < cap(s)/8 {
		p.block.Sights = nil
	}
	clear(p.block.Sights) // they hold boxes
	clear(p.block.ShadowSights)
	// Dead letters point to whole fetches.
	clear(p.block.DeadLetters)
	p.block.Reset(first)
	p.block.Counted = !p.line.cfg.Readings.Store
	p.letterBytes, p.boxes, p.version, p.due = 0, 0, "", time.Time{}
}
