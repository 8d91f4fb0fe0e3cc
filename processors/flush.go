package processors

import (
	"context"
	"time"

	"andon/event"
	"andon/processors/features"
)

// flush stores the block and commits it:
//
//	commit(First, note with the intent to store [First, Next))
//	publish; write
//	commit(Next, note without intent)
//
// A crash before the first commit leaves no trace; after it, the next to open the partition forms the same range again, and the Sink drops what
// it has of it. The note of the first commit is that of First, whose state is what the range must be formed from.
func (p *Pipeline) flush(ctx context.Context) error {
	b := &p.block
	begun := p.line.now()
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
	if pub := p.line.out.Publisher; pub != nil && len(b.Scores)+len(b.DeadLetters) > 0 {
		if err := pub.Publish(ctx, b); err != nil {
			return p.fail("publish", b.First, b.Next, err)
		}
	}
	if b.Rows() > 0 {
		if err := p.line.out.Sink.Write(ctx, b); err != nil {
			return p.fail("store", b.First, b.Next, err)
		}
	}
	n := note{V: noteVersion, Fold: b.Next}
	if p.state != nil {
		fold, clock := p.state.Fold(b.Next)
		if n.Fold = fold; clock != features.NoClock {
			n.Clock = &clock
		}
	}
	if err := p.commit(ctx, b.Next, n.String()); err != nil {
		return p.fail("commit", b.First, b.Next, err)
	}
	p.note, p.reform = n, nil
	p.line.meters.flushing.Observe(p.line.now().Sub(begun).Seconds())
	p.empty(b.Next)
	return nil
}

// empty begins the next block.
func (p *Pipeline) empty(first int64) {
	// A burst's memory is not kept for the quiet after it.
	if r := &p.block.Readings; cap(r.Values) > 1<<17 && len(r.Values) < cap(r.Values)/8 {
		*r = event.Readings{Signals: r.Signals}
	}
	if s := p.block.Scores; cap(s) > 1<<13 && len(s) < cap(s)/8 {
		p.block.Scores = nil
	}
	// Dead letters point to whole fetches.
	clear(p.block.DeadLetters)
	p.block.Reset(first)
	p.letterBytes, p.version, p.due = 0, "", time.Time{}
}
