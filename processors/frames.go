package processors

import (
	"context"
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
