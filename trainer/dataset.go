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
	"andon/trainer/fit"
)

// dataset is what one run learns from.
type dataset struct {
	// recipe has its Scale.
	recipe     model.Recipe
	train, val fit.Set
	// remaining holds, for remaining-life, the grid steps that each window of val still had, without the cap.
	remaining     []float64
	query, digest string
	// spans are where the rows lie in the log.
	spans  []event.Span
	assets int
	// incomplete is how many assets have failed without rows up to their failure: the label may have overtaken them.
	incomplete int
}

// life is an asset's rows until it failed, or all of them where nothing fails.
type life struct {
	asset string
	rows  []event.Row
	// failed is the slot in which it failed.
	failed int64
	// What the first pass found: how many windows there are, and the moments of the channels.
	windows int
	moments []moment
}

// collect reads what a pipeline has stored and makes windows and targets of it. The same rows and labels give the same data set to the bit.
func collect(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (*dataset, error) {
	lives, query, incomplete, err := readLives(ctx, src, p, memory)
	if err != nil {
		return nil, err
	}
	spans, err := spansOf(ctx, src, p, lives)
	if err != nil {
		return nil, err
	}
	recipe := p.Recipe
	recipe.Scale = nil
	total := 0
	for _, l := range lives {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := l.measure(p.Featurize, &recipe); err != nil {
			return nil, fmt.Errorf("windows of %s: %w", l.asset, err)
		}
		total += l.windows
	}
	lives = slices.DeleteFunc(lives, func(l *life) bool { return l.windows == 0 })
	if total == 0 {
		return nil, fmt.Errorf("no asset of %s has %d slots of %v in a row, which one window needs", p.Name, recipe.Length, recipe.Grid)
	}

	held, assets := split(lives, &p.Spec)
	recipe.Scale = scale(lives, held)
	d := &dataset{recipe: recipe, query: query, spans: spans, assets: assets, incomplete: incomplete}
	width := recipe.Width()
	d.train.Length, d.train.Width = recipe.Length, width
	d.val.Length, d.val.Width = recipe.Length, width
	size := 4 * recipe.Length * width
	stride := (total*size + int(memory) - 1) / int(memory)
	b := builder{d: d, spec: &p.Spec, grid: int64(recipe.Grid), stride: stride, hash: sha256.New()}
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

// readLives copies the rows, cut into lives, ordered by asset and time, and counts the assets without rows up to their last failure.
func readLives(ctx context.Context, src Source, p *Pipeline, memory event.Bytes) (lives []*life, query string, incomplete int, err error) {
	var assets []string
	ends := map[string][]int64{}
	if p.Spec.Task == model.RemainingLife {
		labels, err := src.Labels(ctx, p.Name, event.KindFailure)
		if err != nil {
			return nil, "", 0, fmt.Errorf("read labels of %s: %w", p.Name, err)
		}
		for _, l := range labels {
			ends[l.Asset] = append(ends[l.Asset], l.Time)
		}
		for a := range ends {
			slices.Sort(ends[a])
			ends[a] = slices.Compact(ends[a])
			assets = append(assets, a)
		}
		slices.Sort(assets)
	}
	incomplete = len(assets)
	bytes := 0
	query, err = src.Readings(ctx, p.Name, p.Recipe.Signals, assets, 0, 0, func(asset string, rows []event.Row) error {
		if p.Spec.Task == model.Anomaly {
			lives = append(lives, &life{asset: asset, rows: clone(rows[:min(len(rows), p.Spec.MinRows)])})
		} else {
			grid := int64(p.Recipe.Grid)
			lives = append(lives, cut(asset, rows, ends[asset], grid)...)
			if len(rows) > 0 && rows[len(rows)-1].Time >= ends[asset][len(ends[asset])-1]-int64(p.Recipe.MaxGap+2)*grid {
				incomplete--
			}
		}
		if bytes += len(rows) * (64 + 8*len(p.Recipe.Signals)); bytes > int(memory) {
			return fmt.Errorf("the rows of %d assets alone are more than %v: raise trainer.memory", len(lives), memory)
		}
		return nil
	})
	if err != nil {
		return nil, "", 0, fmt.Errorf("read rows of %s: %w", p.Name, err)
	}
	slices.SortStableFunc(lives, func(a, b *life) int {
		if a.asset < b.asset {
			return -1
		} else if a.asset > b.asset {
			return 1
		}
		return 0
	})
	return lives, query, incomplete, nil
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
func (l *life) measure(featurize Featurize, recipe *model.Recipe) error {
	width := recipe.Width()
	l.moments = make([]moment, width)
	before := int64(math.MinInt64)
	return featurize(recipe, l.rows, func(end int64, window []float32) {
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
	d      *dataset
	spec   *Spec
	grid   int64
	stride int
	hash   hash.Hash
	buf    []byte
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
		i++
		if (l.windows-1-i)%b.stride != 0 {
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
			left := math.Max(float64(l.failed-(end/b.grid-1)), 0)
			target = float32(math.Min(left, float64(b.spec.Cap)) / float64(b.spec.Cap))
			if validates {
				b.d.remaining = append(b.d.remaining, left)
			}
		}
		set.Windows = append(set.Windows, window...)
		set.Targets = append(set.Targets, target)
		b.digest(validates, end, target, window)
	})
}

func (b *builder) digest(validates bool, end int64, target float32, window []float32) {
	b.buf = b.buf[:0]
	if validates {
		b.buf = append(b.buf, 1)
	} else {
		b.buf = append(b.buf, 0)
	}
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(end)) //nolint:gosec // bits
	b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(target))
	for _, x := range window {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, math.Float32bits(x))
	}
	b.hash.Write(b.buf)
}
