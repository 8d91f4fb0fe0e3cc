package truth

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// Follower is told what predictions came to, in the order in which they were settled. What it knows is kept beside the keeper's place in that order: after a kill the next one begins with what is
// kept, and is told all that came since, so that the same outcomes come to the same. Its methods are called by one goroutine.
type Follower interface {
	// Restore goes on with a pipeline from what State gave; nil begins anew.
	Restore(pipeline string, state []byte)
	// Take takes outcomes; none say that there are no more for now. Into how many calls they are parted must make no difference.
	Take(pipeline string, outcomes []Outcome)
	// Tell tells whoever must know of what has come of that; told where there was anything. It is called again after an error, and may tell again after a kill.
	Tell(ctx context.Context, pipeline string) (told bool, err error)
	// State returns what Restore takes.
	State(pipeline string) []byte
}

// goOn finds the place up to where outcomes were told.
func (k *Keeper) goOn(ctx context.Context, pipeline string, b *book, now time.Time) error {
	fed, state, settled, err := k.store.TruthPlace(ctx, pipeline)
	if err != nil {
		return err
	}
	b.fed, b.more, b.anew = fed, true, settled > 0
	if k.follower != nil {
		k.follower.Restore(pipeline, state)
	}
	if fed == 0 { // kept at once, so that a kill does not skip what comes now
		b.fed, b.moved = max(now.UnixNano(), settled), true
	}
	k.last = max(k.last, b.fed, settled) // by the clock of whoever kept the truth before
	return k.place(ctx, pipeline, b)
}

// feed tells what was settled. Where nothing was, nothing is read.
func (k *Keeper) feed(ctx context.Context, p *Pipeline, b *book) error {
	for b.more {
		all, watermark, err := Mature(ctx, k.store, p.Name, nil, b.fed)
		if err != nil {
			return err
		}
		k.lose(p.Name, b, all)
		if k.follower != nil {
			k.follower.Take(p.Name, all)
		}
		b.more = watermark != b.fed
		b.moved = b.moved || b.more
		b.fed = watermark
	}
	return k.tell(ctx, p.Name, b)
}

// tell lets the follower tell, and keeps the place after it has.
func (k *Keeper) tell(ctx context.Context, pipeline string, b *book) error {
	if k.follower == nil {
		return nil
	}
	told, err := k.follower.Tell(ctx, pipeline)
	if err != nil {
		return fmt.Errorf("tell of what has come true: %w", err)
	}
	if !told {
		return nil
	}
	b.moved = true
	return k.place(ctx, pipeline, b)
}

// place keeps up to where outcomes were told, and what the follower knows there.
func (k *Keeper) place(ctx context.Context, pipeline string, b *book) error {
	if !b.moved {
		return nil
	}
	var state []byte
	if k.follower != nil {
		state = k.follower.State(pipeline)
	}
	if err := k.store.WriteTruthPlace(ctx, pipeline, b.fed, state); err != nil {
		return err
	}
	b.moved = false
	return nil
}

// running is the mean loss of a version, over about its last thousand outcomes.
type running struct {
	version string
	n, mean float64
}

// maxLosses is how many versions of a pipeline have a gauge.
const maxLosses = 4

// lose follows the realised loss of the versions.
func (k *Keeper) lose(pipeline string, b *book, all []Outcome) {
	for i := range all {
		o := &all[i]
		if math.IsNaN(o.Loss) {
			continue
		}
		at := slices.IndexFunc(b.losses, func(r *running) bool { return r.version == o.Version })
		if at < 0 {
			if len(b.losses) == maxLosses {
				k.metrics.loss.DeleteLabelValues(pipeline, b.losses[0].version)
				b.losses = slices.Delete(b.losses, 0, 1)
			}
			at = len(b.losses)
			b.losses = append(b.losses, &running{version: o.Version})
		}
		r := b.losses[at]
		r.n = min(r.n+1, 1000)
		r.mean += (o.Loss - r.mean) / r.n
	}
	for _, r := range b.losses {
		k.metrics.loss.WithLabelValues(pipeline, r.version).Set(r.mean)
	}
}
