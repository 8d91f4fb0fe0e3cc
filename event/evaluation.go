package event

// Evaluation is how one model did in one scenario, beside others on the same data, and what it costs: a cell of a table that ID names.
type Evaluation struct {
	ID       string
	Pipeline string
	Task     string
	// Time is by the wall clock, Unix nanoseconds. Digest names the data.
	Time   int64
	Digest string
	// Metric is what Value is of, in Unit: the smaller the better. Level is that of the interval from Low to High.
	Metric, Unit string
	Level        float64
	// Place and Column are where in the table it stands, from 0.
	Place, Column int
	// Scenario is the part of the data, or the fault; Judged tells that the gate asks about it.
	Scenario, Detail string
	Judged           bool
	// Windows (or frames) and Assets (or cameras) are how many it has.
	Windows, Assets int
	Version         string
	Network         string
	// Value, Low, High and Loss are NaN where there is nothing to judge by.
	Value, Low, High, Loss float64
	// P50 and P99 are of one window alone, nanoseconds; CPUSeconds and Joules of a million. NaN where it is not known, as in all that follow.
	P50, P99           int64
	CPUSeconds, Joules float64
	Bytes              int
	// TrainingSeconds, TrainingCPUSeconds and TrainingJoules are what making it took; Retrainings and Alarms a week's.
	TrainingSeconds, TrainingCPUSeconds, TrainingJoules, Retrainings, Alarms float64
	// Who asked for it, and Why.
	Who, Why string
}
