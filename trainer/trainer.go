// Package trainer makes models: it watches what each pipeline has stored, decides when that is enough, trains, and puts the model into service.
//
// policy.go decides and does nothing else; run.go acts, campaign.go and what is named after it lead a challenger to the fleet, or not. Metrics: andon_trainer_epoch, andon_trainer_loss,
// andon_trainer_rows_per_second (by pipeline), andon_trainer_runs_total (by pipeline and state), andon_trainer_cpu_seconds_total, andon_trainer_gpu_seconds_total and andon_trainer_energy_joules_total (by pipeline; the last two where
// something measures); andon_loop_decisions_total (by pipeline, stage and verdict), andon_loop_campaign (1 while one
// goes on), andon_loop_alarms (that nothing was done about yet), andon_loop_gain, andon_loop_gain_low, andon_loop_gain_high and andon_loop_outcomes (of the campaign's paired losses),
// andon_loop_spent_seconds (CPU time of the trainings of the last 24 hours).
package trainer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/model/adopt"
)

// Source is where training data comes from.
type Source interface {
	// Labels returns a pipeline's labels of a kind.
	Labels(ctx context.Context, pipeline, kind string) ([]event.Label, error)
	// Readings calls f once an asset with all its rows in order of time, Values in the order of signals; nil assets mean all, until 0 means to the end.
	// The rows are the callee's only until f returns. The query that was asked comes back.
	Readings(ctx context.Context, pipeline string, signals, assets []string, from, until int64, f func(asset string, rows []event.Row) error) (query string, err error)
	// Spans returns the offsets between which such rows are now, by topic and partition.
	Spans(ctx context.Context, pipeline string, assets []string, from, until int64) ([]event.Span, error)
}

// Store is a Source that can be watched, and keeps the record of training.
type Store interface {
	Source
	// Count returns how many readings a pipeline has.
	Count(ctx context.Context, pipeline string) (uint64, error)
	WriteTraining(ctx context.Context, t event.Training) error
}

// Registry is where models go.
type Registry interface {
	Register(ctx context.Context, m *model.Model, r model.Registration) error
	Promote(pipeline, version, who, why string) error
	Live(pipeline string) *model.Model
}

// Featurize makes the windows of one asset's rows as serving does; see processors/features.Config.Windows. The window is the callee's only until emit returns.
type Featurize func(recipe *model.Recipe, rows []event.Row, emit func(end int64, window []float32)) error

// Pipeline is what the trainer needs to know of one.
type Pipeline struct {
	Name string
	// Recipe has no Scale: training learns it.
	Recipe    model.Recipe
	Spec      Spec
	Loop      Loop
	Featurize Featurize
	// Sight is of a pipeline of frames, which has neither Recipe nor Featurize.
	Sight Sight
	// Refer makes what is kept in each model to tell later whether what it sees has changed; nil keeps none.
	Refer Refer
	// ReferPictures is Refer of a pipeline of frames.
	ReferPictures ReferPictures
	// Section writes down all of the pipeline that determines a model, with settings in the place of Spec, so that it can be made elsewhere, or again; nil does not.
	Section func(s *Spec) ([]byte, error)
}

// fits reports whether a model is one that the pipeline could have made.
func (p *Pipeline) fits(m *model.Model) bool {
	if pictured(p.Spec.Task) {
		return m.Picture != nil && m.Task == p.Spec.Task && slices.Equal(m.Picture.Labels, p.Spec.Picture.Labels)
	}
	return m.Picture == nil && m.Recipe.SameShape(&p.Recipe)
}

// Trainer decides and trains, one run at a time, and leads the campaigns of all pipelines at once.
type Trainer struct {
	cfg       Config
	pipelines []*student
	store     Store
	registry  Registry
	maker     Maker
	out       func(event.Training)
	log       *slog.Logger
	metrics   *metrics
	means     Means
	// turns holds the place of the one run.
	turns chan struct{}

	// mu guards owed, and of every student what stands below it there; the rest of a student belongs to its goroutine.
	mu   sync.Mutex
	owed []event.Decision // that the store has not taken yet
}

// student is one pipeline as the trainer remembers it.
type student struct {
	Pipeline
	wake chan struct{}

	assets   int
	changed  time.Time // when assets last changed, or a run was put off
	failures int       // failed runs since the last good one
	ended    time.Time // when the last run ended
	// early counts runs that were put off because labels had overtaken their rows, incomplete the assets of which that was so at the last of them.
	early, incomplete int

	// campaign is the one that goes on; resumed tells that the decisions of before were read.
	campaign *campaign
	resumed  bool
	settled  map[string]bool // alarms that something was decided about
	passed   map[string]bool // alarms that speak of another version than passedBy, the champion when they were looked at
	passedBy string
	cooling  time.Time  // when the last campaign ended
	moved    model.Move // the champion's last move that was looked at
	brought  time.Time  // when a person last made a version the challenger, as far as it was looked at
	looked   time.Time  // when the line was last looked at
	asking   time.Time  // when fresh labels were last counted
	fresh    int
	recent   int    // of fresh, what speaks of the time after since
	since    int64  // event time
	told     string // the last decision without a campaign that was recorded

	// Trainer.mu guards what follows.
	asked  string   // why a person asked for a run; empty when nobody did
	by     string   // who asked
	said   Decision // the last decision
	alarms []event.Alarm
	orders []wish
	cancel context.CancelFunc // of the training or the exam that goes on
	shown  *Status
}

// New returns a trainer of pipelines, whose models are put into the registry; every step of a run goes to the store and to out, which must not block. ONNX
// Runtime must be open before Run.
func New(cfg Config, pipelines []Pipeline, store Store, registry Registry, out func(event.Training), log *slog.Logger, reg prometheus.Registerer) *Trainer {
	t := &Trainer{cfg: cfg, store: store, registry: registry, out: out, log: log, metrics: newMetrics(reg), turns: make(chan struct{}, 1)}
	for _, p := range pipelines {
		t.pipelines = append(t.pipelines, &student{Pipeline: p, wake: make(chan struct{}, 1), settled: map[string]bool{}})
	}
	t.maker = &Local{Source: store, Pipelines: pipelines, Memory: cfg.Memory, Get: t.champion, Dir: cfg.Dir, Limits: adopt.DefaultLimits()}
	return t
}

// champion finds the live version, as long as it is.
func (t *Trainer) champion(pipeline, version string) (*model.Model, error) {
	if m := t.registry.Live(pipeline); m != nil && m.Version == version {
		return m, nil
	}
	return nil, fmt.Errorf("%s is the champion no more", version)
}

// Meter has what trainings take measured by m, where they are made in this process. Before Run.
func (t *Trainer) Meter(m Meters) {
	if l, ok := t.maker.(*Local); ok {
		l.Meters = m
	}
}

// MakeBy has challengers made by another than Local. Before Run.
func (t *Trainer) MakeBy(m Maker) {
	t.maker = m
	if many, ok := m.(interface{ Parallel() int }); ok { // elsewhere, trainings do not take each other's cores
		t.turns = make(chan struct{}, many.Parallel())
	}
}

// Champion finds a version as long as it is the live one. Safe for concurrent use.
func (t *Trainer) Champion(pipeline, version string) (*model.Model, error) {
	return t.champion(pipeline, version)
}

// Lead gives the loop its means, before Run: a challenger then comes to the fleet by a campaign. Without them whoever asks for a run gets a champion at once.
func (t *Trainer) Lead(m Means) { t.means = m }

// Trigger asks for a training run of a pipeline whatever the policy thinks of its champion; by is who asks and why the reason, for the record. It returns at once; a second call
// before the run starts replaces the reason. Safe for concurrent use.
func (t *Trainer) Trigger(pipeline, by, why string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.student(pipeline)
	if s == nil {
		return fmt.Errorf("train %s: no pipeline of that name has a model section", pipeline)
	}
	if why == "" {
		why = "asked by hand"
	}
	s.asked, s.by = why, by
	s.rouse()
	return nil
}

// student returns one by its pipeline's name, or nil.
func (t *Trainer) student(pipeline string) *student {
	i := slices.IndexFunc(t.pipelines, func(s *student) bool { return s.Name == pipeline })
	if i < 0 {
		return nil
	}
	return t.pipelines[i]
}

// rouse lets a pipeline be looked at now.
func (s *student) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Decision returns what was last decided on a pipeline; false before the first look at it. Safe for concurrent use.
func (t *Trainer) Decision(pipeline string) (Decision, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.student(pipeline); s != nil {
		return s.said, s.said.Reason != ""
	}
	return Decision{}, false
}

// Run looks at every pipeline each Check, trains where the policy says so and leads the campaigns, until ctx ends; a run in progress is then given up.
func (t *Trainer) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, s := range t.pipelines {
		all.Go(func() { t.attend(ctx, s) })
	}
	all.Wait()
	<-ctx.Done()
	return nil
}

// attend looks at one pipeline again and again.
func (t *Trainer) attend(ctx context.Context, s *student) {
	tick := time.NewTicker(t.cfg.Check)
	defer tick.Stop()
	for ctx.Err() == nil {
		t.consider(ctx, s)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// turn waits for the place of the one run.
func (t *Trainer) turn(ctx context.Context) (release func(), err error) {
	select {
	case t.turns <- struct{}{}:
		return func() { <-t.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
