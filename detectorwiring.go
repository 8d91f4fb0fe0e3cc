package main

import (
	"errors"
	"fmt"

	"andon/console"
	"andon/model"
	"andon/processors/anomaly"
	"andon/processors/features"
)

// detectorFaults tells what is wrong with what a pipeline says of its detector.
func (p *Pipeline) detectorFaults() error {
	if p.Detector == nil {
		return nil
	}
	var errs []error
	for _, err := range flatten(p.Detector.Validate()) {
		errs = append(errs, fmt.Errorf("detector.%w", err))
	}
	if p.Model != nil {
		errs = append(errs, errors.New("detector: the pipeline has a model section, too, and one of them gives its scores: take one out, or make a second pipeline of the same topic, with readings: {store: false}"))
	}
	if p.Aggregate != nil || p.Vision != nil {
		errs = append(errs, errors.New("detector: is for windows of readings: take it out, or aggregate or vision"))
	}
	if p.Drift != nil {
		errs = append(errs, errors.New("drift: there is no model whose windows could be watched: take the section out"))
	}
	w, usual := p.Window, features.Default()
	if w == nil {
		return errors.Join(append(errs, errors.New("window: a detector looks at slots of time: set at least their grid"))...)
	}
	look := func(key string, same bool) {
		if !same {
			errs = append(errs, fmt.Errorf("window.%s: is of a model's windows; a detector looks at each slot and remembers by its own settings: take it out", key))
		}
	}
	look("length", w.Recipe.Length == usual.Recipe.Length)
	look("baseline", w.Recipe.Baseline == 0)
	look("age", !w.Recipe.Age)
	look("stride", w.Stride == usual.Stride)
	return errors.Join(errs...)
}

// detectorVersion names what the pipeline's detector gives its scores by.
func (p *Pipeline) detectorVersion() (string, error) {
	d, err := anomaly.New(*p.Detector, *p.Window, p.Source.Columns())
	if err != nil {
		return "", err
	}
	return d.Version(), nil
}

// unscored says why no model can score the pipeline's windows, nil where one can.
func (p *Pipeline) unscored() error {
	switch {
	case p.Aggregate != nil:
		return fmt.Errorf("pipelines.%s ends at the values of its windows, which no model scores", p.Name)
	case p.Detector != nil:
		return fmt.Errorf("pipelines.%s is scored by its detector, and no model is asked: take the section out, or push to a second pipeline of the same topic", p.Name)
	}
	return nil
}

// detect is told of the lines, some of which have a detector.
func (s *statusBoard) detect(intakes []intake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = intakes
}

// detectedView shows a pipeline that a detector scores.
func (s *statusBoard) detectedView(p *Pipeline, view *console.Pipeline) {
	view.Task, view.Unit, view.Length, view.Detector = string(model.Anomaly), p.Detector.Unit(), p.Detector.Look(), p.Detector.Kind()
	for _, in := range s.lines {
		if in.name == p.Name && in.line != nil {
			view.Model, view.Learning = in.line.Version(), in.line.Learning()
		}
	}
}
