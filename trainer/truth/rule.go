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
	runs := r.Runs(h.Labels, func(failed int64) (int64, bool) { at, ok := h.Last[failed]; return at, ok })
	switch r.Task {
	case model.RemainingLife:
		return r.life(said, runs, h.Seen)
	case model.Classification, model.Detection:
		return r.frame(said, runs)
	}
	return r.anomaly(said, runs, h.Seen)
}

// life looks for the end of the life that the window's last slot is of.
func (r *Rule) life(o Outcome, runs []Run, seen int64) (Outcome, bool) {
	grid := int64(r.Grid)
	begin := o.End - grid
	for _, end := range runs {
		if end.From >= begin {
			o.Weight, o.Label = end.Weight, end.Kind
			return r.Life(o, float64(max((end.To-begin)/grid, 0))), true
		}
	}
	if seen < o.End+int64(r.Horizon)*grid {
		return o, false
	}
	return r.Life(o, math.NaN()), true
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
func (r *Rule) anomaly(o Outcome, runs []Run, seen int64) (Outcome, bool) {
	from, to := o.End-int64(r.Grid), o.End
	until := to + int64(r.Horizon)*int64(r.Grid)
	normal, happened := false, false
	for _, run := range runs { // of several the one that began last
		if run.Happened && run.From < until && run.To > from {
			happened, o.Weight, o.Label = true, run.Weight, run.Kind
		}
	}
	if happened {
		return r.Event(o, true), true
	}
	for _, run := range runs {
		if !run.Happened && run.From < to && run.To > from {
			normal, o.Weight, o.Label = true, run.Weight, run.Kind
		}
	}
	if normal && seen >= until || r.MatureAfter > 0 && seen >= to+int64(r.MatureAfter) {
		return r.Event(o, false), true
	}
	return o, false
}

// frame asks what was to be seen then. What was only missed says that the class is wrong; of a detection it is known whether there was anything in the frame: how well boxes fit is a
// matter of the evaluation of models.
func (r *Rule) frame(o Outcome, runs []Run) (Outcome, bool) {
	for _, run := range runs {
		if run.From <= o.End && o.End < run.To {
			o.Weight, o.Label = run.Weight, run.Kind
			if r.Task == model.Detection {
				return r.Event(o, run.Happened), true
			}
			return r.Class(o, run.Kind), true
		}
	}
	return o, false
}
