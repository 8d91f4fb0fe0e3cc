package console

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
)

// Querier asks the store, read-only. Params fill {name:Type} in the SQL as ClickHouse does. An answer longer than limit rows is cut and says so.
// The error's text is shown to the person who asked. Safe to call concurrently.
type Querier interface {
	QueryParams(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error)
}

// Deps are the console's collaborators. All of them are called from several goroutines at once.
type Deps struct {
	Store Querier
	// Metrics is what /metrics serves and what the rates of the line are made from.
	Metrics prometheus.Gatherer
	// Register takes the console's own metrics.
	Register prometheus.Registerer
	// Uplink tells how records get to a central cluster, nil while that is not known. Nil where there is none.
	Uplink func() *Uplink
	// Status is called once a second and must not block.
	Status func() Status
	// Train asks for a training run of a pipeline and returns at once; the error tells why there will be none. Nil where nothing trains here.
	Train func(pipeline string) error
	// Replay sends dead letters again and tells what became of each; ErrBusy and ErrAsk tell why it did nothing. Nil where nothing can be sent from here.
	Replay func(ctx context.Context, ask ReplayAsk) (*ReplayAnswer, error)
	// Models is the registry; nil where there is none. A pushed file may have ModelBytes.
	Models     Models
	ModelBytes int64
	// Label tells labels to the log and returns where they are, topic/partition@offset; ErrAsk says which of them cannot be told, and then none is. Nil where none can be.
	Label func(ctx context.Context, labels []Label) ([]string, error)
	// Loop is what brings models to the fleet; nil where there is none.
	Loop Loop
	// Alerts is the desk of alerts; nil where there is none.
	Alerts Alerts
	// Evaluations puts models side by side; nil where there are none.
	Evaluations Evaluations
	// Ready returns nil, or an error whose text names each part that is not ready, one a line.
	Ready func() error
}

// Status is what the appliance says of itself.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Demo tells that the flowing records are a recording.
	Demo       bool              `json:"demo,omitempty"`
	Addresses  map[string]string `json:"addresses"`
	Components []Component       `json:"components"`
	Pipelines  []Pipeline        `json:"pipelines"`
	// Devices are the accelerators of this machine; none where there are none.
	Devices []Device `json:"devices,omitempty"`
	// Uplink is how records get to a central cluster, without its routes; absent where there is none.
	Uplink *Uplink `json:"uplink,omitempty"`
}

// Device is one accelerator as it was last seen. A number that it does not tell is -1.
type Device struct {
	Index       int      `json:"index"`
	Name        string   `json:"name"`
	UUID        string   `json:"uuid"`
	Utilization float64  `json:"utilization"` // 0 to 1
	MemoryUsed  float64  `json:"memory_used"` // bytes
	MemoryTotal float64  `json:"memory_total"`
	Power       float64  `json:"power"`       // watts
	Temperature float64  `json:"temperature"` // degrees Celsius
	Energy      float64  `json:"energy"`      // joules since the driver was loaded
	Throttled   []string `json:"throttled"`   // why its clocks are held back
	Fault       string   `json:"fault,omitempty"`
}

// Component is one part of the appliance and how it is.
type Component struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// Detail is for people: what it waits for, or where it is.
	Detail string `json:"detail,omitempty"`
}

// Pipeline is one pipeline as the page shows it.
type Pipeline struct {
	Name  string `json:"name"`
	Topic string `json:"topic"`
	// Task is a model's, or aggregate for a pipeline that ends at the values of its windows and has none.
	Task    string   `json:"task"`
	Signals []string `json:"signals"`
	// Unit is the score's value's unit, as "cycles".
	Unit string `json:"unit"`
	// Grid is the step of event time, Length the number of steps in a window, Horizon the steps that the risk speaks of (0 where it has none).
	Grid    time.Duration `json:"-"`
	Length  int           `json:"length"`
	Horizon int           `json:"horizon,omitempty"`
	// Detector is what scores in the place of a model, empty where models do; Learning is how many assets it says nothing of yet because it learns from their first rows.
	Detector string `json:"detector,omitempty"`
	Learning int    `json:"learning,omitempty"`
	// Model is the live version, empty before the first, or the detector's; Trained and Metrics are its own.
	Model   string             `json:"model"`
	Trained time.Time          `json:"trained,omitzero"`
	Metrics map[string]float64 `json:"metrics,omitempty"`

	GridSeconds float64 `json:"grid_seconds"`
}

// view is Status with what only the console knows.
type view struct {
	Status
	Epoch        string  `json:"epoch"`
	RiskWatch    float64 `json:"risk_watch"`
	RiskCritical float64 `json:"risk_critical"`
}

func (c *Console) view() view {
	v := view{Status: c.deps.Status(), Epoch: c.epoch, RiskWatch: c.cfg.RiskWatch, RiskCritical: c.cfg.RiskCritical}
	v.Pipelines = append([]Pipeline{}, v.Pipelines...)
	for i := range v.Pipelines {
		v.Pipelines[i].GridSeconds = v.Pipelines[i].Grid.Seconds()
		if v.Pipelines[i].Signals == nil {
			v.Pipelines[i].Signals = []string{}
		}
	}
	return v
}

// pipeline returns the pipeline of that name.
func (c *Console) pipeline(name string) (Pipeline, bool) {
	for _, p := range c.deps.Status().Pipelines {
		if p.Name == name {
			return p, true
		}
	}
	return Pipeline{}, false
}
