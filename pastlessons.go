package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"andon/event"
	"andon/processors/drift"
	"andon/processors/features"
	"andon/processors/vision"
	"andon/trainer"
)

// At is of trainer.Past.
func (l *lessons) At(m event.Marks) trainer.Source {
	return &lessons{Store: l.Store, kept: l.kept, past: &m, look: l.look}
}

// looking has the frames before it.
func (l *lessons) looking() (*lessons, error) {
	if l.look == nil {
		return l, nil
	}
	kept, err := l.look()
	return &lessons{Store: l.Store, kept: kept, past: l.past}, err
}

// Labels is of trainer.Source.
func (l *lessons) Labels(ctx context.Context, pipeline, kind string) ([]event.Label, error) {
	if l.past == nil {
		return l.remember(ctx, pipeline, kind)
	}
	return l.Store.At(*l.past).Labels(ctx, pipeline, kind)
}

// Readings is of trainer.Source.
func (l *lessons) Readings(ctx context.Context, pipeline string, signals, assets []string, from, until int64, f func(asset string, rows []event.Row) error) (query string, err error) {
	if l.past == nil {
		return l.Store.Readings(ctx, pipeline, signals, assets, from, until, f)
	}
	return l.Store.At(*l.past).Readings(ctx, pipeline, signals, assets, from, until, f)
}

// Spans is of trainer.Source.
func (l *lessons) Spans(ctx context.Context, pipeline string, assets []string, from, until int64) ([]event.Span, error) {
	if l.past == nil {
		return l.Store.Spans(ctx, pipeline, assets, from, until)
	}
	return l.Store.At(*l.past).Spans(ctx, pipeline, assets, from, until)
}

// curriculum is all of a pipeline's section that determines its models, defaults and all: it travels with a job to whoever does it, and stands in each model's lineage.
type curriculum struct {
	Name string `yaml:"name"`
	// Window names its signals; a pipeline of frames has Vision instead, without its rules.
	Window *features.Config `yaml:"window,omitempty"`
	Vision *vision.Config   `yaml:"vision,omitempty"`
	Model  *trainer.Spec    `yaml:"model"`
	Drift  drift.Config     `yaml:"drift"`
}

// section writes down what determines a model, trained by the settings s.
func (p *Pipeline) section(s *trainer.Spec) ([]byte, error) {
	c := curriculum{Name: p.Name, Model: s, Drift: p.drift()}
	if p.Vision != nil {
		v := *p.Vision
		v.Rules = nil
		c.Vision = &v
	} else if p.Window != nil {
		w := *p.Window
		w.Recipe = p.recipe()
		c.Window = &w
	}
	return yaml.Marshal(&c)
}

// readSection makes the pipeline of what section wrote.
func readSection(text []byte) (*trainer.Pipeline, error) {
	var c curriculum
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	err := d.Decode(&c)
	p := Pipeline{Name: c.Name, Window: c.Window, Vision: c.Vision, Model: c.Model, Drift: &c.Drift}
	switch {
	case err != nil:
	case c.Model == nil:
		err = errors.New("it has no model section")
	default:
		err = c.Model.Validate()
		if c.Window != nil {
			err = errors.Join(err, c.Window.Validate())
		}
		if (c.Window == nil) == (c.Vision == nil) {
			err = errors.Join(err, errors.New("it says neither or both of window and vision"))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the settings of %q were written by another version of andon: %w", c.Name, err)
	}
	return &(&Config{Pipelines: []Pipeline{p}}).taught()[0], nil
}
