package main

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/ingest"
	"andon/processors"
	"andon/sinks/alerts"
	"andon/sinks/alerts/absence"
)

// backlog is from how many records behind on a partition reads what waited, and when its records came says nothing.
const backlog = 1000

// newAbsence watches for who sends nothing any more. Of several replicas each sees its own partitions, and tells of its own.
func newAbsence(cfg *Config, desk *alerts.Desk, from prometheus.Gatherer, instance string, log *slog.Logger) *absence.Watch {
	all := map[string]absence.Config{}
	for i := range cfg.Pipelines {
		all[cfg.Pipelines[i].Name] = absence.Default()
		if c := cfg.Pipelines[i].Absent; c != nil {
			all[cfg.Pipelines[i].Name] = *c
		}
	}
	where := ""
	if !cfg.embeddedBroker() {
		where = instance
	}
	open := func() []*event.Matter {
		list, _ := desk.List(alerts.Filter{State: "open", Kind: event.AlertAbsent})
		return list
	}
	return absence.New(all, desk.Raise, open, func() func(string, int32) bool { return behind(from) }, where, log)
}

// behind reads which partitions have a backlog. Where that cannot be read none has.
func behind(from prometheus.Gatherer) func(pipeline string, partition int32) bool {
	type place struct{ pipeline, partition string }
	late := map[place]bool{}
	families, _ := from.Gather()
	for _, f := range families {
		if f.GetName() != "andon_ingest_lag_records" {
			continue
		}
		for _, m := range f.GetMetric() {
			var at place
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "pipeline":
					at.pipeline = l.GetValue()
				case "partition":
					at.partition = l.GetValue()
				}
			}
			late[at] = m.GetGauge().GetValue() >= backlog
		}
	}
	return func(pipeline string, partition int32) bool {
		return late[place{pipeline, strconv.Itoa(int(partition))}]
	}
}

// attendance is a partition's line with a seat from which its assets are seen.
type attendance struct {
	*processors.Pipeline
	seat *absence.Seat
}

// attended puts a seat before a line; none where nobody is missed.
func attended(p *processors.Pipeline, seat *absence.Seat) ingest.Handler {
	if seat == nil || p == nil {
		return p
	}
	return &attendance{p, seat}
}

func (a *attendance) Handle(ctx context.Context, b *event.Batch) error {
	a.seat.Begin(b)
	defer a.seat.End()
	return a.Pipeline.Handle(ctx, b)
}

func (a *attendance) Flush(ctx context.Context) error {
	a.seat.Hold()
	defer a.seat.End()
	return a.Pipeline.Flush(ctx)
}

func (a *attendance) Tend(ctx context.Context) error {
	a.seat.Hold()
	defer a.seat.End()
	return a.Pipeline.Tend(ctx)
}

func (a *attendance) Close() {
	a.seat.Close()
	a.Pipeline.Close()
}

// retiring tells the watch of lives that have ended, beside who is told of labels anyway.
func retiring(next func([]event.Label), missing *absence.Watch) func([]event.Label) {
	return func(all []event.Label) {
		next(all)
		for i := range all {
			if l := &all[i]; l.Kind == event.KindFailure && !l.Withdrawn {
				missing.Retire(l.Pipeline, l.Asset, max(l.Time, l.Until))
			}
		}
	}
}
