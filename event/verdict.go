package event

// Verdict is what a model says of one window.
type Verdict struct {
	// Value is in the model's unit: remaining life in grid steps, or a forecast's error in standard deviations.
	Value float32
	// Risk is between 0 (nothing to see) and 1 (pull the cord); assets are ranked by it.
	Risk float32
	Run
}

// Run is how a verdict came about: one run of the model over windows of one or more callers. It is not the same when the same window is scored again.
type Run struct {
	// Batch is the number of windows in the run.
	Batch uint32
	// Queue is from the scorer's call to the start of the run, Compute the time of the whole run, both in nanoseconds.
	Queue, Compute int64
}

// Score is a Verdict with all that is needed to find its cause again.
type Score struct {
	Verdict
	Pipeline string
	Asset    string
	// Start and End bound the window in event time, Unix nanoseconds: the first slot's begin and the last slot's end.
	Start, End int64
	// Version names the model.
	Version string
	// Position is the record that completed the window.
	Position
	// Latency is from the arrival of that record to the verdict, nanoseconds; ScoredAt is the verdict's wall-clock time, Unix nanoseconds. Two
	// passes over the same records differ in these two fields, in Run, and in the last bits of the Verdict, which go with the size of the run.
	Latency  int64
	ScoredAt int64
}

// DeadLetter is a record that could not be used, whole, with the reason.
type DeadLetter struct {
	Record
	Pipeline string
	// Reason is one of the Reason constants; Detail says what was wrong in words that name the field and what to do.
	Reason string
	Detail string
}

// Why records end as dead letters.
const (
	ReasonMalformed = "malformed" // cannot be parsed, or lacks a field the pipeline names
	ReasonLate      = "late"      // older than the allowed lateness
	ReasonFuture    = "future"    // event time too far ahead of the record's own timestamp
	ReasonAncient   = "ancient"   // event time before the earliest the pipeline accepts
	ReasonRefused   = "refused"   // refused by ClickHouse
	ReasonBroken    = "broken"    // a frame whose JPEG cannot be decoded; it has a Sight, too
)

// Label is the truth about an asset or a frame, told after the fact. Of labels with one pipeline, asset, time, kind and box the one that was told last counts.
type Label struct {
	Position
	Pipeline string
	// Asset is the machine or camera.
	Asset string
	// Time is when it happened, in event time, Unix nanoseconds; for a frame, when it was captured. Until ends what lasted; 0 for what did not.
	Time, Until int64
	// Kind says what happened: KindFailure, KindMissed, or any word a task knows, as the class of a frame.
	Kind string
	// Value is for kinds that carry a number; NaN otherwise.
	Value float64
	// Box is where in the frame it is; the zero Box is the whole of it. Only its corners are used.
	Box Box
	// Of is the position of the record whose score it speaks of, as Position.String writes it; empty where asset and time say enough.
	Of string
	// Weight is how much it counts in training; 0 is 1. Golden tells that every model to come is examined on it.
	Weight float64
	Golden bool
	// Withdrawn takes back what was told of the same pipeline, asset, time, kind and box.
	Withdrawn bool
	// Who told it, and Note why, for people.
	Who, Note string
	// Told is when, by the record's own timestamp, Unix nanoseconds; of labels told at once the later record is the last.
	Told int64
}

// KindFailure marks the end of an asset's life, KindMissed what the model should have seen and did not, KindAnomaly what was not as it should be. KindNormal and KindClear
// say that there was nothing: in a stretch of time, and in a frame. KindQuarantine marks a stretch that no model is to learn from.
const (
	KindFailure = "failure"
	KindMissed  = "missed"
	KindAnomaly = "anomaly"
	KindNormal  = "normal"
	KindClear   = "clear"

	KindQuarantine = "quarantine"
)
