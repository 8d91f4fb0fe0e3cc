package truth

import (
	"cmp"
	"math"
	"slices"

	"andon/event"
	"andon/model"
)

// Run is what labels say of one asset from an instant until another. Of a remaining life From is when it ended, and To the begin of the slot in which it did.
type Run struct {
	From, To int64
	Kind     string
	Happened bool
	Weight   float64
}

// tick is the least time that is told apart: what happened at an instant lasted so long.
const tick = 1000

// Runs makes of an asset's settled labels what predictions are held against: failures of a remaining life, in order of time; stretches of time that do not overlap of a classification or a
// detection; and of anomalies stretches in which something happened that do not overlap, and such in which nothing did. last gives the asset's last reading at or before a failure, where it is
// known.
func (r *Rule) Runs(labels []event.Label, last func(failed int64) (int64, bool)) []Run {
	switch r.Task {
	case model.RemainingLife:
		return r.failures(labels, last)
	case model.Classification, model.Detection:
		return frames(labels, r.Task == model.Detection)
	}
	var yes, no []Run
	for i := range labels {
		l := &labels[i]
		run := Run{From: l.Time, To: max(l.Until, l.Time+tick), Kind: l.Kind, Weight: l.Weight}
		switch l.Kind {
		case event.KindAnomaly, event.KindFailure, event.KindMissed:
			run.Happened = true
			yes = append(yes, run)
		case event.KindNormal, event.KindClear:
			no = append(no, run)
		}
	}
	return append(joined(yes), joined(no)...)
}

func (r *Rule) failures(labels []event.Label, last func(failed int64) (int64, bool)) (runs []Run) {
	grid := int64(r.Grid)
	for i := range labels {
		if l := &labels[i]; l.Kind == event.KindFailure {
			at, known := last(l.Time)
			runs = append(runs, Run{From: l.Time, To: FailedSlot(l.Time, at, known, grid) * grid, Kind: l.Kind, Happened: true, Weight: l.Weight})
		}
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.From, b.From) })
	return slices.CompactFunc(runs, func(a, b Run) bool { return a.From == b.From })
}

// joined makes one run of those that touch; it has the largest weight of them.
func joined(runs []Run) []Run {
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.From, b.From) })
	var out []Run
	for _, r := range runs {
		if n := len(out); n > 0 && r.From <= out[n-1].To {
			out[n-1].To, out[n-1].Weight = max(out[n-1].To, r.To), max(out[n-1].Weight, r.Weight)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// frames makes of the labels of a camera what was to be seen when: the label of a frame before that of a stretch, of stretches the one that began last, and a class before what was only missed.
func frames(labels []event.Label, detection bool) []Run {
	var points, stretches []Run
	for i := range labels {
		l := &labels[i]
		if l.Kind == event.KindFailure {
			continue
		}
		r := Run{From: l.Time, To: max(l.Until, l.Time+tick), Kind: l.Kind, Happened: l.Kind != event.KindClear && l.Kind != event.KindNormal, Weight: l.Weight}
		if l.Until > l.Time {
			stretches = append(stretches, r)
		} else {
			points = append(points, r)
		}
	}
	return over(best(points, detection), flat(best(stretches, detection)))
}

// best leaves one run of those that begin together: for a detection one in which there was something, else a class before what was only missed, then the first by name.
func best(runs []Run, detection bool) []Run {
	slices.SortStableFunc(runs, func(a, b Run) int {
		order := cmp.Compare(a.From, b.From)
		if order == 0 && detection && a.Happened != b.Happened {
			order = -1
			if b.Happened {
				order = 1
			}
		}
		if order == 0 && (a.Kind == event.KindMissed) != (b.Kind == event.KindMissed) {
			order = -1
			if a.Kind == event.KindMissed {
				order = 1
			}
		}
		return cmp.Or(order, cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Weight, a.Weight))
	})
	return slices.CompactFunc(runs, func(a, b Run) bool { return a.From == b.From })
}

// flat cuts runs in order of their begin so that none overlap: what began later lies over what began before, which goes on after it.
func flat(runs []Run) []Run {
	var out, under []Run // under: what goes on below the top one
	at := int64(math.MinInt64)
	until := func(to int64) {
		for len(under) > 0 {
			top := under[len(under)-1]
			if end := min(top.To, to); end > at {
				piece := top
				piece.From, piece.To = max(top.From, at), end
				out = append(out, piece)
				at = end
			}
			if top.To > to {
				return
			}
			under = under[:len(under)-1]
		}
	}
	for _, r := range runs {
		until(r.From)
		at = r.From
		under = append(under, r)
	}
	until(math.MaxInt64)
	return out
}

// over lays points over runs, neither of which overlap.
func over(points, runs []Run) []Run {
	var out []Run
	i := 0
	for _, r := range runs {
		for ; i < len(points) && points[i].From < r.From; i++ {
			out = append(out, points[i])
		}
		for ; i < len(points) && points[i].From < r.To; i++ {
			if before := r; before.From < points[i].From {
				before.To = points[i].From
				out = append(out, before)
			}
			out = append(out, points[i])
			r.From = points[i].To
		}
		if r.From < r.To {
			out = append(out, r)
		}
	}
	return append(out, points[i:]...)
}
