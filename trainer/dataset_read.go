package trainer

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/evaluate"
)

// stored is what a pipeline has of rows and labels.
type stored struct {
	lives []*life
	query string
	// incomplete counts the assets without rows up to their last failure.
	incomplete int
	grid       int64
	// events are what was wrong with anomalies' assets, golden what every model is examined on, by asset.
	events, golden map[string][]evaluate.Interval
}

// Excluded is a stretch of event time that no model learns from: a test run, a sensor that lied. Labels of the kind quarantine say the same of one asset.
type Excluded struct {
	// Assets is a regular expression of their names; empty: all.
	Assets string `yaml:"assets"`
	// From and Until bound it; a zero one does not.
	From  time.Time `yaml:"from"`
	Until time.Time `yaml:"until"`
}

func (e *Excluded) validate() error {
	if _, err := regexp.Compile(e.Assets); err != nil {
		return fmt.Errorf("assets: %w", err)
	}
	if e.Assets == "" && e.From.IsZero() && e.Until.IsZero() {
		return fmt.Errorf("assets, from, until: none is set, which would leave nothing to learn from")
	}
	if !e.Until.IsZero() && !e.From.Before(e.Until) {
		return fmt.Errorf("until: %v is not after from", e.Until)
	}
	return nil
}

func (e *Excluded) of(asset string) (stretch, bool) {
	if e.Assets != "" && !regexp.MustCompile(e.Assets).MatchString(asset) {
		return stretch{}, false
	}
	s := stretch{from: math.MinInt64, until: math.MaxInt64}
	if !e.From.IsZero() {
		s.from = e.From.UnixNano()
	}
	if !e.Until.IsZero() {
		s.until = e.Until.UnixNano()
	}
	return s, true
}

// labelled is what labels say of one asset.
type labelled struct {
	ends   []int64
	weight map[int64]float64
	events []event.Label
	out    []stretch
	hard   []stretch
	golden []evaluate.Interval
}

// readLabels sorts a pipeline's labels by asset.
func readLabels(ctx context.Context, src Source, p *Pipeline) (map[string]*labelled, error) {
	labels, err := src.Labels(ctx, p.Name, "")
	if err != nil {
		return nil, fmt.Errorf("read labels of %s: %w", p.Name, err)
	}
	all := map[string]*labelled{}
	grid := int64(p.Recipe.Grid)
	for _, l := range labels {
		a := all[l.Asset]
		if a == nil {
			a = &labelled{weight: map[int64]float64{}}
			all[l.Asset] = a
		}
		// Whole slots: a window is of the slots that it covers.
		from, until := floorDiv(l.Time, grid)*grid, (floorDiv(max(l.Until-1, l.Time), grid)+1)*grid
		if l.Golden {
			a.golden = append(a.golden, evaluate.Interval{From: from, Until: until})
		}
		switch l.Kind {
		case event.KindQuarantine:
			a.out = append(a.out, stretch{from: from, until: until})
		case event.KindFailure:
			a.ends = append(a.ends, l.Time)
			a.weight[l.Time] = l.Weight
			if p.Spec.Task == model.Anomaly {
				a.events = append(a.events, event.Label{Time: from, Until: until, Kind: l.Kind})
			}
		case event.KindAnomaly, event.KindMissed:
			a.events = append(a.events, event.Label{Time: from, Until: until, Kind: l.Kind})
		default:
			if l.Weight != 0 && l.Weight != 1 {
				a.hard = append(a.hard, stretch{from, until, l.Weight})
			}
		}
	}
	for _, a := range all {
		slices.Sort(a.ends)
		a.ends = slices.Compact(a.ends)
	}
	return all, nil
}

// readLives copies the rows, cut into lives, ordered by asset and time.
func readLives(ctx context.Context, src Source, p *Pipeline, memory event.Bytes, whole bool) (*stored, error) {
	st := &stored{grid: int64(p.Recipe.Grid), events: map[string][]evaluate.Interval{}, golden: map[string][]evaluate.Interval{}}
	labels, err := readLabels(ctx, src, p)
	if err != nil {
		return nil, err
	}
	byFailure := p.Spec.Task == model.RemainingLife
	var assets []string
	for name, a := range labels {
		if len(a.golden) > 0 {
			st.golden[name] = append(st.golden[name], a.golden...)
		}
		for _, e := range a.events {
			st.events[name] = append(st.events[name], evaluate.Interval{From: e.Time, Until: e.Until, Kind: e.Kind})
		}
		if byFailure && len(a.ends) > 0 {
			assets = append(assets, name)
		}
	}
	slices.Sort(assets)
	st.incomplete = len(assets)
	if byFailure && p.Spec.Censored {
		assets = nil
	} else if byFailure && assets == nil {
		assets = []string{}
	}
	bytes := 0
	st.query, err = src.Readings(ctx, p.Name, p.Recipe.Signals, assets, 0, 0, func(asset string, rows []event.Row) error {
		a := labels[asset]
		if a == nil {
			a = &labelled{}
		}
		size := len(rows) * (64 + 8*len(p.Recipe.Signals))
		if byFailure && len(a.ends) == 0 && bytes+size > int(memory)/2 { // what lives on is an extra, and grows for ever
			return nil
		}
		st.add(p, asset, rows, a, whole)
		if bytes += size; bytes > int(memory) {
			return fmt.Errorf("the rows of %d assets alone are more than %v: raise trainer.memory", len(st.lives), memory)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rows of %s: %w", p.Name, err)
	}
	slices.SortStableFunc(st.lives, func(a, b *life) int { return strings.Compare(a.asset, b.asset) })
	return st, nil
}

// add cuts one asset's rows into lives.
func (st *stored) add(p *Pipeline, asset string, rows []event.Row, a *labelled, whole bool) {
	out := slices.Clone(a.out)
	for i := range p.Spec.Exclude {
		if s, ok := p.Spec.Exclude[i].of(asset); ok {
			out = append(out, s)
		}
	}
	if p.Spec.Task != model.RemainingLife {
		if !whole {
			rows = rows[:min(len(rows), p.Spec.MinRows)]
		}
		// What normal looks like is not learned from what was wrong, and what all are examined on not at all.
		for _, e := range a.events {
			out = append(out, stretch{from: e.Time, until: e.Until})
		}
		for _, g := range a.golden {
			out = append(out, stretch{from: g.From, until: g.Until})
		}
		st.lives = append(st.lives, &life{asset: asset, rows: clone(rows), failed: evaluate.Alive, out: out, hard: a.hard})
		return
	}
	lives := cut(asset, rows, a.ends, st.grid)
	last := 0
	for _, l := range lives {
		last += len(l.rows)
		for _, end := range a.ends { // the label that ended it is the first from its last row on
			if end >= l.rows[len(l.rows)-1].Time {
				l.weight = a.weight[end]
				break
			}
		}
	}
	if n := len(a.ends); n > 0 && len(rows) > 0 && rows[len(rows)-1].Time >= a.ends[n-1]-int64(p.Recipe.MaxGap+2)*st.grid {
		st.incomplete--
	}
	if rest := rows[last:]; p.Spec.Censored && len(rest) > 0 {
		lives = append(lives, &life{asset: asset, rows: clone(rest), failed: evaluate.Alive})
	}
	for _, l := range lives {
		l.out, l.hard = out, a.hard
	}
	st.lives = append(st.lives, lives...)
}

// keep names the assets that no model learns from, in no run, so that any two can be judged on them: a share by a hash of their names, which stays the same when others come, and those that are
// examples for all. At least two assets are left to learn from; one asset alone is split by time, see cut.
func (st *stored) keep(s *Spec) map[string]bool {
	var names []string
	for _, l := range st.lives {
		names = append(names, l.asset)
	}
	names = slices.Compact(names)
	kept := map[string]bool{}
	if s.Holdout == 0 || len(names) < 3 {
		return kept
	}
	slices.SortStableFunc(names, func(a, b string) int {
		switch x, y := lot(a), lot(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for _, n := range names[:len(names)-2] {
		if lot(n) < s.Holdout || s.Task == model.RemainingLife && len(st.golden[n]) > 0 {
			kept[n] = true
		}
	}
	return kept
}

// cut is the event time from which on the rows of few assets are kept for judging; 0 where whole assets are kept, or where the first rows train and all others are unseen.
func (st *stored) cut(s *Spec, again bool) int64 {
	if s.Task == model.RemainingLife || s.Holdout == 0 || !again || len(st.lives) >= 3 || len(st.lives) == 0 {
		return 0
	}
	var times []int64
	for _, l := range st.lives {
		for i := range l.rows {
			times = append(times, l.rows[i].Time)
		}
	}
	slices.Sort(times)
	return (floorDiv(times[int(float64(len(times)-1)*(1-s.Holdout))], st.grid) + 1) * st.grid
}

// since is the event time from which on windows are recent.
func (st *stored) since(s *Spec, o order) int64 {
	if o.since != 0 {
		return o.since
	}
	newest := int64(math.MinInt64)
	for _, l := range st.lives {
		if n := len(l.rows); n > 0 {
			newest = max(newest, l.rows[n-1].Time)
		}
	}
	if !o.again || newest == math.MinInt64 || s.Recent == 0 {
		return math.MinInt64 // all are
	}
	return newest - int64(s.Recent)
}

// lot is a number in [0, 1) that belongs to a name for good.
func lot(name string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("andon holdout\x00" + name))
	x := h.Sum64()
	// The finish of splitmix64 (Steele, Lea and Flood 2014): names that differ in their last letter only get lots that have nothing to do with each other.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

// shares says how much of old and of recent windows is taken, and what each weighs.
type shares struct{ old, recent class }

type class struct {
	stride int // every n-th is taken
	weight float64
}

func (s *shares) of(recent bool) class {
	if recent {
		return s.recent
	}
	return s.old
}

// maxWeight bounds what few windows of one class may weigh beside those of the other: more would teach a network their noise.
const maxWeight = 8

// balance shares room for windows, and the weight of all that are taken, between old and recent ones. The old ones, which keep a network from forgetting (rehearsal: Robins 1995, Connection Science 7),
// get the share replay of either; 0 treats all alike.
func balance(old, recent, room int, replay float64) shares {
	s := shares{class{1, 1}, class{1, 1}}
	stride := func(n, room int) int { return max((n+max(room, 1)-1)/max(room, 1), 1) }
	if replay == 0 || old == 0 || recent == 0 {
		s.old.stride = stride(old+recent, room)
		s.recent.stride = s.old.stride
		return s
	}
	forOld := int(replay * float64(room))
	if forOld > old {
		forOld = old
	} else if room-forOld > recent {
		forOld = room - recent
	}
	s.old.stride, s.recent.stride = stride(old, forOld), stride(recent, room-forOld)
	a, b := float64(old)/float64(s.old.stride), float64(recent)/float64(s.recent.stride)
	// replay of the weight for a windows, the rest for b; the mean is 1.
	ratio := math.Min(math.Max(replay/a/((1-replay)/b), 1.0/maxWeight), maxWeight)
	s.recent.weight = (a + b) / (a*ratio + b)
	s.old.weight = ratio * s.recent.weight
	return s
}
