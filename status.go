package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"andon/console"
	"andon/event"
	"andon/model"
	"andon/trainer"
)

// statusBoard is what the appliance says of itself, for the page and the health checks.
type statusBoard struct {
	started time.Time
	demo    bool
	cfg     *Config
	models  *model.Registry
	up      atomic.Bool

	mu       sync.Mutex
	parts    []console.Component
	learning map[string]event.Training
	at       map[string]string
	teacher  *trainer.Trainer
	devices  func() []console.Device
	uplink   func() *console.Uplink
	lines    []intake
}

// teach is told of the trainer once there is one.
func (s *statusBoard) teach(t *trainer.Trainer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.teacher = t
}

// watch is told who knows the devices.
func (s *statusBoard) watch(devices func() []console.Device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices = devices
}

// lift is told who knows the uplink.
func (s *statusBoard) lift(uplink func() *console.Uplink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uplink = uplink
}

// lifted returns how the uplink is, nil while that is not known.
func (s *statusBoard) lifted() *console.Uplink {
	s.mu.Lock()
	f := s.uplink
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f()
}

// train asks for a run of a pipeline.
func (s *statusBoard) train(pipeline string) error {
	s.mu.Lock()
	t := s.teacher
	s.mu.Unlock()
	if t == nil {
		return errStarting
	}
	return t.Trigger(pipeline, "console", "asked by hand")
}

// set tells how a part is.
func (s *statusBoard) set(name string, ready bool, detail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.parts {
		if s.parts[i].Name == name {
			s.parts[i].Ready, s.parts[i].Detail = ready, detail
			return
		}
	}
	s.parts = append(s.parts, console.Component{Name: name, Ready: ready, Detail: detail})
}

// where tells the addresses.
func (s *statusBoard) where(at addresses) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = map[string]string{"console": at.Console, "kafka": at.Kafka}
	if at.ClickHouseNative != "" {
		s.at["clickhouse_native"], s.at["clickhouse_http"] = at.ClickHouseNative, at.ClickHouseHTTP
	}
}

// watchStore asks ClickHouse every few seconds whether it is there, and tells the board, until ctx ends.
func watchStore(ctx context.Context, store interface {
	Query(ctx context.Context, sql string, limit int) (*event.Table, error)
}, board *statusBoard, where string) error {
	const every, patience = 3 * time.Second, 10 * time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		asked, cancel := context.WithTimeout(ctx, patience)
		_, err := store.Query(asked, "SELECT 1", 1)
		cancel()
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, context.DeadlineExceeded):
			board.set("clickhouse", false, fmt.Sprintf("%s does not answer within %v", where, patience))
		case err != nil:
			board.set("clickhouse", false, err.Error())
		default:
			board.set("clickhouse", true, where)
		}
	}
}

// training remembers what is being learned.
func (s *statusBoard) training(t event.Training) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.learning == nil {
		s.learning = map[string]event.Training{}
	}
	s.learning[t.Pipeline] = t
}

// taskAggregate stands for the task of a pipeline that ends at the values of its windows.
const taskAggregate = "aggregate"

// status is asked once a second.
func (s *statusBoard) status() console.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := console.Status{Version: version, Started: s.started, Demo: s.demo, Addresses: s.at, Components: append([]console.Component(nil), s.parts...)}
	if s.devices != nil {
		st.Devices = s.devices()
	}
	if s.uplink != nil {
		st.Uplink = s.uplink()
		st.Uplink.Routes = nil
	}
	for i := range s.cfg.Pipelines {
		p := &s.cfg.Pipelines[i]
		recipe := p.recipe()
		view := console.Pipeline{Name: p.Name, Topic: p.Source.Topic, Signals: recipe.Signals, Grid: recipe.Grid, Length: recipe.Length}
		if p.Aggregate != nil { // it has no model and waits for none
			a := p.Aggregate.Settled(p.Source.Columns())
			view.Task, view.Signals, view.Grid, view.Length = taskAggregate, a.Signals, a.Size, 1
		}
		if p.Model != nil {
			view.Task = string(p.Model.Task)
		}
		if p.Detector != nil {
			s.detectedView(p, &view)
		} else if s.models != nil {
			if m := s.models.Live(p.Name); m != nil {
				view.Task, view.Unit, view.Horizon = string(m.Task), m.Unit, m.Horizon
				view.Model, view.Trained, view.Metrics = m.Version, m.Lineage.Trained, m.Metrics
			}
		}
		st.Pipelines = append(st.Pipelines, view)
	}
	return st
}

// ready is nil when every part is there; a pipeline without a model yet is ready, for it stores what comes.
func (s *statusBoard) ready() error {
	if !s.up.Load() {
		return errors.New("the appliance is starting")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.parts {
		if !p.Ready {
			errs = append(errs, fmt.Errorf("%s: %s", p.Name, p.Detail))
		}
	}
	return errors.Join(errs...)
}
