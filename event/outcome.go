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
