package truth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
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
	// TruthPlace returns what WriteTruthPlace has kept, of the row with the greatest fed, and when the newest outcome was settled; 0 where there is none.
	TruthPlace(ctx context.Context, pipeline string) (fed int64, state []byte, settled int64, err error)
	WriteTruthPlace(ctx context.Context, pipeline string, fed int64, state []byte) error
	// LabelLag returns how long after it happened labels are told, in seconds, and how many are in conflict.
	LabelLag(ctx context.Context, pipeline string) (p50, p95 float64, conflicts uint64, err error)
	// Coverage returns how many of the newest predictions counted, and how many of those are settled.
	Coverage(ctx context.Context, pipeline string) (predictions, settled uint64, err error)
	// LabelsMark returns what changes whenever the labels may have, SaidMark when a pipeline's predictions may have. Neither reads anything.
	LabelsMark(ctx context.Context) (string, error)
	SaidMark(ctx context.Context, pipeline string, frames bool) (string, error)
}

// Pipeline is one whose truth is kept.
type Pipeline struct {
	Name string
	Rule Rule
}

// Keeper settles the outcomes of pipelines as labels and time come. It keeps, for each asset, two marks: up to where predictions were held against the labels, and up to where they
// are settled or only a label could settle them. Predictions between the marks are looked at again when a label comes, and all are where a label changes.
//
// Of several replicas the one that leads keeps truth. Another that takes over goes on from the marks and the place that are in the store, as a restart does; what both settle at once is the same.
type Keeper struct {
	cfg Config
	// pipelines returns those whose truth is kept now.
	pipelines func() []Pipeline
	store     Store
	follower  Follower
	// leads tells whether this replica keeps the truth now.
	leads   func() bool
	log     *slog.Logger
	metrics *metrics

	books  map[string]*book
	marked time.Time
	last   int64 // Settled of the last statement
	recent map[event.Position]bool
	// told is the mark of the labels that the last whole round saw.
	told string
}

// book is what is remembered of one pipeline.
type book struct {
	pages map[string]*page
	// anew tells that there were outcomes at the start: those of an asset without marks, too.
	anew bool
	// read is up to where labels were read, in the store's time.
	read int64
	// losses are of the versions whose outcomes came last, the newest last.
	losses []*running
	// fed is up to where outcomes were told, by when they were settled; more tells that there may be others, moved that this place is not kept.
	fed         int64
	more, moved bool
	// said is the mark of the predictions that were seen; measured and covered are what the metrics of labels and of coverage were made from.
	said, measured, covered string
}

// NewKeeper returns a keeper. pipelines and leads are asked in each round; without leads it always does, and follower may be nil.
func NewKeeper(cfg Config, pipelines func() []Pipeline, store Store, follower Follower, leads func() bool, log *slog.Logger, reg prometheus.Registerer) *Keeper {
	if leads == nil {
		leads = func() bool { return true }
	}
	return &Keeper{cfg: cfg, pipelines: pipelines, store: store, follower: follower, leads: leads, log: log, metrics: newMetrics(reg), books: map[string]*book{}, recent: map[event.Position]bool{}}
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
			if k.leads() {
				_ = k.mark(last, time.Now()) // what is not kept is settled again
			}
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
	if !k.leads() {
		k.resign()
		return nil
	}
	if k.marked.IsZero() {
		k.marked = now
	}
	if err := k.load(ctx, now); err != nil {
		return err
	}
	mark, err := k.store.LabelsMark(ctx)
	if err != nil {
		return err
	}
	labels, newest, recent := map[string][]event.Label(nil), int64(0), k.recent
	if mark != k.told {
		if labels, newest, recent, err = k.changed(ctx); err != nil {
			return err
		}
	}
	for _, p := range k.pipelines() {
		if !k.leads() {
			return nil // what was done so far is the same to whoever leads now
		}
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
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	k.recent, k.told = recent, mark // where a round failed, its labels come again
	if now.Sub(k.marked) >= time.Minute {
		if err := k.mark(ctx, now); err != nil {
			return err
		}
		k.marked = now
	}
	return nil
}

// resign forgets all: another replica leads.
func (k *Keeper) resign() {
	if len(k.books) == 0 {
		return
	}
	k.log.Info("another replica keeps the truth now")
	k.books, k.recent, k.told, k.marked = map[string]*book{}, map[event.Position]bool{}, "", time.Time{}
	k.metrics.reset()
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
		b := &book{pages: map[string]*page{}}
		if err := k.goOn(ctx, p.Name, b, now); err != nil {
			return err
		}
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
				b.pages[l.Asset] = b.page()
			}
		}
		runs, err := k.runsOf(ctx, &p, labels)
		if err != nil {
			return err
		}
		for a, g := range b.pages {
			g.keep(&p, runs[a])
		}
		k.books[p.Name], k.told = b, "" // of labels that were told while nobody kept its truth
	}
	return nil
}

// overlap is how long an insert of labels may take to be seen after the server has stamped it.
const overlap = 10 * time.Second

// changed returns the labels that came since the last round, by pipeline.
func (k *Keeper) changed(ctx context.Context) (by map[string][]event.Label, newest int64, again map[event.Position]bool, err error) {
	since := int64(math.MaxInt64)
	for _, b := range k.books {
		since = min(since, b.read)
	}
	if len(k.books) == 0 {
		return nil, 0, nil, nil
	}
	all, newest, err := k.store.ToldLabels(ctx, since-int64(overlap))
	if err != nil {
		return nil, 0, nil, err
	}
	by, again = map[string][]event.Label{}, map[event.Position]bool{}
	for _, l := range all {
		if !k.recent[l.Position] {
			by[l.Pipeline] = append(by[l.Pipeline], l)
		}
		again[l.Position] = true
	}
	return by, newest, again, nil
}

// measure sets what the metrics tell of labels, where anything has changed.
func (k *Keeper) measure(ctx context.Context, pipeline string, b *book) error {
	if b.measured != k.told {
		p50, p95, conflicts, err := k.store.LabelLag(ctx, pipeline)
		if err != nil {
			return err
		}
		k.metrics.lag.WithLabelValues(pipeline, "0.5").Set(p50)
		k.metrics.lag.WithLabelValues(pipeline, "0.95").Set(p95)
		k.metrics.conflicts.WithLabelValues(pipeline).Set(float64(conflicts))
		b.measured = k.told
	}
	if mark := b.said + time.Unix(0, b.fed).String(); b.covered != mark {
		predictions, settled, err := k.store.Coverage(ctx, pipeline)
		if err != nil {
			return err
		}
		if predictions > 0 {
			k.metrics.coverage.WithLabelValues(pipeline).Set(min(float64(settled)/float64(predictions), 1))
		}
		b.covered = mark
	}
	return nil
}

// mark keeps how far the truth is settled.
func (k *Keeper) mark(ctx context.Context, now time.Time) error {
	for name, b := range k.books {
		if err := k.measure(ctx, name, b); err != nil {
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
		if err := k.place(ctx, name, b); err != nil {
			return err
		}
	}
	return nil
}
