package truth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
)

// Config says how truth is kept.
type Config struct {
	// Every is how often labels and predictions are looked at.
	Every time.Duration `yaml:"every"`
	// Assets is how many are settled in one statement.
	Assets int `yaml:"assets"`
}

// Default returns the settings of one machine that also serves.
func Default() Config {
	return Config{
		Every:  2 * time.Second, // three small questions, and a statement where something is settled; who marks a missed defect does not wait long
		Assets: 200,             // some megabytes of ClickHouse's memory, whatever the number of predictions
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	if c.Every < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("every: %v is not at least 100ms", c.Every))
	}
	if c.Assets < 1 || c.Assets > 10_000 {
		errs = append(errs, fmt.Errorf("assets: %d is not between 1 and 10000", c.Assets))
	}
	return errors.Join(errs...)
}

// Store is where predictions and labels are, and outcomes go.
type Store interface {
	Source
	// ToldLabels returns all labels that were stored after since, with the longest that was told of their asset and time in Until, and when the newest was.
	ToldLabels(ctx context.Context, since int64) (labels []event.Label, newest int64, err error)
	// Labels returns a pipeline's labels that count, of a kind or, where it is empty, of all; LabelsOf those of assets.
	Labels(ctx context.Context, pipeline, kind string) ([]event.Label, error)
	LabelsOf(ctx context.Context, pipeline string, assets []string) ([]event.Label, error)
	// LastReadings returns the last reading of each asset at or before an instant and not longer before it than within; 0 where there is none.
	LastReadings(ctx context.Context, pipeline string, within int64, assets []string, at []int64) ([]int64, error)
	// SeenEnds returns how far each asset's predictions, or frames, have come, of those that have come further than known.
	SeenEnds(ctx context.Context, pipeline string, frames bool, known map[string]int64) (map[string]int64, error)
	SettleOutcomes(ctx context.Context, w *event.Settling) (rows uint64, err error)
	// TruthMarks returns what WriteTruthMarks has kept, by asset.
	TruthMarks(ctx context.Context, pipeline string) (assets []string, looked, matured []int64, err error)
	WriteTruthMarks(ctx context.Context, pipeline string, at int64, assets []string, looked, matured []int64) error
	// LabelStats returns how long after it happened labels are told, in seconds, how many are in conflict, how many predictions counted, and how many of those are settled.
	LabelStats(ctx context.Context, pipeline string) (p50, p95 float64, conflicts, predictions, settled uint64, err error)
}

// Pipeline is one whose truth is kept.
type Pipeline struct {
	Name string
	Rule Rule
}

// Keeper settles the outcomes of pipelines as labels and time come. It keeps, for each asset, two marks: up to where predictions were held against the labels, and up to where they
// are settled or only a label could settle them. Predictions between the marks are looked at again when a label comes, and all are where a label changes.
type Keeper struct {
	cfg Config
	// pipelines returns those whose truth is kept now.
	pipelines func() []Pipeline
	store     Store
	// told gets what was settled, of each pipeline in the order of settling; it must not block long.
	told    func(pipeline string, outcomes []Outcome)
	log     *slog.Logger
	metrics *metrics

	books  map[string]*book
	marked time.Time
	last   int64 // Settled of the last statement
	recent map[event.Position]bool
}

// book is what is remembered of one pipeline.
type book struct {
	pages map[string]*page
	// read is up to where labels were read, in the store's time.
	read int64
	// losses are of the versions whose outcomes came last, the newest last.
	losses []*running
	// fed is up to where outcomes were told.
	fed int64
}

// page is what is remembered of one asset; times are ends.
type page struct {
	seen, looked, matured int64
	// runs are those that may still speak of predictions to come.
	runs  []Run
	dirty bool
	// anew tells that predictions after the marks may have been settled before a restart, by labels that do not count any more.
	anew bool
}

// never is before all times.
const never = math.MinInt64 / 4

// mark reads a mark: the store holds no time before 1900, and gives that for never.
func mark(at int64) int64 {
	if at < -2e18 {
		return never
	}
	return at
}

// NewKeeper returns a keeper. pipelines is asked in each round; told, which may be nil, gets what was settled since the start.
func NewKeeper(cfg Config, pipelines func() []Pipeline, store Store, told func(pipeline string, outcomes []Outcome), log *slog.Logger, reg prometheus.Registerer) *Keeper {
	return &Keeper{cfg: cfg, pipelines: pipelines, store: store, told: told, log: log, metrics: newMetrics(reg), books: map[string]*book{}, recent: map[event.Position]bool{}}
}

// Run keeps truth until ctx ends. What fails is tried again with the next round.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	failing := false
	for {
		err := k.Round(ctx, time.Now())
		if ctx.Err() != nil {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = k.mark(last, time.Now()) // what is not kept is settled again
			return nil
		}
		if err != nil {
			k.metrics.failed.Inc()
		}
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				k.log.Warn("the truth cannot be settled: trying again", "error", err)
			} else {
				k.log.Info("the truth is settled again")
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Round does all that there is to do now. What has come since the round before is left to the next: a block's tables are written one after the other.
func (k *Keeper) Round(ctx context.Context, now time.Time) error {
	if k.marked.IsZero() {
		k.marked = now
	}
	if err := k.load(ctx, now); err != nil {
		return err
	}
	labels, newest, err := k.changed(ctx)
	if err != nil {
		return err
	}
	for _, p := range k.pipelines() {
		b := k.books[p.Name]
		if b == nil {
			continue // it came this moment; its labels are read with its marks
		}
		if err := k.relabel(ctx, &p, b, labels[p.Name]); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if err := k.advance(ctx, &p, b); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		b.read = max(b.read, newest)
		if err := k.feed(ctx, &p, b); err != nil {
			return err
		}
	}
	if now.Sub(k.marked) >= time.Minute {
		if err := k.mark(ctx, now); err != nil {
			return err
		}
		k.marked = now
	}
	return nil
}

// labelsMark is the asset under which it is kept how far labels were read.
const labelsMark = ""

// load reads the marks, once a pipeline.
func (k *Keeper) load(ctx context.Context, now time.Time) error {
	for _, p := range k.pipelines() {
		if k.books[p.Name] != nil {
			continue
		}
		assets, looked, matured, err := k.store.TruthMarks(ctx, p.Name)
		if err != nil {
			return err
		}
		b := &book{pages: map[string]*page{}, fed: now.UnixNano()}
		for i, a := range assets {
			if a == labelsMark {
				b.read = looked[i]
				continue
			}
			b.pages[a] = &page{seen: mark(looked[i]), looked: mark(looked[i]), matured: mark(matured[i]), anew: true}
		}
		labels, err := k.store.Labels(ctx, p.Name, "")
		if err != nil {
			return err
		}
		for _, l := range labels {
			if b.pages[l.Asset] == nil {
				b.pages[l.Asset] = &page{seen: never, looked: never, matured: never}
			}
		}
		runs, err := k.runsOf(ctx, &p, labels)
		if err != nil {
			return err
		}
		for a, g := range b.pages {
			g.keep(&p, runs[a])
		}
		k.books[p.Name] = b
	}
	return nil
}

// overlap is how long an insert of labels may take to be seen after the server has stamped it.
const overlap = 10 * time.Second

// changed returns the labels that came since the last round, by pipeline.
func (k *Keeper) changed(ctx context.Context) (map[string][]event.Label, int64, error) {
	since := int64(math.MaxInt64)
	for _, b := range k.books {
		since = min(since, b.read)
	}
	if len(k.books) == 0 {
		return nil, 0, nil
	}
	all, newest, err := k.store.ToldLabels(ctx, since-int64(overlap))
	if err != nil {
		return nil, 0, err
	}
	by := map[string][]event.Label{}
	again := map[event.Position]bool{}
	for _, l := range all {
		if !k.recent[l.Position] {
			by[l.Pipeline] = append(by[l.Pipeline], l)
		}
		again[l.Position] = true
	}
	k.recent = again
	return by, newest, nil
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
				g = &page{seen: never, looked: never, matured: never}
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
	known := make(map[string]int64, len(b.pages))
	for a, g := range b.pages {
		if g.seen != never {
			known[a] = g.seen
		}
	}
	seen, err := k.store.SeenEnds(ctx, p.Name, frames, known)
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
			g = &page{seen: never, looked: never, matured: never}
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
	return errors.Join(on.flush(ctx), anew.flush(ctx))
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
	return err
}

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

// measure sets what the metrics tell of labels.
func (k *Keeper) measure(ctx context.Context, pipeline string) error {
	p50, p95, conflicts, predictions, settled, err := k.store.LabelStats(ctx, pipeline)
	if err != nil {
		return err
	}
	k.metrics.lag.WithLabelValues(pipeline, "0.5").Set(p50)
	k.metrics.lag.WithLabelValues(pipeline, "0.95").Set(p95)
	k.metrics.conflicts.WithLabelValues(pipeline).Set(float64(conflicts))
	if predictions > 0 {
		k.metrics.coverage.WithLabelValues(pipeline).Set(min(float64(settled)/float64(predictions), 1))
	}
	return nil
}

// mark keeps how far the truth is settled.
func (k *Keeper) mark(ctx context.Context, now time.Time) error {
	for name, b := range k.books {
		if err := k.measure(ctx, name); err != nil {
			return err
		}
		var assets []string
		var looked, matured []int64
		for a, g := range b.pages {
			if g.dirty {
				assets, looked, matured = append(assets, a), append(looked, g.looked), append(matured, g.matured)
			}
		}
		assets, looked, matured = append(assets, labelsMark), append(looked, b.read), append(matured, b.read)
		if err := k.store.WriteTruthMarks(ctx, name, now.UnixNano(), assets, looked, matured); err != nil {
			return err
		}
		for _, g := range b.pages {
			g.dirty = false
		}
	}
	return nil
}
