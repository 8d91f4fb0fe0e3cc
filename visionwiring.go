package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest/decode"
	"andon/ingest/video"
	"andon/model"
	"andon/processors"
	"andon/processors/vision"
	"andon/scorer"
)

// eyes is what the pipelines of frames share.
type eyes struct {
	judge    *scorer.Scorer
	models   *model.Registry
	metrics  *vision.Metrics
	turbo    *video.Turbo // nil: Go's image/jpeg
	machines *vision.Machines
	alert    func(event.Alert)
	show     func(pipeline string, f *event.Frame, s *event.Sight)
	log      *slog.Logger
}

// newEyes makes it; without a pipeline of frames nothing is loaded. It is told which readings the rules ask for.
func newEyes(cfg *Config, judge *scorer.Scorer, models *model.Registry, log *slog.Logger, reg prometheus.Registerer) *eyes {
	e := &eyes{judge: judge, models: models, machines: &vision.Machines{}, log: log}
	for i := range cfg.Pipelines {
		p := &cfg.Pipelines[i]
		if p.Vision == nil {
			continue
		}
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
		Alert: e.alert, Show: e.show, Machines: e.machines,
	}, e.metrics, e.log)
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
