// Package vision looks at frames of cameras: which of them are worth looking at, what a model sees in them, and what that means (see rules). It is the part of a pipeline's line that processors.Pipeline calls
// for frames instead of windows; blocks, intents and commits are the Pipeline's.
//
// A frame is scored or dropped, and there is a Sight for each that says which and why. Nothing waits: of a camera's frames that have gathered only the newest is scored (newest), and none that is older
// than max_age. What a rule fires is told at once, before anything is stored.
//
// What the champion and the canary are shown and what they say is watched for drift (watch.go): how bright, sharp and coloured frames are (light.go), the risk, the classes' probabilities or how many boxes there are, the
// embedding, against a reference that came with the model (watchrefer.go) or is learned of its first frames here.
//
// Metrics: andon_vision_frames_total{pipeline,status} (scored, late, busy, no-model, broken, lost, failed), andon_vision_action_seconds{pipeline} (from the capture to the verdict, with the rules' actions told),
// andon_vision_decode_seconds{pipeline}, andon_vision_fired_total{pipeline}, andon_vision_unknown_total{pipeline} (rules that would have fired, had anything been known of their machine),
// andon_vision_kept_total{pipeline,outcome} (kept, shed, failed: frames for the evidence store), andon_vision_shadow_frames_total{pipeline,outcome} (scored, shed, failed).
package vision

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"andon/event"
	"andon/model"
	"andon/processors/drift"
	"andon/processors/vision/rules"
)

// Scorer runs a model on n pictures, [n,3,H,W] scaled as m.Picture says, and returns its outputs in the memory of dst; runs, of length n, tells in which run each was.
type Scorer interface {
	SeeRuns(ctx context.Context, m *model.Model, pictures []float32, n int, dst []model.Tensor, runs []event.Run) ([]model.Tensor, error)
}

// Plan says what numbers are wanted of a picture: of its part from (X0, Y0) to (X1, Y1) in 0 to 1, scaled to Width and Height.
type Plan struct {
	X0, Y0, X1, Y1 float64
	Width, Height  int
	Mean, Std      [3]float32
}

// Decoder makes numbers of JPEGs: three planes for each plan, appended to dst. It is for one goroutine at a time.
type Decoder interface {
	Append(dst []float32, jpeg []byte, plans []Plan) ([]float32, error)
	Close()
}

// Item is a frame that is to be kept.
type Item struct {
	Pipeline, Camera string
	Captured         int64
	// Kind is one of the Kept constants.
	Kind string
	JPEG []byte
	// Note is what is kept beside the picture, as JSON.
	Note any
}

// Why a frame is kept: the first are kept the longest.
const (
	KeptFired    = "fired"
	KeptLabelled = "labelled"
	KeptSampled  = "sampled"
)

// Evidence keeps frames.
type Evidence interface {
	// Ref names an item before it is kept.
	Ref(i *Item) string
	Put(ctx context.Context, i *Item) (ref string, err error)
	Get(ctx context.Context, ref string) (jpeg, note []byte, err error)
}

// Judge says which models look.
type Judge struct {
	Scorer Scorer
	Live   func() *model.Model
	// Canary, Shadow and what they return may be nil, as for windows.
	Canary func() (*model.Model, float64)
	Shadow func() *model.Model
}

// Deps are what a Line works with. All but Decoder may be nil.
type Deps struct {
	Judge Judge
	// Decoder makes a decoder; each partition has its own.
	Decoder func() (Decoder, error)
	// Alert is told what fires. It never blocks.
	Alert func(event.Alert)
	// Show is shown each frame with what became of it. It never blocks, and changes nothing.
	Show     func(pipeline string, f *event.Frame, s *event.Sight)
	Evidence Evidence
	// Machines knows the newest readings of the other pipelines.
	Machines *Machines
	// Drift says how frames are watched; where it is not enabled they are not.
	Drift drift.Config
}

// Line is one pipeline of frames: what its partitions share. It is safe for concurrent use.
type Line struct {
	name   string
	cfg    Config
	set    *rules.Set
	deps   Deps
	meters meters
	log    *slog.Logger
	now    func() time.Time
	print  uint64
	// known are the references that came with models, which all partitions share.
	known struct {
		mu  sync.Mutex
		all map[string]*drift.Pictures
	}
}

// New makes the line of a pipeline; metrics are shared by all pipelines.
func New(pipeline string, cfg Config, deps Deps, metrics *Metrics, log *slog.Logger) (*Line, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make pipeline %s: vision: %w", pipeline, err)
	}
	set, err := rules.New(cfg.Config)
	if err != nil {
		return nil, err
	}
	if deps.Decoder == nil {
		return nil, fmt.Errorf("make pipeline %s: vision: there is nothing to decode frames with", pipeline)
	}
	if deps.Judge.Live == nil || deps.Judge.Scorer == nil {
		deps.Judge = Judge{Live: func() *model.Model { return nil }}
	}
	if deps.Drift.Enabled {
		if err := deps.Drift.Validate(); err != nil {
			return nil, fmt.Errorf("make pipeline %s: drift: %w", pipeline, err)
		}
	}
	js, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(js)
	return &Line{name: pipeline, cfg: cfg, set: set, deps: deps, meters: metrics.of(pipeline), log: log.With("pipeline", pipeline), now: time.Now,
		print: binary.LittleEndian.Uint64(sum[:])}, nil
}

// Fingerprint names the settings: lines of another one may drop, or fire at, other frames.
func (l *Line) Fingerprint() uint64 { return l.print }

// Config returns the settings, which must not be changed.
func (l *Line) Config() *Config { return &l.cfg }
