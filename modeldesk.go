package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"andon/console"
	"andon/model"
	"andon/model/adopt"
	"andon/model/s3"
)

// modelDesk is where people bring and move models: it checks what they bring against limits, the pipeline and a first run, and changes nothing before all has
// passed. Metrics: andon_models_pushes_total{result}, andon_models_moves_total{pipeline,alias}.
type modelDesk struct {
	cfg *Config
	// models is set once the registry is open; the console's port is open before.
	models atomic.Pointer[model.Registry]
	try    func(ctx context.Context, m *model.Model) (measured map[string]float64, err error)
	log    *slog.Logger
	pushes *prometheus.CounterVec
	moves  *prometheus.CounterVec
}

// openModels opens the registry's folder, and the bucket where there is one.
func openModels(ctx context.Context, cfg *Config) (*model.Registry, error) {
	if cfg.Models.S3.Endpoint == "" {
		return model.Open(cfg.modelsDir())
	}
	store, err := s3.New(cfg.Models.S3, int64(cfg.Models.MaxBytes))
	if err != nil {
		return nil, err
	}
	if err := store.Check(ctx); err != nil && !errors.Is(err, s3.ErrAway) { // without it the folder's models go on scoring
		return nil, err
	}
	return model.OpenWith(ctx, cfg.modelsDir(), store)
}

func newModelDesk(cfg *Config, log *slog.Logger, reg prometheus.Registerer) *modelDesk {
	d := &modelDesk{cfg: cfg, log: log,
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_models_pushes_total", Help: "Models that were brought, by result: registered, known or refused."}, []string{"result"}),
		moves:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "andon_models_moves_total", Help: "Moves of aliases."}, []string{"pipeline", "alias"})}
	reg.MustRegister(d.pushes, d.moves)
	d.try = func(ctx context.Context, m *model.Model) (map[string]float64, error) { return tryModel(ctx, cfg, m) }
	return d
}

// open lets people in. No alias moves to a model that the pipeline cannot use.
func (d *modelDesk) open(r *model.Registry) {
	r.Prepare(func(_ context.Context, m *model.Model) error { return d.fits(m) })
	r.OnChange(func(m model.Move) {
		d.moves.WithLabelValues(m.Pipeline, string(m.Alias)).Inc()
		d.log.Info("alias moved", "pipeline", m.Pipeline, "alias", m.Alias, "from", m.From, "to", m.To, "who", m.Who, "why", m.Why)
	})
	d.models.Store(r)
}

func (d *modelDesk) registry() (*model.Registry, error) {
	if r := d.models.Load(); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("the registry is still opening: try again in a moment")
}

// fits tells why a model cannot be used by its pipeline. A pipeline that is not configured takes any.
func (d *modelDesk) fits(m *model.Model) error {
	p := d.pipeline(m.Pipeline)
	if p == nil {
		return nil
	}
	if err := p.unscored(); err != nil {
		return err
	}
	if takesFrames(p) || m.Picture != nil {
		return fitsFrames(p, m)
	}
	want := p.recipe()
	if m.Recipe.SameShape(&want) {
		return nil
	}
	return fmt.Errorf("the model makes other windows than pipelines.%s: %s", m.Pipeline, differences(&m.Recipe, &want))
}

// differences says what keeps two recipes from making the same windows.
func differences(have, want *model.Recipe) string {
	var all []string
	add := func(key string, h, w any) {
		if fmt.Sprint(h) != fmt.Sprint(w) {
			all = append(all, fmt.Sprintf("%s is %v, the pipeline's %v", key, h, w))
		}
	}
	add("signals", have.Signals, want.Signals)
	add("grid", have.Grid, want.Grid)
	add("length", have.Length, want.Length)
	add("max_gap", have.MaxGap, want.MaxGap)
	add("smooth", have.Smooth, want.Smooth)
	add("baseline", have.Baseline, want.Baseline)
	add("age", have.Age, want.Age)
	return strings.Join(all, "; ")
}

func (d *modelDesk) pipeline(name string) *Pipeline {
	for i := range d.cfg.Pipelines {
		if d.cfg.Pipelines[i].Name == name {
			return &d.cfg.Pipelines[i]
		}
	}
	return nil
}

// Push checks, rewrites where that is needed, tries and registers a file.
func (d *modelDesk) Push(ctx context.Context, p console.Push) (info model.Info, known bool, err error) {
	defer func() {
		result := "registered"
		if err != nil {
			result = "refused"
		} else if known {
			result = "known"
		}
		d.pushes.WithLabelValues(result).Inc()
	}()
	r, err := d.registry()
	if err != nil {
		return info, false, err
	}
	name := p.Name
	if name == "" {
		name = "the file"
	}
	m, err := d.make(p)
	if err != nil {
		return info, false, fmt.Errorf("%s is not taken in: %w", name, err)
	}
	if info, err := r.Find(m.Pipeline, m.Version); err == nil {
		return info, true, nil
	}
	measured, err := d.try(ctx, m)
	if err != nil {
		if m.Picture == nil && adopt.ForOne(p.File) {
			err = fmt.Errorf("%w; it was exported for one window at a time: export it with a free first dimension (PyTorch: dynamic_shapes or dynamic_axes)", err)
		}
		return info, false, fmt.Errorf("%s is not taken in: its first run: %w", name, err)
	}
	if err := r.Register(ctx, m, model.Registration{Who: p.Who, Why: p.Why, Measured: measured}); err != nil {
		return info, false, err
	}
	d.log.Info("model registered", "pipeline", m.Pipeline, "version", m.Version, "who", p.Who, "why", p.Why)
	info, err = r.Find(m.Pipeline, m.Version)
	return info, false, err
}

// make turns what was brought into a model of the pipeline, without running it.
func (d *modelDesk) make(p console.Push) (*model.Model, error) {
	pipeline := d.pipeline(p.Pipeline)
	if pipeline == nil {
		var names []string
		for i := range d.cfg.Pipelines {
			names = append(names, d.cfg.Pipelines[i].Name)
		}
		return nil, fmt.Errorf("there is no pipeline %q to use it; there are: %s", p.Pipeline, strings.Join(names, ", "))
	}
	if err := pipeline.unscored(); err != nil {
		return nil, err
	}
	if err := d.cfg.Models.Limits.Check(p.File); err != nil {
		return nil, err
	}
	recipe := pipeline.recipe()
	if len(p.Spec) == 0 && len(p.MLmodel) == 0 {
		if m, err := model.Parse(p.File); err == nil { // one of ours, as pull gives it
			if m.Pipeline != p.Pipeline {
				return nil, fmt.Errorf("it is a model of pipeline %q, not of %q", m.Pipeline, p.Pipeline)
			}
			return m, d.fits(m)
		}
	}
	spec, err := adopt.Read(p.Spec)
	if err != nil {
		return nil, err
	}
	var lineage model.Lineage
	if len(p.MLmodel) > 0 {
		ml, err := adopt.ReadMLmodel(p.MLmodel)
		if err != nil {
			return nil, err
		}
		spec, lineage = spec.Over(ml.Spec), ml.Lineage()
		if err := spec.Validate(); err != nil {
			return nil, fmt.Errorf("the spec does not hold: %w", err)
		}
	}
	if takesFrames(pipeline) {
		m, err := adopt.AdoptPicture(p.File, spec, p.Pipeline, lineage)
		if err != nil {
			return nil, err
		}
		return m, d.fits(m)
	}
	if spec.Picture != nil {
		return nil, fmt.Errorf("picture: the records of pipelines.%s are readings (source.shape %s), and the model is of frames", p.Pipeline, pipeline.Source.Shape)
	}
	return adopt.Adopt(p.File, spec, p.Pipeline, recipe, lineage)
}

// Models lists the versions of a pipeline, or of all.
func (d *modelDesk) Models(pipeline string) ([]model.Info, error) {
	r, err := d.registry()
	if err != nil {
		return nil, err
	}
	var all []model.Info
	for _, p := range r.Pipelines() {
		if pipeline == "" || pipeline == p {
			all = append(all, r.List(p)...)
		}
	}
	return all, nil
}

// Find returns the version that begins so.
func (d *modelDesk) Find(pipeline, version string) (model.Info, error) {
	r, err := d.registry()
	if err != nil {
		return model.Info{}, err
	}
	return r.Find(pipeline, version)
}

// File returns a version's file.
func (d *modelDesk) File(pipeline, version string) ([]byte, error) {
	r, err := d.registry()
	if err != nil {
		return nil, err
	}
	m, err := r.Get(pipeline, version)
	if err != nil {
		return nil, err
	}
	return m.ONNX, nil
}

// Moves returns the history of a pipeline's aliases.
func (d *modelDesk) Moves(pipeline string) ([]model.Move, error) {
	r, err := d.registry()
	if err != nil {
		return nil, err
	}
	return r.History(pipeline)
}

// Move points an alias at a version, or at nothing.
func (d *modelDesk) Move(ctx context.Context, m model.Move) (model.Move, error) {
	r, err := d.registry()
	if err != nil {
		return model.Move{}, err
	}
	switch {
	case m.To == "":
		err = r.Clear(m.Pipeline, m.Alias, m.Who, m.Why)
	case m.Alias == model.Canary:
		err = r.MoveCanary(ctx, m.Pipeline, m.To, m.Percent, m.Who, m.Why)
	default:
		err = r.Move(ctx, m.Pipeline, m.Alias, m.To, m.Who, m.Why)
	}
	if err != nil {
		return model.Move{}, err
	}
	mv, _ := r.Marker(m.Pipeline, m.Alias)
	return mv, nil
}

// Rollback points an alias at the version it had before.
func (d *modelDesk) Rollback(ctx context.Context, pipeline string, alias model.Alias, who, why string) (model.Move, error) {
	r, err := d.registry()
	if err != nil {
		return model.Move{}, err
	}
	return r.Rollback(ctx, pipeline, alias, who, why)
}
