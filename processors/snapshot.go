package processors

import (
	"context"
	"errors"
	"fmt"

	"andon/processors/features"
)

// Vault keeps snapshots of partitions' states outside of this process.
type Vault interface {
	// Save keeps data under key, durably, and tells by what it is found again, in at most 200 bytes. What was saved under the key before may be gone
	// from then on. What is saved for partitions with different numbers does not push each other out. data is not changed afterwards.
	Save(ctx context.Context, key string, partition int32, data []byte) (ref string, err error)
	// Load returns what was saved, whole. It goes on asking while the answer may still come: an error means that there is none to come, or that ctx is over.
	Load(ctx context.Context, ref string) ([]byte, error)
}

// Snapshot says when a partition's state is kept whole, so that a restart need not read back to where the state began.
type Snapshot struct {
	// Records is how many offsets a restart may have to read back, beside those of a block, before the state is kept; 0 keeps none.
	Records int64 `yaml:"records"`
}

// Validate reports every fault with its key.
func (s Snapshot) Validate() error {
	if s.Records < 0 {
		return fmt.Errorf("records: %d is negative; 0 keeps no snapshots", s.Records)
	}
	return nil
}

// perRecord bounds what snapshots write: so many bytes for each record read, about a tenth of what the record itself took. A state larger than
// Snapshot.Records of these is kept more seldom: reading a record back is cheaper than writing its share of such a state.
const perRecord = 32

// kept is a snapshot as a note names it.
type kept struct {
	// At is the offset that the snapshot's state stands before.
	At  int64  `json:"at"`
	Ref string `json:"ref"`
	// Schema is that of the line when it was made.
	Schema string `json:"schema"`
	// Slot is 0 or 1, in turns: a snapshot is never saved over the one that the commit names, since it may end up in no commit.
	Slot int `json:"slot,omitempty"`
}

// keep returns the snapshot for the note of next, which the state stands before and for which it must be read back from fold: the last one, a new one if
// otherwise too much would have to be read, none if the last is no use any more. That none could be made is told, and no error: the state can be read back.
func (p *Pipeline) keep(ctx context.Context, fold, next int64) (*kept, error) {
	l, last, from := p.line, p.note.Kept, fold
	if last != nil && last.At <= fold {
		last = nil
	}
	if last != nil {
		from = last.At
	}
	limit := l.cfg.Snapshot.Records
	if l.out.Vault == nil || limit == 0 || !p.keepSoon && next-max(from, p.tried) <= max(limit, int64(p.size/perRecord)) {
		return last, nil
	}
	data := p.snapshot(make([]byte, 0, p.size+p.size/8))
	p.keepSoon = false
	p.tried, p.size = next, len(data)
	k := &kept{At: next, Schema: l.schema}
	if p.note.Kept != nil { // of use or not, the commit names it still
		k.Slot = 1 - p.note.Kept.Slot
	}
	var err error
	key := fmt.Sprintf("%s/%s/%d/%d", p.block.Pipeline, p.block.Topic, p.block.Partition, k.Slot)
	if k.Ref, err = l.out.Vault.Save(ctx, key, p.block.Partition, data); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		l.meters.snapshots["failed"].Inc()
		p.log.Error("no snapshot of the state: a restart reads back further, and needs the log to hold that", "bytes", len(data), "from", from, "next", next, "error", err)
		return last, nil
	}
	l.meters.snapshots["saved"].Inc()
	p.log.Debug("snapshot saved", "at", next, "bytes", len(data), "ref", k.Ref)
	return k, nil
}

// keepCameras returns the snapshot of what is known of the cameras, for the note of next, which it stands before. It is made with each flush: frames are not looked at again to get it back, as they cost
// too much and come too late. Where one cannot be made, what happened at the cameras since the last is forgotten by a restart; that is told, and no error.
func (p *Pipeline) keepCameras(ctx context.Context, next int64) (*kept, error) {
	l := p.line
	if l.out.Vault == nil || l.cfg.Snapshot.Records == 0 {
		return nil, nil
	}
	data := p.ended.Snapshot()
	p.size = len(data)
	k := &kept{At: next, Schema: l.schema}
	if p.note.Kept != nil {
		k.Slot = 1 - p.note.Kept.Slot
	}
	var err error
	key := fmt.Sprintf("%s/%s/%d/%d", p.block.Pipeline, p.block.Topic, p.block.Partition, k.Slot)
	if k.Ref, err = l.out.Vault.Save(ctx, key, p.block.Partition, data); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		l.meters.snapshots["failed"].Inc()
		p.log.Error("no snapshot of what is known of the cameras: after a restart their zones and rules begin anew", "bytes", len(data), "next", next, "error", err)
		return nil, nil
	}
	l.meters.snapshots["saved"].Inc()
	return k, nil
}

// restore gets the state of the note's snapshot, and tells whether there was one to be had. Without, the state must be read back from the note's fold offset.
// An error means that ctx is over.
func (p *Pipeline) restore(ctx context.Context) (bool, error) {
	k := p.note.Kept
	if k == nil {
		return false, nil
	}
	p.note.Kept = nil
	if k.Schema != p.line.schema {
		p.line.meters.snapshots["changed"].Inc()
		p.log.Warn("the pipeline's settings changed since the snapshot of its state: the state is read back from the log, as far as that goes back",
			"snapshot", k.At, "from", p.note.Fold)
		return false, nil
	}
	data, err := []byte(nil), errors.New("nothing here keeps snapshots")
	if p.line.out.Vault != nil {
		data, err = p.line.out.Vault.Load(ctx, k.Ref)
	}
	if ctx.Err() != nil {
		return false, fmt.Errorf("load the snapshot %s: %w", k.Ref, context.Cause(ctx))
	}
	switch {
	case err != nil:
	case p.eye != nil:
		err = p.eye.Restore(data)
	default:
		err = p.restoreState(data)
	}
	if err != nil {
		p.line.meters.snapshots["lost"].Inc()
		p.log.Error("the snapshot of the state cannot be used: the state is read back from the log; if that no longer holds these offsets, windows of assets "+
			"that were known begin anew", "snapshot", k.At, "ref", k.Ref, "from", p.note.Fold, "error", err)
		return false, nil
	}
	p.line.meters.snapshots["restored"].Inc()
	p.note.Kept, p.size = k, len(data)
	return true, nil
}

// noteOf makes the note of next, which the state stands before.
func (p *Pipeline) noteOf(ctx context.Context, next int64) (note, error) {
	n := note{V: noteVersion, Fold: next, Watch: p.watch.note()}
	if p.eye != nil {
		var err error
		n.Kept, err = p.keepCameras(ctx, next)
		return n, err
	}
	if p.state == nil {
		return n, nil
	}
	fold, clock := p.watch.hold(p.state.Fold(next))
	if n.Fold = fold; clock != features.NoClock {
		n.Clock = &clock
	}
	var err error
	n.Kept, err = p.keep(ctx, fold, next)
	return n, err
}
