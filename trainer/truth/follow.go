package truth

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// feed tells what was settled.
func (k *Keeper) feed(ctx context.Context, p *Pipeline, b *book) error {
	for {
		all, watermark, err := Mature(ctx, k.store, p.Name, nil, b.fed)
		if err != nil || watermark == b.fed {
			return err
		}
		b.fed = watermark
		k.lose(p.Name, b, all)
		slices.SortStableFunc(all, func(x, y Outcome) int { return cmp.Compare(x.End, y.End) })
		if k.told != nil {
			k.told(p.Name, all)
		}
	}
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
