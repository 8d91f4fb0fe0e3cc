package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"slices"

	"andon/event"
	"andon/model"
	"andon/trainer/evaluate"
	"andon/trainer/fit"
)

// dataset is what one run learns from.
type dataset struct {
	// recipe has its Scale.
	recipe     model.Recipe
	train, val fit.Set
	// remaining holds, for remaining-life, the grid steps that each window of val still had, without the cap.
	remaining []float64
	// trainOf and valOf are where the windows came from.
	trainOf, valOf []origin
	// names are the assets', by origin.asset.
	names         []string
	query, digest string
	// spans are where the rows lie in the log.
	spans  []event.Span
	assets int
	// kept is how many assets are kept for judging and were not read.
	kept int
	// incomplete is how many assets have failed without rows up to their failure: the label may have overtaken them.
	incomplete int
}

// life is an asset's rows until it failed, or all of them where nothing fails.
type life struct {
	asset string
	rows  []event.Row
	// failed is the slot in which it failed; evaluate.Alive where its end is not known.
	failed int64
	// out are stretches of time whose windows are not learned from.
	out []stretch
	// hard are stretches of time that count more or less than others.
	hard []stretch
	// weight is of the life as a whole, 0 like 1.
	weight float64
	// What the first pass found: how many windows there are that may be learned from, how many of them are recent, and the moments of the channels.
	windows, recent int
	moments         []moment
}

// stretch is a stretch of event time, [from, until), and what it counts.
type stretch struct {
	from, until int64
	weight      float64
}

// order is what a run is asked beside the pipeline's own settings.
type order struct {
	// again tells that there is a champion: an anomaly's model is then made of all rows, not of the first.
	again bool
	// since is the event time from which on rows are recent; 0 takes Spec.Recent before the newest.
	since int64
	// scale is that of the channels, of a model whose parameters are the start; nil learns it.
	scale []model.Scale

	// What follows is for the lineage: the live version, the SHA-256 of its file where its parameters are the start, how far the data is stored (nil: as far as it is now), the bound on windows, and who makes it.
	champion, start string
	marks           *event.Marks
	memory          event.Bytes
	worker          string
	clock           *stopwatch
	// as is of a model that is made again: what was of its moment.
	as *model.Lineage
}

// collect reads what a pipeline has stored and makes windows and targets of it. The same rows, labels and order give the same data set to the bit.
func collect(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, o order) (*dataset, error) {
	st, err := readLives(ctx, src, p, memory, o.again)
	if err != nil {
		return nil, err
	}
	kept, since := st.keep(&p.Spec), st.since(&p.Spec, o)
	cut := st.cut(&p.Spec, o.again)
	lives := slices.DeleteFunc(st.lives, func(l *life) bool { return kept[l.asset] })
	if cut > 0 { // of an asset alone, the newest rows are kept
		for _, l := range lives {
			l.out = append(l.out, stretch{from: cut, until: math.MaxInt64})
		}
	}
	spans, err := spansOf(ctx, src, p, lives)
	if err != nil {
		return nil, err
	}
	recipe := p.Recipe
	recipe.Scale = nil
	total, recent := 0, 0
	for _, l := range lives {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.measure(p.Featurize, &recipe, &p.Spec, since); err != nil {
			return nil, fmt.Errorf("windows of %s: %w", l.asset, err)
		}
		total += l.windows
		recent += l.recent
	}
	lives = slices.DeleteFunc(lives, func(l *life) bool { return l.windows == 0 })
	if total == 0 {
		return nil, fmt.Errorf("no asset of %s has %d slots of %v in a row, which one window needs", p.Name, recipe.Length, recipe.Grid)
	}

	held, assets := split(lives, &p.Spec)
	recipe.Scale = o.scale
	if recipe.Scale == nil {
		recipe.Scale = scale(lives, held)
	}
	d := &dataset{recipe: recipe, query: st.query, spans: spans, assets: assets, kept: len(kept), incomplete: st.incomplete}
	width := recipe.Width()
	d.train.Length, d.train.Width = recipe.Length, width
	d.val.Length, d.val.Width = recipe.Length, width
	b := builder{d: d, numbers: map[string]int32{}, spec: &p.Spec, grid: int64(recipe.Grid), share: balance(total-recent, recent, max(int(memory)/(4*recipe.Length*width), 1), p.Spec.Replay), since: since, hash: sha256.New()}
	if err := b.begin(); err != nil {
		return nil, err
	}
	for _, l := range lives {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := b.add(p.Featurize, l, held); err != nil {
			return nil, fmt.Errorf("windows of %s: %w", l.asset, err)
		}
	}
	d.digest = hex.EncodeToString(b.hash.Sum(nil))
	if d.train.Len() == 0 || d.val.Len() == 0 {
		return nil, fmt.Errorf("%d windows of %d assets are too few: %d would train and %d validate", total, assets, d.train.Len(), d.val.Len())
	}
	return d, nil
}

// spansOf asks where in the log the rows of the lives are.
func spansOf(ctx context.Context, src Source, p *Pipeline, lives []*life) ([]event.Span, error) {
	var assets []string
	from, until := int64(math.MaxInt64), int64(0)
	for _, l := range lives {
		if len(l.rows) == 0 {
			continue
		}
		if n := len(assets); n == 0 || assets[n-1] != l.asset {
			assets = append(assets, l.asset)
		}
		from, until = min(from, l.rows[0].Time), max(until, l.rows[len(l.rows)-1].Time+1)
	}
	if len(assets) == 0 {
		return nil, nil
	}
	return src.Spans(ctx, p.Name, assets, from, until)
}

// cut makes lives of an asset's rows, each ending with a failure; rows after the last failure belong to a life whose end is not known. An asset that
// failed within a grid step after its last reading failed in that reading's slot: the label's time may be that of the reading, or of its slot's end.
func cut(asset string, rows []event.Row, ends []int64, grid int64) []*life {
	var lives []*life
	for _, end := range ends {
		n := 0
		for n < len(rows) && rows[n].Time <= end {
			n++
		}
		if n == 0 {
			continue
		}
		l := &life{asset: asset, rows: clone(rows[:n]), failed: floorDiv(end, grid)}
		if last := rows[n-1].Time; end-last <= grid {
			l.failed = floorDiv(last, grid)
		}
		lives = append(lives, l)
		rows = rows[n:]
	}
	return lives
}

func clone(rows []event.Row) []event.Row {
	out := slices.Clone(rows)
	n := 0
	for _, r := range rows {
		n += len(r.Values)
	}
	arena := make([]float64, 0, n)
	for i, r := range rows {
		arena = append(arena, r.Values...)
		out[i].Values = arena[len(arena)-len(r.Values):]
	}
	return out
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// moment gathers mean and variance (Welford 1962).
type moment struct{ n, mean, m2 float64 }

func (m *moment) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / m.n
	m.m2 += d * (x - m.mean)
}

// join adds what another has gathered (Chan, Golub and LeVeque 1979).
func (m *moment) join(o moment) {
	if o.n == 0 {
		return
	}
	n, d := m.n+o.n, o.mean-m.mean
	m.mean += d * o.n / n
	m.m2 += o.m2 + d*d*m.n*o.n/n
	m.n = n
}

// measure counts a life's windows and gathers each slot once: all slots of a window that does not follow the one before, the last slot of others.
func (l *life) measure(featurize Featurize, recipe *model.Recipe, s *Spec, since int64) error {
	width := recipe.Width()
	l.moments = make([]moment, width)
	before := int64(math.MinInt64)
	return featurize(recipe, l.rows, func(end int64, window []float32) {
		if !l.takes(end, recipe, s) {
			return
		}
		if l.fresh(end, s, since) {
			l.recent++
		}
		from := 0
		if end == before+int64(recipe.Grid) {
			from = len(window) - width
		}
		for i, x := range window[from:] {
			l.moments[i%width].add(float64(x))
		}
		before = end
		l.windows++
	})
}

// takes tells whether the window that ends at end may be learned from: nothing of it lies in what is left out, and its target is known.
func (l *life) takes(end int64, recipe *model.Recipe, s *Spec) bool {
	from := end - int64(recipe.Length)*int64(recipe.Grid)
	for _, o := range l.out {
		if end > o.from && from < o.until {
			return false
		}
	}
	_, known := l.target(end, int64(recipe.Grid), s)
	return known
}

// target is the remaining life of the window that ends at end, in steps and without the cap. Of an asset that has not failed it is known only where it is surely more than the cap, which is then
// all that a network is asked to tell.
func (l *life) target(end, grid int64, s *Spec) (left float64, known bool) {
	if s.Task != model.RemainingLife {
		return 0, true
	}
	slot := end/grid - 1
	if l.failed != evaluate.Alive {
		return math.Max(float64(l.failed-slot), 0), true
	}
	left = float64(floorDiv(l.rows[len(l.rows)-1].Time, grid) - slot)
	return left, left >= float64(s.Cap)
}

// fresh tells recent windows from old ones: of a remaining life by its end, of anomalies by the window's.
func (l *life) fresh(end int64, s *Spec, since int64) bool {
	if s.Task == model.RemainingLife {
		end = l.rows[len(l.rows)-1].Time + 1
	}
	return end > since
}

// counts is what a window weighs beside others.
func (l *life) counts(end int64) float64 {
	w := 1.0
	if l.weight > 0 {
		w = l.weight
	}
	for _, h := range l.hard {
		if end > h.from && end <= h.until {
			w = math.Max(w, h.weight)
		}
	}
	return w
}

// split chooses the assets whose windows validate; none where there is only one asset, which is split by time.
func split(lives []*life, s *Spec) (held map[string]bool, assets int) {
	var names []string
	for _, l := range lives {
		names = append(names, l.asset)
	}
	names = slices.Compact(names)
	held = map[string]bool{}
	if len(names) < 2 {
		return held, len(names)
	}
	rng := rand.New(rand.NewPCG(s.Seed, 0x73706c6974)) //nolint:gosec // a seed, not a secret
	order := rng.Perm(len(names))
	n := min(max(int(math.Round(s.Validation*float64(len(names)))), 1), len(names)-1)
	for _, i := range order[:n] {
		held[names[i]] = true
	}
	return held, len(names)
}

// scale learns the channels' means and deviations from the assets that train.
func scale(lives []*life, held map[string]bool) []model.Scale {
	sum := make([]moment, len(lives[0].moments))
	for _, l := range lives {
		if !held[l.asset] {
			for c := range sum {
				sum[c].join(l.moments[c])
			}
		}
	}
	out := make([]model.Scale, len(sum))
	for c, m := range sum {
		sd := math.Sqrt(m.m2 / m.n)
		// A channel that does not vary, but for rounding, must not be blown up.
		if !(sd > 1e-6*math.Abs(m.mean)) || sd < 1e-12 {
			sd = 1
		}
		out[c] = model.Scale{Mean: m.mean, Std: sd}
	}
	return out
}

// builder puts windows into the sets.
type builder struct {
	d     *dataset
	spec  *Spec
	grid  int64
	share shares
	since int64
	hash  hash.Hash
	buf   []byte
	// numbers are of assets.
	numbers map[string]int32
}

func (b *builder) begin() error {
	js, err := json.Marshal(b.d.recipe)
	if err != nil {
		return err
	}
	b.hash.Write(js)
	return nil
}

func (b *builder) add(featurize Featurize, l *life, held map[string]bool) error {
	width := b.d.recipe.Width()
	alone := len(held) == 0
	// Of a lone asset the newest windows validate, and those that overlap with them are left out.
	first := l.windows - int(math.Round(b.spec.Validation*float64(l.windows)))
	i := -1
	return featurize(&b.d.recipe, l.rows, func(end int64, window []float32) {
		if !l.takes(end, &b.d.recipe, b.spec) {
			return
		}
		i++
		c := b.share.of(l.fresh(end, b.spec, b.since))
		if (l.windows-1-i)%c.stride != 0 {
			return
		}
		set, validates := &b.d.train, held[l.asset]
		if alone {
			validates = i >= first
			if !validates && i > first-b.d.recipe.Length {
				return
			}
		}
		if validates {
			set = &b.d.val
		}
		target := window[len(window)-width]
		if b.spec.Task == model.RemainingLife {
			left, _ := l.target(end, b.grid, b.spec)
			target = float32(math.Min(left, float64(b.spec.Cap)) / float64(b.spec.Cap))
			if validates {
				b.d.remaining = append(b.d.remaining, left)
			}
		}
		set.Windows = append(set.Windows, window...)
		number, ok := b.numbers[l.asset]
		if !ok {
			number = int32(len(b.numbers))
			b.numbers[l.asset] = number
			b.d.names = append(b.d.names, l.asset)
		}
		if o := (origin{number, end, l.fresh(end, b.spec, b.since)}); validates {
			b.d.valOf = append(b.d.valOf, o)
		} else {
			b.d.trainOf = append(b.d.trainOf, o)
		}
		set.Targets = append(set.Targets, target)
		weight := float32(l.counts(end) * c.weight)
		if weight != 1 && set.Weights == nil {
			set.Weights = slices.Repeat([]float32{1}, set.Len()-1)
		}
		if set.Weights != nil {
			set.Weights = append(set.Weights, weight)
		}
		b.digest(validates, end, target, weight, window)
	})
}

func (b *builder) digest(validates bool, end int64, target, weight float32, window []float32) {
	b.buf = b.buf[:0]
	if validates {
		b.buf = append(b.buf, 1)
	} else {
		b.buf = append(b.buf, 0)
	}
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(end)) //nolint:gosec // bits
	b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(target))
	if weight != 1 {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(weight))
	}
	for _, x := range window {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(x))
	}
	b.hash.Write(b.buf)
}
