package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"andon/event"
	"andon/model"
	"andon/trainer/evaluate"
)

// ErrNothingKept is the error of an examination for which there are no rows that no model has learned from.
var ErrNothingKept = errors.New("nothing is kept from training to judge models by")

// Examination gathers what models of a pipeline are judged on: the assets that Spec.Holdout keeps, or the time, with their truth as far as it is known. The same rows and labels give the same data.
func Examination(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (evaluate.Data, error) {
	if pictured(p.Spec.Task) {
		return examinePictures(ctx, src, p, memory)
	}
	spec := *p
	spec.Spec.Censored = p.Spec.Task == model.RemainingLife // what lives on is judged as far as its truth is known
	d := evaluate.Data{Pipeline: p.Name, Task: p.Spec.Task, Unit: p.Spec.Unit, Cap: p.Spec.Cap, Horizon: p.Spec.Horizon, Featurize: evaluate.Featurize(p.Featurize)}
	st, err := readLives(ctx, src, &spec, memory, true)
	if err != nil {
		return d, err
	}
	failed := *st
	if p.Spec.Task == model.RemainingLife && !p.Spec.Censored {
		// Training sees only what has failed: assets that are kept are chosen among those, and the others are unseen.
		failed.lives = nil
		for _, l := range st.lives {
			if l.failed != evaluate.Alive {
				failed.lives = append(failed.lives, l)
			}
		}
	}
	kept := failed.keep(&p.Spec)
	from := st.cut(&p.Spec, true)
	trained := map[string]bool{}
	for _, l := range failed.lives {
		trained[l.asset] = !kept[l.asset]
	}
	hash := sha256.New()
	for _, l := range st.lives {
		if trained[l.asset] && from == 0 && len(st.golden[l.asset]) == 0 {
			continue
		}
		e := evaluate.Life{Asset: l.asset, Rows: l.rows, From: from, Failed: l.failed, Events: st.events[l.asset], Golden: st.golden[l.asset]}
		if trained[l.asset] && from == 0 {
			if p.Spec.Task == model.RemainingLife {
				continue // its life was learned from: an example of it would say nothing
			}
			e.Only = true
		}
		d.Lives = append(d.Lives, e)
		digestLife(hash, &e)
	}
	if len(d.Lives) == 0 {
		return d, fmt.Errorf("%w: %d assets have rows with a known truth, and holdout is %v", ErrNothingKept, len(trained), p.Spec.Holdout)
	}
	d.Digest = hex.EncodeToString(hash.Sum(nil))
	return d, nil
}

func digestLife(hash interface{ Write([]byte) (int, error) }, l *evaluate.Life) {
	var buf []byte
	number := func(v int64) { buf = binary.LittleEndian.AppendUint64(buf, uint64(v)) } //nolint:gosec // bits
	buf = append(buf, l.Asset...)
	number(l.From)
	number(l.Failed)
	for _, all := range [][]evaluate.Interval{l.Events, l.Golden} {
		number(int64(len(all)))
		for _, i := range all {
			number(i.From)
			number(i.Until)
			buf = append(buf, i.Kind...)
		}
	}
	for i := range l.Rows {
		number(l.Rows[i].Time)
		for _, v := range l.Rows[i].Values {
			number(int64(math.Float64bits(v))) //nolint:gosec // bits
		}
	}
	_, _ = hash.Write(buf) // a hash takes all
}
