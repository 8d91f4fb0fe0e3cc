package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"andon/event"
	"andon/sinks/clickhouse"
	"andon/sinks/kafka"
	"andon/trainer"
)

// loopDesk is the loop as people and other systems see it: what it decides goes to Kafka, and what people want of it comes from the console.
type loopDesk struct {
	log  *slog.Logger
	said chan event.Decision
	// leads tells whether this replica leads the campaigns.
	leads atomic.Bool
	// means are set once there are any; the console asks before.
	means atomic.Pointer[loopMeans]
}

type loopMeans struct {
	teacher   *trainer.Trainer
	store     *clickhouse.Store
	publisher *kafka.Publisher
	topic     string
	// lead is nil where this replica is alone.
	lead func(ctx context.Context, turn func(leads bool)) error
}

// maxSaid is how many decisions may wait for the brokers; they are in ClickHouse already.
const maxSaid = 256

func newLoopDesk(log *slog.Logger) *loopDesk {
	return &loopDesk{log: log, said: make(chan event.Decision, maxSaid)}
}

// open gives the desk its means, before Run.
func (d *loopDesk) open(m loopMeans) {
	d.leads.Store(m.lead == nil)
	d.means.Store(&m)
}

// tell never blocks.
func (d *loopDesk) tell(e event.Decision) {
	select {
	case d.said <- e:
	default:
		d.log.Warn("a decision is not sent to Kafka: too many wait; the table decisions has it", "pipeline", e.Pipeline, "stage", e.Stage)
	}
}

// Run sends what was decided, until ctx ends and all is sent.
func (d *loopDesk) Run(ctx context.Context) error {
	done, lead := make(chan error, 1), d.means.Load().lead
	go func() {
		if lead == nil {
			<-ctx.Done()
			done <- nil
			return
		}
		done <- lead(ctx, func(leads bool) {
			d.log.Info("who leads the campaigns has changed", "leads", leads)
			d.leads.Store(leads)
		})
	}()
	for {
		select {
		case e := <-d.said:
			d.send(ctx, e)
			continue
		case <-ctx.Done():
		}
		break
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	for {
		select {
		case e := <-d.said:
			d.send(last, e)
			continue
		default:
		}
		return <-done
	}
}

// send publishes a decision as a CloudEvent. Its ID is the same when it is told again.
func (d *loopDesk) send(ctx context.Context, e event.Decision) {
	at := time.Unix(0, e.Time).UTC()
	facts := json.RawMessage(e.Facts)
	if !json.Valid(facts) {
		facts = json.RawMessage("{}")
	}
	js, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": e.Pipeline + "/" + e.Campaign + "/" + at.Format(time.RFC3339Nano), "source": "/andon/loop", "type": "io.andon.decision." + e.Stage + ".v1",
		"subject": e.Pipeline, "time": at, "datacontenttype": "application/json",
		"data": map[string]any{"pipeline": e.Pipeline, "campaign": e.Campaign, "stage": e.Stage, "verdict": e.Verdict, "reason": e.Reason, "champion": e.Champion, "challenger": e.Challenger,
			"who": e.Who, "facts": facts},
	})
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		m := d.means.Load()
		err = m.publisher.Send(ctx, m.topic, []byte(e.Pipeline), js, []event.Header{{Key: "content-type", Value: []byte("application/cloudevents+json")}})
	}
	if err != nil {
		d.log.Warn("a decision was not sent to Kafka; the table decisions has it", "error", err)
	}
}

// Status, Order and Decisions are what the console asks.

func (d *loopDesk) Status() any {
	if m := d.means.Load(); m != nil {
		return m.teacher.Statuses()
	}
	return []trainer.Status{}
}

func (d *loopDesk) Order(pipeline, act, who, why string) error {
	m := d.means.Load()
	if m == nil {
		return errStarting
	}
	if act == "start" {
		return m.teacher.Trigger(pipeline, who, why)
	}
	return m.teacher.Order(pipeline, act, who, why)
}

func (d *loopDesk) Decisions(ctx context.Context, pipeline string, limit int) ([]event.Decision, error) {
	m := d.means.Load()
	if m == nil {
		return nil, errStarting
	}
	return m.store.Decisions(ctx, pipeline, limit)
}
