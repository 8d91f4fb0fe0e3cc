package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"andon/console"
	"andon/event"
	"andon/ingest/decode"
	"andon/ingest/video"
	"andon/model"
	"andon/processors"
	"andon/processors/vision"
	"andon/scorer"
	"andon/sinks/evidence"
)

// eyes is what the pipelines of frames share.
type eyes struct {
	judge    *scorer.Scorer
	models   *model.Registry
	metrics  *vision.Metrics
	turbo    *video.Turbo // nil: Go's image/jpeg
	machines *vision.Machines
	// pipelines are those of frames.
	pipelines map[string]bool

	alert  func(event.Alert)
	show   func(pipeline string, f *event.Frame, s *event.Sight)
	frames *evidence.Store
	// recent returns a frame that was shown lately.
	recent func(pipeline, camera string, captured int64) (jpeg []byte, s event.Sight, ok bool)
	log    *slog.Logger
}

// newEyes makes it; without a pipeline of frames nothing is loaded. It is told which readings the rules ask for.
func newEyes(cfg *Config, judge *scorer.Scorer, models *model.Registry, log *slog.Logger, reg prometheus.Registerer) *eyes {
	e := &eyes{judge: judge, models: models, machines: &vision.Machines{}, pipelines: map[string]bool{}, log: log}
	for i := range cfg.Pipelines {
		p := &cfg.Pipelines[i]
		if p.Vision == nil {
			continue
		}
		e.pipelines[p.Name] = true
		if e.metrics == nil {
			e.metrics = vision.NewMetrics(reg)
			var err error
			if e.turbo, err = video.OpenTurbo(""); err != nil {
				log.Warn("frames are decoded by Go's image/jpeg, three times as slow", "error", err)
			}
		}
		for r := range p.Vision.Rules {
			if w := p.Vision.Rules[r].While; w != nil {
				if of := cfg.pipeline(w.Pipeline); of != nil { // Validate has seen to it
					e.machines.Want(w, of.Source.Columns())
				}
			}
		}
	}
	return e
}

// of makes the eye of a pipeline, nil for one of rows.
func (e *eyes) of(p *Pipeline) (*vision.Line, error) {
	if p.Vision == nil {
		return nil, nil
	}
	return vision.New(p.Name, *p.Vision, vision.Deps{
		Judge: vision.Judge{Scorer: e.judge, Live: func() *model.Model { return e.models.Live(p.Name) },
			Canary: func() (*model.Model, float64) { return e.models.Canary(p.Name) },
			Shadow: func() *model.Model { return e.models.Named(p.Name, model.Shadow) }},
		Decoder: func() (vision.Decoder, error) {
			d, err := video.NewDecoder(video.DefaultDecoding(), e.turbo)
			return &jpegs{Decoder: d}, err
		},
		Alert: e.alert, Show: e.show, Machines: e.machines, Evidence: keepsakes{e.frames},
		Drift: p.drift(),
	}, e.metrics, e.log)
}

// labelled keeps the frames that labels speak of: those that are kept for less are kept as labelled, others as long as they are still at hand.
func (e *eyes) labelled(labels []event.Label) {
	for i := range labels {
		l := &labels[i]
		if e.metrics == nil || l.Withdrawn || !e.pipelines[l.Pipeline] {
			continue
		}
		kept, err := e.frames.Raise(evidence.Ref(l.Pipeline, l.Asset, l.Time), evidence.Labelled)
		if err == nil && !kept {
			jpeg, s, ok := e.recent(l.Pipeline, l.Asset, l.Time)
			if !ok {
				continue
			}
			note := vision.NoteOf(&s, vision.KeptLabelled)
			_, err = e.frames.Put(context.Background(), &evidence.Item{Pipeline: l.Pipeline, Camera: l.Asset, Captured: l.Time, Kind: evidence.Labelled, JPEG: jpeg, Note: note})
		}
		if err != nil {
			e.log.Error("a labelled frame is not kept", "pipeline", l.Pipeline, "camera", l.Asset, "error", err)
		}
	}
}

// keepsakes is the evidence store as the line asks it.
type keepsakes struct{ *evidence.Store }

func (k keepsakes) Ref(i *vision.Item) string { return evidence.Ref(i.Pipeline, i.Camera, i.Captured) }

func (k keepsakes) Put(ctx context.Context, i *vision.Item) (string, error) {
	return k.Store.Put(ctx, (*evidence.Item)(i))
}

// evidenceDir returns the folder of kept frames.
func (c *Config) evidenceDir() string {
	if c.Evidence.Dir != "" {
		return c.Evidence.Dir
	}
	return c.path("evidence")
}

// jpegs is ingest/video's decoder as the line asks for it.
type jpegs struct {
	*video.Decoder
	plans []video.Plan
}

func (d *jpegs) Append(dst []float32, jpeg []byte, plans []vision.Plan) ([]float32, error) {
	d.plans = d.plans[:0]
	for i := range plans {
		p := &plans[i]
		d.plans = append(d.plans, video.Plan{Crop: video.Crop{X0: p.X0, Y0: p.Y0, X1: p.X1, Y1: p.Y1}, Width: p.Width, Height: p.Height, Mean: p.Mean, Std: p.Std})
	}
	return d.Decoder.Append(dst, jpeg, d.plans...)
}

// watches shows rows to several.
type watches []processors.Watch

func (all watches) Observe(pipeline string, rows []event.Row, scores []event.Score) {
	for _, w := range all {
		w.Observe(pipeline, rows, scores)
	}
}

// pipeline returns the one of a name, nil where there is none.
func (c *Config) pipeline(name string) *Pipeline {
	for i := range c.Pipelines {
		if c.Pipelines[i].Name == name {
			return &c.Pipelines[i]
		}
	}
	return nil
}

// visionFaults tells what is wrong with a pipeline's frames.
func (c *Config) visionFaults(p *Pipeline) error {
	frames := p.Source.Shape == decode.ShapeFrame
	if p.Vision == nil {
		if frames {
			return fmt.Errorf("vision: a source of the shape %s has frames: say what is seen in them, at least vision: {}", decode.ShapeFrame)
		}
		return nil
	}
	var errs []error
	if p.Model != nil && p.Model.Picture == nil {
		errs = append(errs, fmt.Errorf("model.task: %s is of readings; of frames there are %s and %s", p.Model.Task, model.Classification, model.Detection))
	}
	if !frames {
		errs = append(errs, fmt.Errorf("vision: is for frames, and the source's shape is %q: set it to %s", p.Source.Shape, decode.ShapeFrame))
	}
	if p.Window != nil || p.Aggregate != nil || p.Readings != nil || p.PublishScores {
		errs = append(errs, errors.New("vision: a pipeline of frames has no rows: take out window, aggregate, readings and publish_scores"))
	}
	for _, err := range flatten(p.Vision.Validate()) {
		errs = append(errs, fmt.Errorf("vision.%w", err))
	}
	for i := range p.Vision.Rules {
		r := &p.Vision.Rules[i]
		if r.While == nil || r.While.Pipeline == "" {
			continue
		}
		of := c.pipeline(r.While.Pipeline)
		switch {
		case of == nil:
			errs = append(errs, fmt.Errorf("vision.rules.%s.while.pipeline: there is no pipeline %q", r.Name, r.While.Pipeline))
		case !new(vision.Machines).Want(r.While, of.Source.Columns()):
			errs = append(errs, fmt.Errorf("vision.rules.%s.while.signal: %q is none of the signals of %s: %q", r.Name, r.While.Signal, of.Name, of.Source.Columns()))
		}
	}
	return errors.Join(errs...)
}

// keptFrames is the evidence store as the console asks it.
type keptFrames struct{ *evidence.Store }

func (k keptFrames) Kept(pipeline, camera, kind string, limit int) []console.Kept {
	var out []console.Kept
	for _, e := range k.List(evidence.Filter{Pipeline: pipeline, Camera: camera, Kind: kind, Limit: limit}) {
		out = append(out, console.Kept{Ref: e.Ref, Pipeline: e.Pipeline, Camera: e.Camera, Captured: e.Captured, Kind: e.Kind, Bytes: e.Bytes})
	}
	return out
}

func (k keptFrames) Take(ctx context.Context, source, camera string, captured int64, jpeg []byte) (string, error) {
	return k.Put(ctx, &evidence.Item{Pipeline: source, Camera: camera, Captured: captured, Kind: evidence.Sampled, JPEG: jpeg, Note: map[string]any{"pipeline": source, "camera": camera, "captured": captured, "kind": "large"}})
}

// labelsOf tells what a pipeline's live model knows.
func labelsOf(models *model.Registry) func(pipeline string) []string {
	return func(pipeline string) []string {
		if m := models.Live(pipeline); m != nil && m.Picture != nil {
			return m.Picture.Labels
		}
		return nil
	}
}

// eyes returns what the pipelines of frames look for, as the page shows it.
func (c *Config) eyes() map[string]console.Eye {
	all := map[string]console.Eye{}
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		if p.Vision == nil {
			continue
		}
		e := console.Eye{Zones: []console.Zone{}, Lines: []console.Crossing{}, Rules: []console.SightRule{}}
		for _, z := range p.Vision.Zones {
			out := console.Zone{Name: z.Name, Cameras: z.Cameras, Labels: z.Labels}
			for _, at := range z.Polygon {
				out.Polygon = append(out.Polygon, [2]float32{at.X, at.Y})
			}
			e.Zones = append(e.Zones, out)
		}
		for _, l := range p.Vision.Lines {
			e.Lines = append(e.Lines, console.Crossing{Name: l.Name, Cameras: l.Cameras, From: [2]float32{l.From.X, l.From.Y}, To: [2]float32{l.To.X, l.To.Y}})
		}
		for r := range p.Vision.Rules {
			rule := &p.Vision.Rules[r]
			e.Rules = append(e.Rules, console.SightRule{Name: rule.Name, Cameras: rule.Cameras, Zone: rule.Zone, Line: rule.Line, Severity: rule.Severity, Says: rule.Says()})
		}
		all[p.Name] = e
	}
	return all
}
