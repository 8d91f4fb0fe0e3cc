package event

// Alarm says that something has changed for a model: what it is fed, what it says, or how often it is right. The trainer decides on it, people are told of it.
type Alarm struct {
	// ID names the alarm: the same when it is told again.
	ID       string
	Pipeline string
	// Kind is one of the Alarm constants.
	Kind string
	// Version is the model that it speaks of.
	Version string
	// Since is the event time at which the change began, as far as is known, At the event time of the row that settled it, Unix nanoseconds.
	Since, At int64
	// Loss is what the model loses now, estimated or measured, the smaller the better, and Before what was to be expected; NaN where it is not known.
	Loss, Before float64
	// Metric names what Loss is of: "loss", "mae", "error rate".
	Metric string
	// Causes are sorted, the largest first.
	Causes []Cause
	// Detail is for people.
	Detail string
	// Over tells that what the alarm spoke of is over.
	Over bool
}

// The kinds of alarms.
const (
	AlarmInput      = "input-drift"
	AlarmPrediction = "prediction-drift"
	AlarmEstimated  = "estimated-loss" // before labels come
	AlarmRealised   = "realised-loss"  // by labels
)

// Cause is one thing that has changed.
type Cause struct {
	// Feature is a channel of the model's windows, or "prediction", "error", "embedding".
	Feature string
	// Group is the asset group, or "fleet"; Assets name those that are furthest off, where it is known.
	Group  string
	Assets []string
	// Measure is how it was found: "ks", "psi", "adwin"; Size what that measured, P its P value after correction, NaN where it has none.
	Measure string
	Size, P float64
	// Before and Now describe the values: their means.
	Before, Now float64
}
