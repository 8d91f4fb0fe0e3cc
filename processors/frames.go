package processors

import (
	"context"
	"time"
	"unsafe"

	"andon/event"
)

// look takes new frames, up to an offset, into the block; those that cannot be decoded are dead letters, too.
func (p *Pipeline) look(ctx context.Context, b *event.Batch, c *cursor, to int64) error {
	from := c.frame
	for c.frame < len(b.Frames) && b.Frames[c.frame].Offset < to {
		c.frame++
	}
	sights, broken, err := p.eye.See(ctx, b.Frames[from:c.frame], b.Received, p.block.Sights)
	if err != nil {
		return p.fail("look at", p.at, to, err)
	}
	seen := len(p.block.Sights)
	p.block.Sights = sights
	for i := seen; i < len(sights); i++ {
		p.boxes += len(sights[i].Boxes)
		if sights[i].Status == event.SightScored {
			p.line.meters.latency.Observe(float64(sights[i].Latency) / 1e9)
		}
	}
	told := len(p.block.Sketches)
	p.block.Sketches = p.eye.Sketches(p.block.Sketches)
	for i := range p.block.Sketches[told:] {
		s := &p.block.Sketches[told+i]
		s.Pipeline, s.Offset = p.block.Pipeline, max(s.Offset, p.block.First) // a piece that another model cuts short may have its last frame in an earlier block
		p.line.meters.pieces.Inc()
	}
	p.rejects(b, c, to)
	if len(broken) > 0 {
		for _, x := range broken {
			p.letter(event.DeadLetter{Record: b.Raw(x.Offset), Pipeline: p.block.Pipeline, Reason: event.ReasonBroken, Detail: x.Err.Error()})
		}
		p.block.DeadLetters = merge(p.block.DeadLetters, nil) // with those that did not decode, in the order of the log
	}
	p.at, p.block.Next = to, to
	if p.due.IsZero() {
		p.due = p.line.now().Add(p.line.cfg.Flush.Interval)
	}
	if v := p.eye.Version(); v != "" {
		p.version = v
	}
	return nil
}

// sightBytes estimates what the block's sights take in memory.
func (p *Pipeline) sightBytes() int {
	b := &p.block
	return (len(b.Sights)+len(b.ShadowSights))*int(unsafe.Sizeof(event.Sight{})) + p.boxes*int(unsafe.Sizeof(event.Box{}))
}

// beside stores one block of frames while the line forms the next: a person in a zone does not wait for an insert. The order of calls is flush's, and the next block is not begun to be stored before this one is
// committed, so what a crash leaves is what it leaves of any pipeline.
type beside struct {
	done chan struct{} // nil: nothing is being stored
	of   *Pipeline     // the block's own, a copy; its owner once done is closed
	err  error
}

// due is when the line must be asked again: not before what is being stored may be there.
func (s *beside) due(now, due time.Time) time.Time {
	if s.done == nil {
		return due
	}
	if soon := now.Add(besideEvery); due.Before(soon) {
		return soon
	}
	return due
}

// besideEvery is how often the end of what is being stored is looked for while no frames come.
const besideEvery = 20 * time.Millisecond

// Tend is Flush for when its time has come and there is no need to wait: a block of frames is stored beside the line, one at a time.
func (p *Pipeline) Tend(ctx context.Context) error {
	if p.eye == nil || p.transactor != nil || p.reform != nil {
		if p.reform != nil && p.at == p.reform.Next {
			return p.flush(ctx)
		}
		return p.Flush(ctx)
	}
	if p.broken != nil {
		return p.broken
	}
	if p.beside.done != nil {
		select {
		case <-p.beside.done:
		default:
			if !p.crowded() {
				return nil
			}
		}
		if err := p.landed(); err != nil {
			return err
		}
	}
	if p.block.Next == p.block.First || p.line.now().Before(p.due) && !p.crowded() {
		return nil
	}
	of := *p
	of.ended, of.beside = p.eye.Cut(), beside{}
	p.beside.of, p.beside.done = &of, make(chan struct{})
	next := p.block.Next
	p.block = event.Block{Pipeline: p.block.Pipeline, Topic: p.block.Topic, Partition: p.block.Partition}
	p.empty(next)
	go func(s *beside) {
		defer close(s.done)
		s.err = s.of.flush(ctx)
	}(&p.beside)
	return nil
}

// crowded tells whether the block may not grow any more.
func (p *Pipeline) crowded() bool {
	return p.records() >= p.most() || p.bytes() >= int(p.line.cfg.Flush.Bytes)
}

// landed waits for what is being stored beside the line.
func (p *Pipeline) landed() error {
	if p.beside.done == nil {
		return nil
	}
	<-p.beside.done
	of, err := p.beside.of, p.beside.err
	p.beside = beside{}
	if err != nil {
		p.broken = err
		return err
	}
	p.note, p.size = of.note, of.size
	return nil
}
