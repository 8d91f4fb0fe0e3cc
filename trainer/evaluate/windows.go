package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"andon/event"
	"andon/model"
	"andon/model/ort"
	"andon/trainer/gate"
)

// runRows is how many windows are scored at once: more do not pay for recurrent layers on a CPU, and it is the scorer's own bound.
const runRows = 32

// pass is one look of all models at all data, as it is or perturbed.
type pass struct {
	samples []sample
	// said and risk are by contender, then sample.
	said, risk [][]float64
}

// key names a window of a life.
type key struct {
	life int
	end  int64
}

// judge is a contender that is ready to run.
type judge struct {
	m       *model.Model
	session *ort.Session
}

func runWindows(ctx context.Context, c *Config, contenders []*model.Model, d *Data, t *Table) error {
	first := &contenders[0].Recipe
	for _, m := range contenders {
		if !slices.Equal(m.Recipe.Signals, first.Signals) || m.Recipe.Grid != first.Grid {
			return fmt.Errorf("%s reads %v each %v and %s %v each %v: they cannot be put side by side", contenders[0].Version, first.Signals, first.Grid, m.Version, m.Recipe.Signals, m.Recipe.Grid)
		}
	}
	if len(d.Lives) == 0 {
		return fmt.Errorf("there are no rows to judge by: none that no model was trained on has a truth yet")
	}
	var judges []*judge
	defer func() {
		for _, j := range judges {
			j.session.Close()
		}
	}()
	for _, m := range contenders {
		s, err := ort.NewSession(m.ONNX, ort.Options{Inputs: []string{model.Input}, Outputs: []string{model.Value, model.Risk}})
		if err != nil {
			return fmt.Errorf("load %s: %w", m.Version, err)
		}
		judges = append(judges, &judge{m, s})
	}
	t.Metric, t.Unit = "brier", ""
	if d.Task == model.RemainingLife {
		t.Metric, t.Unit = "rmse", d.Unit
	}
	sd := deviations(d.Lives, len(first.Signals))
	plain, err := look(ctx, c, judges, d, nil, sd)
	if err != nil {
		return err
	}
	if len(plain.samples) == 0 {
		return fmt.Errorf("no window of %d lives has a known truth and was made for all models alike", len(d.Lives))
	}
	whole := part{name: All, judged: true}
	for i := range plain.samples {
		if !plain.samples[i].extra {
			whole.ours = append(whole.ours, i)
		}
	}
	t.addCases(plain.samples, len(judges), func(n, i int) float64 {
		loss, _ := plain.samples[i].loss(d, plain.said[n][i], plain.risk[n][i])
		return loss
	})
	t.add(c, contenders, d, plain, whole)
	for i := range c.Scenarios {
		s := &c.Scenarios[i]
		p := plain
		if s.Perturb != nil {
			if p, err = look(ctx, c, judges, d, s.Perturb, sd); err != nil {
				return fmt.Errorf("scenarios.%s: %w", s.Name, err)
			}
		}
		parts, err := s.parts(p.samples, first.Signals)
		if err != nil {
			return err
		}
		for _, q := range parts {
			t.add(c, contenders, d, p, q)
		}
	}
	for _, j := range judges {
		cost, err := measure(ctx, c, j, d)
		if err != nil {
			return fmt.Errorf("time %s: %w", j.m.Version, err)
		}
		t.Versions = append(t.Versions, cost)
	}
	return nil
}

// look scores all windows with all models and keeps those that every model has, with their truth.
func look(ctx context.Context, c *Config, judges []*judge, d *Data, by *Perturbation, sd []float64) (*pass, error) {
	type answer struct{ value, risk float64 }
	signals, grid := judges[0].m.Recipe.Signals, int64(judges[0].m.Recipe.Grid)
	lives := make([][]event.Row, len(d.Lives))
	shifts := make([]int64, len(d.Lives))
	total, golden := 0, 0
	for i, l := range d.Lives {
		for _, g := range l.Golden {
			golden += int((g.Until - g.From) / grid)
		}
		lives[i] = l.Rows
		if by != nil && len(l.Rows) > 0 {
			var err error
			if lives[i], shifts[i], err = by.rows(l.Rows, l.Asset, signals, sd, c.Seed); err != nil {
				return nil, err
			}
		}
		total += slots(l.Rows, l.From, grid)
	}
	stride, every := int64(max((total+c.Windows-1)/c.Windows, 1)), sparse(golden, c.Windows)
	taken := func(l *Life, at int64) (all, extra bool) {
		slot := floorDiv(at-1, grid)
		all = slot%stride == 0
		return all, !all && by == nil && slot%every == 0 && within(l.Golden, at-1) != nil
	}
	said := make([]map[key]answer, len(judges))
	for n, j := range judges {
		said[n] = map[key]answer{}
		b := &batch{j: j}
		var keys []key
		flush := func() error {
			value, risk, err := b.run()
			for i := range value {
				said[n][keys[i]] = answer{float64(value[i]), float64(risk[i])}
			}
			keys = keys[:0]
			return err
		}
		for i, l := range d.Lives {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			var fault error
			err := d.Featurize(&j.m.Recipe, lives[i], func(end int64, window []float32) {
				at := end - shifts[i]
				if fault != nil || at <= l.From {
					return
				}
				if all, extra := taken(&l, at); !all && !extra {
					return
				}
				b.add(window)
				if keys = append(keys, key{i, at}); len(keys) == runRows {
					fault = flush()
				}
			})
			if err == nil {
				err = fault
			}
			if err == nil && i == len(d.Lives)-1 && len(keys) > 0 {
				err = flush()
			}
			if err != nil {
				return nil, fmt.Errorf("windows of %s for %s: %w", l.Asset, j.m.Version, err)
			}
		}
	}
	var keys []key
next:
	for k := range said[0] {
		for _, other := range said[1:] {
			if _, ok := other[k]; !ok {
				continue next
			}
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.life, b.life), cmp.Compare(a.end, b.end)) })
	p := &pass{said: make([][]float64, len(judges)), risk: make([][]float64, len(judges))}
	cut := blocks(d.Lives, grid)
	for _, k := range keys {
		l := &d.Lives[k.life]
		x, ok := l.sample(k.end, grid, d)
		if !ok {
			continue
		}
		x.block = cut(k.life, k.end)
		_, x.extra = taken(l, k.end)
		p.samples = append(p.samples, x)
		for n := range judges {
			a := said[n][k]
			p.said[n], p.risk[n] = append(p.said[n], a.value), append(p.risk[n], a.risk)
		}
	}
	return p, nil
}

// sample tells the truth of the window that ends at end; false where it is not known.
func (l *Life) sample(end, grid int64, d *Data) (x sample, ok bool) {
	x = sample{asset: l.Asset, end: end, left: math.NaN()}
	if g := within(l.Golden, end-1); g != nil {
		x.golden, x.goldenFrom = true, g.From
	}
	if l.Only && !x.golden {
		return x, false
	}
	if i := sort.Search(len(l.Rows), func(i int) bool { return l.Rows[i].Time >= end }); i > 0 {
		x.row = &l.Rows[i-1]
	}
	if d.Task != model.RemainingLife {
		if e := within(l.Events, end-1); e != nil {
			x.truth, x.classes = 1, []string{e.Kind}
		}
		return x, true
	}
	slot := floorDiv(end-1, grid)
	if l.Failed == Alive {
		// What has not failed has at least the steps that it was seen to live on.
		x.left = float64(floorDiv(l.Rows[len(l.Rows)-1].Time, grid) - slot)
		x.truth = float64(d.Cap)
		return x, x.left >= float64(d.Cap)
	}
	x.left = math.Max(float64(l.Failed-slot), 0)
	x.truth = math.Min(x.left, float64(d.Cap))
	return x, true
}

func within(all []Interval, at int64) *Interval {
	for i := range all {
		if at >= all[i].From && at < all[i].Until {
			return &all[i]
		}
	}
	return nil
}

// slots counts the grid's slots of an asset's rows after a time.
func slots(rows []event.Row, from, grid int64) int {
	n, last := 0, int64(math.MinInt64)
	for i := range rows {
		if s := floorDiv(rows[i].Time, grid); s != last && rows[i].Time >= from {
			n, last = n+1, s
		}
	}
	return n
}

// blocks says which windows may depend on each other. An asset's windows do; where there are fewer assets than a gate wants, each one's time is cut into stretches, which depend on each other less
// the longer they are (Künsch 1989, Annals of Statistics 17: a block bootstrap of fixed blocks).
func blocks(lives []Life, grid int64) func(life int, end int64) int {
	names := map[string]int{}
	from, until := int64(math.MaxInt64), int64(math.MinInt64)
	for _, l := range lives {
		if _, ok := names[l.Asset]; !ok {
			names[l.Asset] = len(names)
		}
		if n := len(l.Rows); n > 0 {
			from, until = min(from, max(l.Rows[0].Time, l.From)), max(until, l.Rows[n-1].Time)
		}
	}
	least := gate.Default().MinBlocks
	if len(names) >= least {
		return func(life int, _ int64) int { return names[lives[life].Asset] }
	}
	stretches := int64(2 * least)
	length := max((until-from)/stretches+1, grid)
	return func(life int, end int64) int {
		k := min(max((end-1-from)/length, 0), stretches-1)
		return names[lives[life].Asset]*int(stretches) + int(k)
	}
}

// deviations returns the signals' standard deviations over all rows.
func deviations(lives []Life, width int) []float64 {
	n, mean, m2 := make([]float64, width), make([]float64, width), make([]float64, width)
	for _, l := range lives {
		for i := range l.Rows {
			for c, v := range l.Rows[i].Values {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					continue
				}
				n[c]++
				d := v - mean[c]
				mean[c] += d / n[c]
				m2[c] += d * (v - mean[c])
			}
		}
	}
	for c := range m2 {
		m2[c] = math.Sqrt(m2[c] / math.Max(n[c], 1))
	}
	return m2
}

// add sums up one scenario for every contender.
func (t *Table) add(c *Config, contenders []*model.Model, d *Data, p *pass, q part) {
	assets := map[string]bool{}
	for _, i := range q.ours {
		assets[p.samples[i].asset] = true
	}
	t.Scenarios = append(t.Scenarios, Shown{Name: q.name, Judged: q.judged, Detail: q.detail, Windows: len(q.ours), Assets: len(assets)})
	index := map[int]int{}
	for _, i := range q.ours {
		if b := p.samples[i].block; index[b] == 0 {
			index[b] = len(index) + 1
		}
	}
	for n, m := range contenders {
		cell := Cell{Scenario: q.name, Version: m.Version, blocks: make([]block, len(index))}
		for _, i := range q.ours {
			x := &p.samples[i]
			b := &cell.blocks[index[x.block]-1]
			loss, square := x.loss(d, p.said[n][i], p.risk[n][i])
			b.n, b.loss, b.square = b.n+1, b.loss+loss, b.square+square
		}
		cell.sum(c, t.Metric == "rmse")
		t.Cells = append(t.Cells, cell)
	}
}

// loss is as the package says; square is the squared error of a remaining life. What is no number is as wrong as can be.
func (x *sample) loss(d *Data, value, risk float64) (loss, square float64) {
	if d.Task == model.RemainingLife {
		limit := float64(d.Cap)
		miss := math.Min(math.Max(value, 0), limit) - x.truth
		if math.IsNaN(miss) {
			miss = limit
		}
		return math.Abs(miss) / limit, miss * miss
	}
	miss := math.Min(math.Max(risk, 0), 1) - x.truth
	if math.IsNaN(miss) {
		miss = 1
	}
	return miss * miss, 0
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
