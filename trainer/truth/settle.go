package truth

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"andon/event"
	"andon/model"
)

// What the keeper settles next: which predictions of each asset are held against the labels, in a round, when a label changes, and when readings come late.

// page is what is remembered of one asset; times are ends.
type page struct {
	seen, looked, matured int64
	// runs are those that may still speak of predictions to come.
	runs  []Run
	dirty bool
	// anew tells that predictions after the marks may have been settled before a restart: they are not settled twice, and not at all by labels that do not count any more.
	anew bool
}

// page returns a new one, of an asset without marks.
func (b *book) page() *page { return &page{seen: never, looked: never, matured: never, anew: b.anew} }

// never is before all times.
const never = math.MinInt64 / 4

// mark reads a mark: the store holds no time before 1900, and gives that for never.
func mark(at int64) int64 {
	if at < -2e18 {
		return never
	}
	return at
}

// keep leaves out runs that no window after the marks touches.
func (g *page) keep(p *Pipeline, runs []Run) {
	from := min(g.looked, g.matured)
	if p.Rule.MatureAfter == 0 && p.Rule.Task != model.RemainingLife {
		from = g.looked
	}
	g.runs = slices.DeleteFunc(slices.Clone(runs), func(r Run) bool { return max(r.From, r.To) < from-2*int64(p.Rule.Grid) })
}

// runs asks what labels say of assets.
func (k *Keeper) runs(ctx context.Context, p *Pipeline, assets []string) (map[string][]Run, error) {
	labels, err := k.store.LabelsOf(ctx, p.Name, assets)
	if err != nil {
		return nil, err
	}
	return k.runsOf(ctx, p, labels)
}

func (k *Keeper) runsOf(ctx context.Context, p *Pipeline, labels []event.Label) (map[string][]Run, error) {
	by := map[string][]event.Label{}
	for _, l := range labels {
		by[l.Asset] = append(by[l.Asset], l)
	}
	type end struct {
		asset string
		at    int64
	}
	last := map[end]int64{}
	if p.Rule.Task == model.RemainingLife {
		var of []string
		var at []int64
		for _, l := range labels {
			if l.Kind == event.KindFailure {
				of, at = append(of, l.Asset), append(at, l.Time)
			}
		}
		found, err := k.store.LastReadings(ctx, p.Name, int64(p.Rule.Grid), of, at)
		if err != nil {
			return nil, err
		}
		for i, t := range found {
			if t != 0 {
				last[end{of[i], at[i]}] = t
			}
		}
	}
	runs := make(map[string][]Run, len(by))
	for asset, labels := range by {
		runs[asset] = p.Rule.Runs(labels, func(failed int64) (int64, bool) { t, ok := last[end{asset, failed}]; return t, ok })
	}
	return runs, nil
}

// span is a range of ends.
type span struct{ from, to int64 }

// touched says which predictions a label can speak of.
func (r *Rule) touched(l *event.Label, runs []Run) span {
	grid := int64(r.Grid)
	switch r.Task {
	case model.RemainingLife: // all of the life that ended, which began with the failure before
		s := span{never, l.Time + grid}
		for _, run := range runs {
			if run.From < l.Time {
				s.from = max(s.from, run.From)
			}
		}
		return s
	case model.Classification, model.Detection:
		return span{l.Time - 1, max(l.Until, l.Time)}
	}
	return span{l.Time - int64(r.Horizon)*grid, max(l.Until, l.Time) + grid + tick}
}

// relabel settles anew what changed labels speak of. What was not looked at yet is left to advance.
func (k *Keeper) relabel(ctx context.Context, p *Pipeline, b *book, labels []event.Label) error {
	of := map[string][]event.Label{}
	for _, l := range labels {
		of[l.Asset] = append(of[l.Asset], l)
	}
	assets := slices.Sorted(maps.Keys(of))
	for part := range slices.Chunk(assets, k.cfg.Assets) {
		runs, err := k.runs(ctx, p, part)
		if err != nil {
			return err
		}
		w := k.settling(p)
		w.Again = true
		for _, a := range part {
			g := b.pages[a]
			if g == nil { // nothing was ever said of it
				g = b.page()
				b.pages[a] = g
			}
			g.keep(p, runs[a])
			all := span{math.MaxInt64, never}
			for i := range of[a] {
				s := p.Rule.touched(&of[a][i], runs[a])
				all.from, all.to = min(all.from, s.from), max(all.to, s.to)
			}
			add(w, a, span{all.from, min(all.to, g.looked)}, span{all.from, min(all.to, g.matured)}, runs[a])
		}
		if err := k.settle(ctx, p, w); err != nil {
			return err
		}
	}
	return nil
}

// advance goes on to what had come by the round before.
func (k *Keeper) advance(ctx context.Context, p *Pipeline, b *book) error {
	grid, frames := int64(p.Rule.Grid), p.Rule.Task == model.Classification || p.Rule.Task == model.Detection
	seen, mark, err := k.seen(ctx, p, b, frames)
	if err != nil {
		return err
	}
	// An asset that has stood still since the round before has gone on in the one before that.
	for a, g := range b.pages {
		if _, ok := seen[a]; !ok && g.seen > g.looked {
			seen[a] = g.seen
		}
	}
	if err := k.failed(ctx, p, b, seen); err != nil {
		return err
	}
	on, anew := batch{k: k, p: p}, batch{k: k, p: p, again: true}
	for _, a := range slices.Sorted(maps.Keys(seen)) {
		g := b.pages[a]
		if g == nil {
			g = b.page()
			b.pages[a] = g
		}
		target := g.seen
		g.seen = max(g.seen, seen[a])
		if target == never {
			continue
		}
		look, mature := target, int64(never)
		switch {
		case frames:
		case p.Rule.Task == model.RemainingLife:
			mature = target - int64(p.Rule.Horizon)*grid
		default:
			look = target - int64(p.Rule.Horizon)*grid
			if p.Rule.MatureAfter > 0 {
				mature = target - int64(p.Rule.MatureAfter)
			}
		}
		look, mature = max(look, g.looked), max(mature, g.matured)
		if look == g.looked && mature == g.matured {
			continue
		}
		looking := span{g.looked, look}
		if !g.anew && !slices.ContainsFunc(g.runs, func(r Run) bool { return p.Rule.speaks(r, looking) }) {
			looking.to = looking.from
		}
		if looking.from == looking.to && mature == g.matured {
			g.looked, g.dirty = look, true
			continue
		}
		to := &on
		if g.anew {
			to = &anew
			if g.matured != never { // what labels settled between the marks stays
				looking.from = min(g.looked, g.matured)
			}
		}
		if err := to.add(ctx, a, looking, span{g.matured, mature}, g.runs, func() {
			g.looked, g.matured, g.dirty, g.anew = look, mature, true, false
			g.keep(p, g.runs)
		}); err != nil {
			return err
		}
	}
	if err := errors.Join(on.flush(ctx), anew.flush(ctx)); err != nil {
		return err
	}
	b.said = mark
	return nil
}

// seen asks how far the assets have come that have come further, and returns the mark of the predictions then; nobody is asked while there is no new one.
func (k *Keeper) seen(ctx context.Context, p *Pipeline, b *book, frames bool) (seen map[string]int64, mark string, err error) {
	mark, err = k.store.SaidMark(ctx, p.Name, frames)
	if err != nil || mark == b.said {
		return map[string]int64{}, mark, err
	}
	known := make(map[string]int64, len(b.pages))
	for a, g := range b.pages {
		if g.seen != never {
			known[a] = g.seen
		}
	}
	seen, err = k.store.SeenEnds(ctx, p.Name, frames, known)
	return seen, mark, err
}

// batch gathers assets for one statement, and what is done when that is.
type batch struct {
	k     *Keeper
	p     *Pipeline
	again bool
	w     *event.Settling
	then  []func()
}

func (b *batch) add(ctx context.Context, asset string, look, mature span, runs []Run, then func()) error {
	if b.w == nil {
		b.w = b.k.settling(b.p)
		b.w.Again = b.again
	}
	add(b.w, asset, look, mature, runs)
	b.then = append(b.then, then)
	if len(b.w.Assets) < b.k.cfg.Assets {
		return nil
	}
	return b.flush(ctx)
}

func (b *batch) flush(ctx context.Context) error {
	if b.w == nil {
		return nil
	}
	if err := b.k.settle(ctx, b.p, b.w); err != nil {
		return err
	}
	for _, f := range b.then {
		f()
	}
	b.w, b.then = nil, nil
	return nil
}

// failed looks again for the last readings of assets that failed, where their predictions are about to be settled: the label may have overtaken them.
func (k *Keeper) failed(ctx context.Context, p *Pipeline, b *book, seen map[string]int64) error {
	if p.Rule.Task != model.RemainingLife {
		return nil
	}
	var assets []string
	for a := range seen {
		if g := b.pages[a]; g != nil && slices.ContainsFunc(g.runs, func(r Run) bool { return p.Rule.speaks(r, span{g.looked, g.seen}) }) {
			assets = append(assets, a)
		}
	}
	slices.Sort(assets)
	var changed []event.Label
	for part := range slices.Chunk(assets, k.cfg.Assets) {
		runs, err := k.runs(ctx, p, part)
		if err != nil {
			return err
		}
		for _, a := range part {
			g := b.pages[a]
			before := g.runs
			g.keep(p, runs[a])
			for i, r := range g.runs {
				if i < len(before) && before[i].From == r.From && before[i].To != r.To {
					changed = append(changed, event.Label{Pipeline: p.Name, Asset: a, Time: r.From, Kind: r.Kind})
				}
			}
		}
	}
	return k.relabel(ctx, p, b, changed)
}

// speaks tells whether a run can speak of predictions that end in a range.
func (r *Rule) speaks(run Run, s span) bool {
	if r.Task == model.RemainingLife {
		return run.From >= s.from-int64(r.Grid)
	}
	return run.To >= s.from-int64(r.Grid) && run.From <= s.to+int64(r.Horizon)*int64(r.Grid)
}

func (k *Keeper) settling(p *Pipeline) *event.Settling {
	r := &p.Rule
	return &event.Settling{Pipeline: p.Name, Task: string(r.Task), Grid: int64(r.Grid), Cap: r.Cap, Horizon: r.Horizon}
}

// add puts an asset into a statement.
func add(w *event.Settling, asset string, look, mature span, runs []Run) {
	w.Assets = append(w.Assets, asset)
	w.LookFrom, w.LookTo = append(w.LookFrom, look.from), append(w.LookTo, max(look.to, look.from))
	w.MatureFrom, w.MatureTo = append(w.MatureFrom, mature.from), append(w.MatureTo, max(mature.to, mature.from))
	for _, r := range runs {
		w.RunAsset, w.RunFrom, w.RunTo = append(w.RunAsset, asset), append(w.RunFrom, r.From), append(w.RunTo, r.To)
		w.RunKind, w.RunHappened, w.RunWeight = append(w.RunKind, r.Kind), append(w.RunHappened, r.Happened), append(w.RunWeight, r.Weight)
	}
}

func (k *Keeper) settle(ctx context.Context, p *Pipeline, w *event.Settling) error {
	if len(w.Assets) == 0 {
		return nil
	}
	// Later than all that was settled before, also where the clock was set back.
	w.Settled = max(time.Now().UnixNano(), k.last+int64(time.Millisecond))
	k.last = w.Settled
	rows, err := k.store.SettleOutcomes(ctx, w)
	k.metrics.outcomes.WithLabelValues(p.Name).Add(float64(rows))
	if b := k.books[p.Name]; rows > 0 || err != nil { // of what failed some may be there
		b.more = true
	}
	return err
}
