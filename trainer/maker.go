package trainer

import (
	"cmp"
	"context"
	"fmt"

	"andon/event"
	"andon/model"
	"andon/model/adopt"
)

// Job is an order to make challengers of a pipeline's model. It says all that a worker elsewhere needs beside the configuration.
type Job struct {
	// ID names the order, as its run or campaign: one that comes twice under an ID gives the same.
	ID string `json:"id"`
	// Run is the run that it is part of, for the lineage; empty: ID.
	Run      string `json:"run,omitempty"`
	Pipeline string `json:"pipeline"`
	// Why is for the record.
	Why string `json:"why"`
	// Champion is the live version; empty where there is none.
	Champion string `json:"champion,omitempty"`
	// Since is the event time from which on things are different, Unix nanoseconds; 0 where that is not known.
	Since int64 `json:"since,omitempty"`
	// Marks are how far the data is stored that it shall be made of; nil: as far as it is when the job is begun.
	Marks *event.Marks `json:"marks,omitempty"`
	// Watch is told how it goes, where the job is made in this process or its worker tells.
	Watch Watcher `json:"-"`
}

// Maker makes challengers: in this process, by a command, or by a worker elsewhere.
type Maker interface {
	// Make returns at least one lesson, the best on the validation part first, or an error. ctx ends it.
	Make(ctx context.Context, j Job) ([]*Lesson, error)
}

// Local makes challengers in this process. ONNX Runtime must be open.
type Local struct {
	Source    Source
	Pipelines []Pipeline
	Memory    event.Bytes
	// Get finds a champion, for a warm start; it may be nil, then every start is from scratch.
	Get func(pipeline, version string) (*model.Model, error)
	// Dir is where trainings by a command have their folders, Limits what may come of them.
	Dir    string
	Limits adopt.Limits
	// Worker names this process in what it makes; it may be empty. Meters tell what it takes.
	Worker string
	Meters Meters
}

// Make trains what the pipeline's model section says.
func (l *Local) Make(ctx context.Context, j Job) ([]*Lesson, error) {
	for i := range l.Pipelines {
		if p := &l.Pipelines[i]; p.Name == j.Pipeline {
			return l.make(ctx, p, j, nil)
		}
	}
	return nil, fmt.Errorf("train %s: no pipeline of that name has a model section", j.Pipeline)
}

// make does a job; as is the lineage of a model that is made again, nil for a new one.
func (l *Local) make(ctx context.Context, p *Pipeline, j Job, as *model.Lineage) ([]*Lesson, error) {
	o := order{again: j.Champion != "", since: j.Since, champion: j.Champion, marks: j.Marks, worker: l.Worker, clock: l.Meters.start(), as: as}
	if p.Spec.Network == Command {
		lesson, err := l.command(ctx, p, j, o)
		if err != nil {
			return nil, err
		}
		return []*Lesson{lesson}, nil
	}
	var champion *model.Model
	if p.Spec.Warm && l.Get != nil && j.Champion != "" {
		var err error
		if champion, err = l.Get(p.Name, j.Champion); err != nil {
			return nil, fmt.Errorf("train %s: the champion, to begin with: %w", p.Name, err)
		}
	}
	return studies(ctx, l.Source, p, l.Memory, cmp.Or(j.Run, j.ID), o, champion, j.Watch)
}
