package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/truth"
)

// What is said of an error that has grown: since when, how much, where, and when it is over.

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

// rise returns how many of the newest blocks are most clearly above what is usual.
func (w *errorWatch) rise() (blocks int) {
	most, sum := math.Inf(-1), 0.0
	for k := 1; k <= min(len(w.Newest), w.N-firstBlocks); k++ {
		sum += w.deviations(&w.Newest[len(w.Newest)-k]) - errorTolerance
		if sum > most {
			most, blocks = sum, k
		}
	}
	return blocks
}

// tell makes the alarm.
func (w *errorWatch) tell(rule *truth.Rule, at int64) {
	since := w.Newest[len(w.Newest)-w.rise():]
	metric, factor := scale(rule)
	assets, classes := map[string]tally{}, map[string]tally{}
	add := func(to map[string]tally, key string, loss float64) {
		to[key] = tally{to[key].N + 1, to[key].Sum + loss}
	}
	sum, from := 0.0, since[0].From
	for i := range since {
		b := &since[i]
		sum += b.mean()
		from = min(from, b.From)
		add(assets, b.Key.Asset, b.mean())
		add(classes, b.Key.Class, b.mean())
	}
	now, before := sum/float64(len(since)), (w.Sum-sum)/float64(w.N-len(since))
	worst := worstOf(assets)
	a := &event.Alarm{ID: fmt.Sprintf("%s/%s/%s/%d", w.pipeline, event.AlarmRealised, w.Version, from), Pipeline: w.pipeline, Kind: event.AlarmRealised, Version: w.Version, Since: from, At: at,
		Loss: now * factor, Before: before * factor, Metric: metric,
		Causes: []event.Cause{{Feature: "error", Group: "fleet", Assets: worst[:min(5, len(worst))], Measure: "error panel", Size: (now - before) * factor, P: math.NaN(), Before: before * factor, Now: now * factor}}}
	var of []event.Cause // the classes that are read worse than before
	for class, t := range classes {
		if class == "" {
			continue
		}
		was := w.Classes[class]
		earlier := tally{was.N - t.N, was.Sum - t.Sum}
		c := event.Cause{Feature: "class " + class, Group: "fleet", Measure: "error panel", P: math.NaN(), Before: math.NaN(), Now: t.Sum / float64(t.N) * factor, Size: t.Sum / float64(t.N) * factor}
		if earlier.N > 0 {
			c.Before = earlier.Sum / float64(earlier.N) * factor
			c.Size -= c.Before
		}
		if c.Size <= 0 {
			continue
		}
		in := map[string]tally{}
		for i := range since {
			if since[i].Key.Class == class {
				add(in, since[i].Key.Asset, since[i].mean())
			}
		}
		c.Assets = worstOf(in)
		c.Assets = c.Assets[:min(5, len(c.Assets))]
		of = append(of, c)
	}
	slices.SortFunc(of, func(a, b event.Cause) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Feature, b.Feature))
	})
	a.Causes = append(a.Causes, of[:min(5, len(of))]...)
	a.Detail = fmt.Sprintf("By the labels the %s of %s is %.4g since %s, %.4g before: in the last %d stretches of one asset, %s the worst.", metric, w.Version, now*factor,
		time.Unix(0, a.Since).UTC().Format(time.DateTime), before*factor, len(since), worst[0])
	if len(of) > 0 {
		var names []string
		for _, c := range of[:min(3, len(of))] {
			names = append(names, strings.TrimPrefix(c.Feature, "class "))
		}
		a.Detail += " Most of what was labelled " + strings.Join(names, ", ") + "."
	}
	w.Alarm = a
	w.Untold = append(w.Untold, *a)
}

// worstOf returns names, those that lose most first.
func worstOf(of map[string]tally) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		x, y := of[a], of[b]
		return cmp.Or(cmp.Compare(y.Sum/float64(y.N), x.Sum/float64(x.N)), cmp.Compare(a, b))
	})
}

// recovered tells whether at least half of what was lost is back in the newest blocks after the alarm, beyond two standard errors of their mean.
func (w *errorWatch) recovered(rule *truth.Rule) bool {
	_, factor := scale(rule)
	most := (w.Alarm.Before + w.Alarm.Loss) / 2 / factor
	n, sum, squares := 0., 0., 0.
	for i := len(w.Newest) - 1; i >= 0 && w.Newest[i].To > w.Alarm.At; i-- {
		x := w.Newest[i].mean()
		n, sum, squares = n+1, sum+x, squares+x*x
		if n != dwellBlocks && n != firstBlocks {
			continue
		}
		mean := sum / n
		if mean+2*max(math.Sqrt(max(squares/n-mean*mean, 0)), w.SD)/math.Sqrt(n) <= most {
			return true
		}
	}
	return false
}

// over tells that an alarm that stands does so no more.
func (w *errorWatch) over(why string, at int64) {
	if w.Alarm == nil {
		return
	}
	a := *w.Alarm
	w.Alarm = nil
	a.Over, a.At, a.Detail = true, max(a.At, at), why
	w.Untold = append(w.Untold, a)
}
