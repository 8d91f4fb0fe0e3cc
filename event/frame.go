package event

// Frame is one picture of one camera, as a record of the log holds it.
type Frame struct {
	Offset int64
	Camera string
	// Captured is event time, Unix nanoseconds; Sequence counts the frames of one run of the camera's producer, so that a gap is a frame that was not sent.
	Captured int64
	Sequence int64
	// Width and Height are in pixels.
	Width, Height int
	// JPEG is the record's value. It stays valid after Handle and is never written to. It is nil where Reference says under which name the evidence store keeps it: those are
	// frames that were too large for a record.
	JPEG      []byte
	Reference string
}

// Box is what a model found in a frame, in coordinates of 0 to 1 from the upper left corner.
type Box struct {
	Label string
	// Score is the model's confidence, 0 to 1.
	Score          float32
	X0, Y0, X1, Y1 float32
	// Track names one object over the frames of its camera; 0 where objects are not followed.
	Track int64
}

// Sight is what became of one frame: it was scored, or dropped and why. There is one for each frame that could be read.
type Sight struct {
	Pipeline string
	Camera   string
	// Captured is event time, Unix nanoseconds.
	Captured      int64
	Sequence      int64
	Width, Height int
	// Bytes is the JPEG's size.
	Bytes int
	// Status is one of the Sight constants.
	Status string
	// Version names the model that scored it; empty where none did.
	Version string
	// Label is the whole frame's most probable class, of a classification, and Risk its probability, or that of the surest box.
	Label string
	Risk  float32
	Boxes []Box
	// Zones are the names of the zones that hold something, Fired those of the rules that fired at the frame.
	Zones, Fired []string
	// Evidence is where the JPEG is kept, empty where it is not; see the evidence store.
	Evidence string
	Run
	// Position is the frame's record.
	Position
	// Age is from capture to the verdict, Latency from the arrival of the record to it, nanoseconds; ScoredAt is the verdict's wall-clock time, Unix nanoseconds.
	Age, Latency, ScoredAt int64
}

// What becomes of a frame.
const (
	SightScored  = "scored"
	SightLate    = "late"     // older than the pipeline allows when its turn came
	SightBusy    = "busy"     // newer frames of the same camera were waiting
	SightNoJudge = "no-model" // there was no model yet
	SightBroken  = "broken"   // its JPEG could not be decoded; it is a dead letter, too
	SightLost    = "lost"     // its picture, kept apart for its size, is gone
	SightFailed  = "failed"   // the model could not look at it
)
