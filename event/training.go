package event

// Training is one step in the life of a training run, told as it happens.
type Training struct {
	Run      string
	Pipeline string
	// State is one of the Training constants.
	State string
	// Epoch counts from 1; Epochs is how many are planned.
	Epoch, Epochs int
	// Loss and ValLoss are means over the epoch in the scaled target's unit; NaN before the first epoch ends.
	Loss, ValLoss float64
	RowsPerSecond float64
	// Rows is the number of training windows.
	Rows int
	// Elapsed is since the run's start, nanoseconds; Time is the wall clock, Unix nanoseconds.
	Elapsed int64
	Time    int64
	// Version is the model that came of it, once there is one.
	Version string
	// Detail is for people: why it started, was refused or failed.
	Detail string
}

// The states of a training run.
const (
	TrainingStarted  = "started"
	TrainingEpoch    = "epoch"
	TrainingFinished = "finished" // a model was made and registered
	TrainingFailed   = "failed"
)
