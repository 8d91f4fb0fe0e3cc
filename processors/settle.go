package processors

import (
	"context"

	"andon/event"
)

// settle makes a block that was formed again ready to be stored over what its first writer may have stored.
//
// Formed under the same settings, and by the same model, it is the same block: the Sink's token drops what it has. Another model gives other
// verdicts on the same windows; each table then holds either the old verdicts or the new, once, which is all that is promised. Under other
// settings an offset may have changed its kind, from reading to dead letter, say, and would be held as both: so the Sink is asked what
// it holds, and that stays. A Sink that cannot tell still has each table's rows of the range once.
func (p *Pipeline) settle(ctx context.Context) error {
	b, was := &p.block, p.reform
	if was.Schema == p.line.schema {
		if was.Model == p.version && was.Rows != b.Rows() {
			p.log.Warn("the block formed again has another number of rows than before: the log may have lost some",
				"first", b.First, "next", b.Next, "rows", b.Rows(), "before", was.Rows)
		}
		return nil
	}
	sink, ok := p.line.out.Sink.(Settler)
	p.log.Warn("the pipeline's settings changed while a block was being stored: what is stored of it stays, the rest is formed by the new settings",
		"first", b.First, "next", b.Next, "asked", ok)
	if !ok {
		return nil
	}
	if was.Schema != mixed {
		// Whoever forms the range after us must ask, too: also one with the settings that were first, and one with ours, for neither's block is what is stored.
		n, i := p.note, *was
		i.Schema = mixed
		n.Intent = &i
		if err := p.commit(ctx, b.First, n.String()); err != nil {
			return err
		}
		was.Schema = mixed
	}
	handled, scored, err := sink.Held(ctx, b.Pipeline, b.Topic, b.Partition, b.First, b.Next)
	if err != nil {
		return err
	}
	without(b, set(handled), set(scored))
	if len(handled) > 0 {
		b.Counted = false // what is left is stored one by one, for a range that is counted must hold nothing else
	}
	return nil
}

// mixed is the schema of an intent whose range was formed under more than one.
const mixed = "mixed"

func set(offsets []int64) map[int64]bool {
	s := make(map[int64]bool, len(offsets))
	for _, o := range offsets {
		s[o] = true
	}
	return s
}

// without takes out of the block what is held already.
func without(b *event.Block, handled, scored map[int64]bool) {
	r := &b.Readings
	n, width := 0, len(r.Signals)
	for i, offset := range r.Offset {
		if handled[offset] {
			continue
		}
		r.Asset[n], r.Time[n], r.Offset[n], r.Status[n] = r.Asset[i], r.Time[i], offset, r.Status[i]
		copy(r.Values[n*width:(n+1)*width], r.Values[i*width:(i+1)*width])
		n++
	}
	r.Asset, r.Time, r.Offset, r.Status, r.Values = r.Asset[:n], r.Time[:n], r.Offset[:n], r.Status[:n], r.Values[:n*width]
	f := &b.Features
	n, width = 0, len(f.Names)
	for i, offset := range f.Offset {
		if scored[offset] {
			continue
		}
		f.Asset[n], f.Start[n], f.End[n], f.Offset[n] = f.Asset[i], f.Start[i], f.End[i], offset
		copy(f.Values[n*width:(n+1)*width], f.Values[i*width:(i+1)*width])
		n++
	}
	f.Asset, f.Start, f.End, f.Offset, f.Values = f.Asset[:n], f.Start[:n], f.End[:n], f.Offset[:n], f.Values[:n*width]
	b.Scores = keep(b.Scores, func(s *event.Score) bool { return !scored[s.Offset] })
	b.Sketches = keep(b.Sketches, func(s *event.Sketch) bool { return !scored[s.Offset] })
	b.Sights = keep(b.Sights, func(s *event.Sight) bool { return !handled[s.Offset] })
	b.Labels = keep(b.Labels, func(l *event.Label) bool { return !handled[l.Offset] })
	b.DeadLetters = keep(b.DeadLetters, func(d *event.DeadLetter) bool { return !handled[d.Offset] })
}

func keep[T any](all []T, wanted func(*T) bool) []T {
	n := 0
	for i := range all {
		if wanted(&all[i]) {
			all[n] = all[i]
			n++
		}
	}
	clear(all[n:])
	return all[:n]
}
