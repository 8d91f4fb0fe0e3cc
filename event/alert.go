package event

// Alert is what people and other systems are told. Alerts with one ID are one matter: told when it fires, changes and is resolved.
type Alert struct {
	// ID names the cause: pipeline, kind, and what it is about, so that the same cause has the same ID.
	ID       string
	Pipeline string
	// Kind is one of the Alert constants, Severity one of the Severity ones.
	Kind     string
	Severity string
	// Title is one line, Detail says what to do.
	Title, Detail string
	// Asset is the machine or camera that it is about; empty for a whole pipeline.
	Asset string
	// Labels are further facts to route and group by.
	Labels map[string]string
	// Since is when it began, Unix nanoseconds: by event time where there is one; Time is when it was told, by the wall clock.
	Since, Time int64
	// Resolved tells that it is over.
	Resolved bool
	// Evidence is the path of what shows it on the console: a window of an asset, a kept frame, a decision.
	Evidence string
}

// The kinds of alerts.
const (
	AlertRule       = "rule" // a rule on scores or frames fired
	AlertDrift      = "drift"
	AlertError      = "error"      // the model's error, estimated or realised
	AlertTraining   = "training"   // retraining started, refused, failed, promoted or rolled back
	AlertAbsent     = "absent"     // an asset, a camera or a whole source sends nothing any more
	AlertBottleneck = "bottleneck" // lag, saturation, latency, device, disk
)

// How bad it is.
const (
	SeverityInfo     = "info"
	SeverityWarning  = "warning"
	SeverityCritical = "critical"
)
