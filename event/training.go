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
	// Worker is the process that trains, empty where it is the appliance itself. CPUSeconds is what that process has spent since the run began, GPUSeconds how long kernels ran on its machine's NVIDIA devices
	// meanwhile, and Joules what the meters that Energy names have counted; NaN where nothing measures.
	Worker     string
	CPUSeconds float64
	GPUSeconds float64
	Joules     float64
	Energy     string
}

// The states of a training run.
const (
	TrainingWaiting  = "waiting" // for a worker
	TrainingStarted  = "started"
	TrainingEpoch    = "epoch"
	TrainingFinished = "finished" // a model was made and registered
	TrainingFailed   = "failed"
)

// Marks says how far a pipeline's data was stored at one moment, by topic and partition: [First, Next) of each. What came later is not part of it, so that what was made of it can be made again.
type Marks struct {
	Rows []Span `json:"rows,omitempty"`
	// Frames are of a pipeline of frames.
	Frames []Span `json:"frames,omitempty"`
	Labels []Span `json:"labels,omitempty"`
	// Scores are those that labels speak of which name no asset and time of their own; none where there is no such label.
	Scores []Span `json:"scores,omitempty"`
}

// Holds reports whether a position is among spans.
func Holds(spans []Span, p Position) bool {
	for i := range spans {
		if s := &spans[i]; s.Topic == p.Topic && s.Partition == p.Partition {
			return p.Offset >= s.First && p.Offset < s.Next
		}
	}
	return false
}
