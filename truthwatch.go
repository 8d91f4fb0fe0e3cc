package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/trainer/truth"
)

// errorWatch follows how wrong one pipeline's champion is, by its settled outcomes, and tells when that has grown, and when it is over. The loss is taken in blocks of one asset each, since
// windows that overlap are wrong together: an asset's life that ended, or as many windows as one holds.
type errorWatch struct {
	pipeline string
	version  string
	// worse and better get the blocks' losses less the mean of the first ones, in deviations of those.
	worse, better *drift.PageHinkley
	mean, sd      float64
	// n counts the blocks since it began anew, sum adds up their losses.
	n   int
	sum float64
	// open are blocks that are not full.
	open map[string]*lossBlock
	// newest are the last blocks, at most recentBlocks.
	newest []lossBlock
	// alarm is what was told and is not over.
	alarm *event.Alarm
}

type lossBlock struct {
	asset    string
	from, to int64
	n        int
	sum      float64
}

func (b *lossBlock) mean() float64 { return b.sum / float64(b.n) }

const recentBlocks = 64

// firstBlocks say what is usual. A rise by less than half of their deviation is none; sums of more than errorThreshold deviations are. On blocks that are as independent as normal numbers
// that is a false alarm in some hundred thousand blocks (Siegmund 1985, Sequential Analysis, for known mean and deviation), and a rise by three deviations is found within seven, none within four.
const (
	firstBlocks    = 30
	errorThreshold = 15
	errorTolerance = 0.5
)

// mostDeviations is what one block may count.
const mostDeviations = 4

// leastDeviation is that of a model that is right to a hundredth.
const leastDeviation = 0.01

func newErrorWatch(pipeline string) *errorWatch {
	w := &errorWatch{pipeline: pipeline, open: map[string]*lossBlock{}}
	w.anew()
	return w
}

// anew learns again what is usual.
func (w *errorWatch) anew() {
	c := drift.PageHinkleyConfig{Delta: errorTolerance, Threshold: errorThreshold, Alpha: 1, Side: drift.Up}
	w.worse = drift.NewPageHinkley(c)
	c.Side = drift.Down
	w.better = drift.NewPageHinkley(c)
	w.n, w.sum, w.mean, w.sd = 0, 0, 0, 0
}

// take takes settled outcomes in the order of their ends, of which those of the champion count, and returns what there is to tell. size is how many windows are a block; 0: all of an asset at once.
func (w *errorWatch) take(champion string, rule *truth.Rule, size int, all []truth.Outcome) (out []event.Alarm) {
	if champion != w.version {
		if w.alarm != nil {
			out = append(out, w.over("another model is the champion now", lastEnd(all)))
		}
		*w = *newErrorWatch(w.pipeline)
		w.version = champion
	}
	for i := range all {
		o := &all[i]
		if o.Version != champion || math.IsNaN(o.Loss) {
			continue
		}
		b := w.open[o.Asset]
		if b == nil {
			b = &lossBlock{asset: o.Asset, from: o.Start}
			w.open[o.Asset] = b
		}
		b.to, b.n, b.sum = o.End, b.n+1, b.sum+o.Loss
		if size > 0 && b.n >= size {
			out = append(out, w.block(rule, b)...)
		}
	}
	if size == 0 {
		for _, a := range slices.Sorted(maps.Keys(w.open)) {
			out = append(out, w.block(rule, w.open[a])...)
		}
	}
	return out
}

func lastEnd(all []truth.Outcome) int64 {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].End
}

// block takes a full block.
func (w *errorWatch) block(rule *truth.Rule, b *lossBlock) (out []event.Alarm) {
	delete(w.open, b.asset)
	if w.newest = append(w.newest, *b); len(w.newest) > recentBlocks {
		w.newest = slices.Delete(w.newest, 0, 1)
	}
	if w.alarm != nil {
		if w.recovered(rule) {
			out = append(out, w.over("as often right as before", b.to))
			w.anew()
		}
		return out
	}
	w.n++
	w.sum += b.mean()
	if w.n == firstBlocks {
		w.learn()
	}
	if w.n <= firstBlocks {
		return nil
	}
	z := min(max((b.mean()-w.mean)/w.sd, -mostDeviations), mostDeviations) // no one asset is an alarm
	if w.better.Update(z) {                                                // what is usual now is less
		w.anew()
	} else if w.worse.Update(z) {
		w.alarm = w.tell(rule, w.rise(), b.to)
		out = append(out, *w.alarm)
	}
	return out
}

// learn takes mean and deviation of the first blocks.
func (w *errorWatch) learn() {
	first := w.newest[len(w.newest)-firstBlocks:]
	w.mean = w.sum / firstBlocks
	for i := range first {
		w.sd += (first[i].mean() - w.mean) * (first[i].mean() - w.mean) / (firstBlocks - 1)
	}
	w.sd = max(math.Sqrt(w.sd), leastDeviation)
}

// rise returns how many of the newest blocks are most clearly above what is usual.
func (w *errorWatch) rise() (blocks int) {
	most, sum := math.Inf(-1), 0.0
	for k := 1; k <= min(len(w.newest), w.n-firstBlocks); k++ {
		sum += (w.newest[len(w.newest)-k].mean()-w.mean)/w.sd - errorTolerance
		if sum > most {
			most, blocks = sum, k
		}
	}
	return blocks
}

// scale says in what a loss is told, and the factor to it.
func scale(rule *truth.Rule) (metric string, factor float64) {
	switch rule.Task {
	case model.RemainingLife:
		return "mae", float64(rule.Cap)
	case model.Classification:
		return "error rate", 1
	}
	return "brier", 1
}

func (w *errorWatch) tell(rule *truth.Rule, blocks int, at int64) *event.Alarm {
	since := w.newest[len(w.newest)-blocks:]
	metric, factor := scale(rule)
	of := map[string]*lossBlock{}
	sum := 0.0
	for _, b := range since {
		sum += b.mean()
		if of[b.asset] == nil {
			of[b.asset] = &lossBlock{asset: b.asset}
		}
		of[b.asset].n += b.n
		of[b.asset].sum += b.sum
	}
	now, before := sum/float64(blocks), (w.sum-sum)/float64(w.n-blocks)
	worst := slices.SortedFunc(maps.Values(of), func(a, b *lossBlock) int {
		return cmp.Or(cmp.Compare(b.mean(), a.mean()), cmp.Compare(a.asset, b.asset))
	})
	var assets []string
	for _, b := range worst[:min(5, len(worst))] {
		assets = append(assets, b.asset)
	}
	a := &event.Alarm{ID: fmt.Sprintf("%s/%s/%s/%d", w.pipeline, event.AlarmRealised, w.version, since[0].from), Pipeline: w.pipeline, Kind: event.AlarmRealised, Version: w.version, Since: since[0].from, At: at,
		Loss: (now - before) * factor, Before: before * factor, Metric: metric,
		Causes: []event.Cause{{Feature: "error", Group: "fleet", Assets: assets, Measure: "page-hinkley", Size: now - before, P: math.NaN(), Before: before * factor, Now: now * factor}}}
	a.Detail = fmt.Sprintf("By the labels the %s of %s is %.4g since %s, %.4g before: in %d of the last %d stretches of one asset, %s the worst.", metric, w.version, now*factor,
		time.Unix(0, a.Since).UTC().Format(time.DateTime), before*factor, len(since), len(w.newest), assets[0])
	return a
}

// recovered tells whether at least half of what was lost is back, in ten blocks in a row after the alarm.
func (w *errorWatch) recovered(rule *truth.Rule) bool {
	const enough = 10
	_, factor := scale(rule)
	after, sum := 0, 0.0
	for i := len(w.newest) - 1; i >= 0 && after < enough && w.newest[i].to > w.alarm.At; i-- {
		sum += w.newest[i].mean()
		after++
	}
	return after == enough && sum/enough*factor <= w.alarm.Before+w.alarm.Loss/2
}

func (w *errorWatch) over(why string, at int64) event.Alarm {
	a := *w.alarm
	w.alarm = nil
	a.Over, a.At, a.Detail = true, max(a.At, at), why
	return a
}
