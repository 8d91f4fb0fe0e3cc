package event

// Decision is one step of the loop that keeps a model honest, with its reasons: also "no" is one.
type Decision struct {
	// Campaign names the way of one challenger from trigger to end; all its decisions carry it. Empty for a trigger that was turned down.
	Campaign string
	Pipeline string
	// Stage is one of the Stage constants, Verdict one of the Decided ones.
	Stage   string
	Verdict string
	// Reason is for people.
	Reason string
	// Champion and Challenger are versions; empty where there is none.
	Champion, Challenger string
	// Facts holds the numbers by which it was decided, as a JSON object.
	Facts string
	// Who decided: "policy", "gate", or a person.
	Who string
	// Time is by the wall clock, Unix nanoseconds.
	Time int64
}

// The stages of a campaign, in their order.
const (
	StageTrigger  = "trigger"
	StageTrain    = "train"
	StageGate     = "gate"
	StageShadow   = "shadow"
	StageCanary   = "canary"
	StagePromote  = "promote"
	StageWatch    = "watch" // the new champion against the old one, which is warm
	StageRollback = "rollback"
)

// What is decided at a stage.
const (
	DecidedGo     = "go"
	DecidedNo     = "no"
	DecidedWait   = "wait"
	DecidedAsk    = "ask"    // a person has to say
	DecidedFailed = "failed" // it could not be done
)
