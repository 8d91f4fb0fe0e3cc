package event

// Outcome is what a prediction came to: what a version said of one window or frame, and the truth, as far as it is settled.
type Outcome struct {
	Pipeline, Asset string
	// Start and End bound the window in event time, Unix nanoseconds; of a frame both are its capture.
	Start, End int64
	Version    string
	// Value and Risk are what it said, Class the class that it gave a frame.
	Value, Risk float64
	Class       string
	// Label is what the label said that settled it, as the class of a frame; empty where time did.
	Label string
	// Truth is what the value should have been: remaining life in grid steps, capped as the task says; 1 for an anomaly, 0 for none; 1 for a frame that was read
	// right, 0 for one that was not. NaN where only Happened is known: the asset outlived the horizon and has not failed yet.
	Truth float64
	// Happened is 1 where what the risk speaks of happened, 0 where it did not.
	Happened float64
	// Loss is between 0, right, and 1, as wrong as can be: |value-truth|/cap for remaining life, (risk-truth)² for anomalies and detections, 0 or 1 for classes. NaN where Truth is.
	Loss float64
	// RiskLoss is (risk-happened)², the Brier score of one prediction; of a classification it is Loss.
	RiskLoss float64
	// Weight is how much the label counts that told the truth; 1 where none said so.
	Weight float64
	// ScoredAt is when it was said, Settled when the truth of it was, by the wall clock, Unix nanoseconds.
	ScoredAt, Settled int64
}

// Settling says which predictions of a pipeline to hold against what is known of assets, to settle their outcomes. Times are Unix nanoseconds, and rounded to microseconds.
type Settling struct {
	Pipeline string
	// Task is one of the model's tasks. Grid is in nanoseconds, Cap and Horizon in its steps.
	Task         string
	Grid         int64
	Cap, Horizon int
	// Settled is when it is done; the outcomes of one Settling are a few microseconds apart.
	Settled int64
	// Again tells that these were settled before: those that are so no more are taken back.
	Again bool
	// Assets are looked at together, each once. Predictions that end in (LookFrom, LookTo] are settled by labels, those in (MatureFrom, MatureTo] that no label speaks of by time. What labels
	// say of the horizon after LookTo must be known.
	Assets                                 []string
	LookFrom, LookTo, MatureFrom, MatureTo []int64
	// What labels say of the assets. Of a remaining life RunFrom is when it ended and RunTo the begin of the slot in which it did; of others RunKind was from RunFrom until RunTo, and the runs
	// of an asset with the same RunHappened do not overlap; for classes and detections none do.
	RunAsset       []string
	RunFrom, RunTo []int64
	RunKind        []string
	RunHappened    []bool
	RunWeight      []float64
}
