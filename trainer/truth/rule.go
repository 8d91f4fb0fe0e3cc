package truth

import (
	"errors"
	"fmt"
	"math"
	"time"

	"andon/event"
	"andon/model"
)

// Rule says when the truth of a pipeline's predictions is settled, and what a prediction loses by it.
type Rule struct {
	Task model.Task
	// Grid is the recipe's; the last slot of a window is what it speaks of.
	Grid time.Duration
	// Cap and Horizon are those of a remaining life, in grid steps. For an anomaly, one that comes within Horizon steps after the window was said rightly.
	Cap, Horizon int
	// MatureAfter is when a window without a label counts as normal: once its asset's event time is so far past its end. 0: only where a label says so. For anomalies.
	MatureAfter time.Duration
}

// Validate reports every fault.
func (r *Rule) Validate() error {
	var errs []error
	if r.Grid <= 0 && r.Task != model.Classification && r.Task != model.Detection {
		errs = append(errs, fmt.Errorf("grid: %v is not positive", r.Grid))
	}
	if r.Horizon < 0 {
		errs = append(errs, fmt.Errorf("horizon: %d is below 0", r.Horizon))
	}
	if r.Task == model.RemainingLife && r.Cap <= r.Horizon {
		errs = append(errs, fmt.Errorf("cap: %d is not more than the horizon, %d", r.Cap, r.Horizon))
	}
	if after := time.Duration(r.Horizon) * r.Grid; r.MatureAfter != 0 && r.MatureAfter < after {
		errs = append(errs, fmt.Errorf("mature_after: %v is less than the horizon, %d steps of %v", r.MatureAfter, r.Horizon, r.Grid))
	}
	return errors.Join(errs...)
}

// History is what is known of one asset.
type History struct {
	// Labels are settled, in any order: withdrawn and conflicting ones are left out.
	Labels []event.Label
	// Last holds, by the time of a failure, the asset's last reading at or before it, where it is known.
	Last map[int64]int64
	// Seen is how far its event time has come.
	Seen int64
}

// Settle gives the outcome of what one prediction said: Pipeline to Class, and ScoredAt. It is false while the truth is not settled.
func (r *Rule) Settle(said Outcome, h *History) (Outcome, bool) {
	switch r.Task {
	case model.RemainingLife:
		return r.life(said, h)
	case model.Classification:
		return r.class(said, h)
	case model.Detection:
		return r.detection(said, h)
	}
	return r.anomaly(said, h)
}

// life looks for the end of the life that the window's last slot is of.
func (r *Rule) life(o Outcome, h *History) (Outcome, bool) {
	grid := int64(r.Grid)
	begin := o.End - grid
	next := (*event.Label)(nil)
	for i := range h.Labels {
		if l := &h.Labels[i]; l.Kind == event.KindFailure && l.Time >= begin && (next == nil || l.Time < next.Time) {
			next = l
		}
	}
	if next == nil {
		if h.Seen < o.End+int64(r.Horizon)*grid {
			return o, false
		}
		return r.Life(o, math.NaN()), true
	}
	last, known := h.Last[next.Time]
	o.Weight = next.Weight
	return r.Life(o, float64(max(FailedSlot(next.Time, last, known, grid)-floorDiv(begin, grid), 0))), true
}

// FailedSlot is the slot in which an asset failed at a time. An asset that failed within a grid step after its last reading failed in that reading's slot: the label's time may be that
// of the reading, or of its slot's end.
func FailedSlot(at, last int64, known bool, grid int64) int64 {
	if known && at-last <= grid {
		return floorDiv(last, grid)
	}
	return floorDiv(at, grid)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Life fills in the truth of a window with so many grid steps left, without the cap; NaN says that the horizon was outlived and no more is known.
func (r *Rule) Life(o Outcome, left float64) Outcome {
	most := float64(r.Cap)
	o.Truth = left
	if left > most {
		o.Truth = most
	}
	o.Happened = 0
	if left <= float64(r.Horizon) {
		o.Happened = 1
	}
	o.Loss = math.Abs(math.Min(math.Max(o.Value, 0), most)-o.Truth) / most
	return brier(o)
}

// Event fills in whether what the risk speaks of happened, of an anomaly or a detection.
func (r *Rule) Event(o Outcome, happened bool) Outcome {
	o.Happened = 0
	if happened {
		o.Happened = 1
	}
	o.Truth = o.Happened
	o = brier(o)
	o.Loss = o.RiskLoss
	return o
}

// Class fills in the class that a frame is of.
func (r *Rule) Class(o Outcome, class string) Outcome {
	o.Truth, o.Loss, o.Happened = 0, 1, 1
	if o.Class == class {
		o.Truth, o.Loss = 1, 0
	}
	if class == event.KindClear || class == event.KindNormal {
		o.Happened = 0
	}
	o.RiskLoss = o.Loss
	return weighed(o)
}

func brier(o Outcome) Outcome {
	o.RiskLoss = (o.Risk - o.Happened) * (o.Risk - o.Happened)
	return weighed(o)
}

// weighed gives an outcome the weight 1 where its label has none.
func weighed(o Outcome) Outcome {
	if o.Weight == 0 {
		o.Weight = 1
	}
	return o
}

// anomaly asks for labels of the window's last slot, and of the horizon after it.
func (r *Rule) anomaly(o Outcome, h *History) (Outcome, bool) {
	from, to := o.End-int64(r.Grid), o.End
	until := to + int64(r.Horizon)*int64(r.Grid)
	happened, normal := false, false
	weight := 0.0
	for i := range h.Labels {
		switch l := &h.Labels[i]; l.Kind {
		case event.KindAnomaly, event.KindFailure, event.KindMissed:
			if touches(l, from, until) {
				happened = true
				weight = max(weight, l.Weight)
			}
		case event.KindNormal, event.KindClear:
			if touches(l, from, to) && !happened {
				normal = true
				o.Weight = max(o.Weight, l.Weight)
			}
		}
	}
	if happened {
		o.Weight = weight
		return r.Event(o, true), true
	}
	if normal && h.Seen >= until || r.MatureAfter > 0 && h.Seen >= to+int64(r.MatureAfter) {
		return r.Event(o, false), true
	}
	return o, false
}

// touches tells whether a label is of an instant, or of a stretch of time, in [from, to).
func touches(l *event.Label, from, to int64) bool {
	return l.Time < to && (l.Until > from || l.Time >= from)
}

// at tells whether a label is of the frame captured then.
func at(l *event.Label, captured int64) bool {
	return l.Time == captured || l.Time < captured && captured < l.Until
}

// class asks for the label of the exact frame, or of a stretch of time that it is in; the exact one counts. One that only says that something was missed says that the class is wrong.
func (r *Rule) class(o Outcome, h *History) (Outcome, bool) {
	var of *event.Label
	for i := range h.Labels {
		l := &h.Labels[i]
		if l.Kind == event.KindFailure || !at(l, o.End) {
			continue
		}
		if of == nil || rank(l, o.End) > rank(of, o.End) || rank(l, o.End) == rank(of, o.End) && l.Kind < of.Kind {
			of = l
		}
	}
	if of == nil {
		return o, false
	}
	o.Weight = of.Weight
	return r.Class(o, of.Kind), true
}

// rank puts labels of the frame itself before those of a stretch, and a class before what was missed.
func rank(l *event.Label, captured int64) int {
	n := 0
	if l.Time == captured {
		n = 2
	}
	if l.Kind != event.KindMissed {
		n++
	}
	return n
}

// detection asks whether there was anything in the frame: how well boxes fit is a matter of the evaluation of models.
func (r *Rule) detection(o Outcome, h *History) (Outcome, bool) {
	settled, something := false, false
	for i := range h.Labels {
		l := &h.Labels[i]
		if l.Kind == event.KindFailure || !at(l, o.End) {
			continue
		}
		settled = true
		something = something || l.Kind != event.KindClear && l.Kind != event.KindNormal
		o.Weight = max(o.Weight, l.Weight)
	}
	if !settled {
		return o, false
	}
	return r.Event(o, something), true
}
