package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"andon/console"
	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/sinks/alerts"
	"andon/sinks/alerts/bottlenecks"
	"andon/sinks/alerts/rules"
	"andon/sinks/kafka"
)

// Room for the journal of alerts on the embedded broker: the newest changes of 20,000 matters or so; older ones are in ClickHouse.
const alertBytes = 32 << 20

// openAlerts gives the desk its journal and what it delivers with. An appliance that cannot have the journal delivers all the same, and says so.
func openAlerts(ctx context.Context, cfg *Config, desk *alerts.Desk, bus *broker.Broker, at ingest.Config, publisher *kafka.Publisher, store alerts.Store, screen *console.Console, links string, undo *closers, log *slog.Logger) {
	deps := alerts.Deps{Store: store, Watch: screen.Alert, Links: links, Instance: at.InstanceID,
		Publish: func(ctx context.Context, topic, key string, value []byte, headers []event.Header) error {
			return publisher.Send(ctx, topic, []byte(key), value, headers)
		}}
	journal, err := alertJournal(ctx, cfg, bus, at, publisher, log)
	if err == nil {
		undo.add(journal.Close)
		deps.Journal = journal
		if bus == nil { // a cluster may have several of us
			deps.Lead = publisher.Lead(cfg.Topics.Alerts, "andon.alerts", at.InstanceID, log)
		}
		err = desk.Open(ctx, deps)
	} else {
		_ = desk.Open(ctx, deps)
	}
	if err != nil {
		log.Error("alerts are forgotten at the end of this process, and each replica delivers its own: make the topic with one partition, compacted, and start again", "topic", cfg.Topics.Alerts, "error", err)
	}
}

func alertJournal(ctx context.Context, cfg *Config, bus *broker.Broker, at ingest.Config, publisher *kafka.Publisher, log *slog.Logger) (*kafka.Journal, error) {
	topic := cfg.Topics.Alerts
	var err error
	if bus != nil {
		err = bus.EnsureTopics(ctx, broker.Topic{Name: topic, Partitions: 1, Bytes: cfg.keep(topic, alertBytes), Retention: -1})
	} else if at.CreateTopics {
		err = ingest.EnsureTopics(ctx, at, []ingest.Topic{{Name: topic, Partitions: 1, Compact: true}}, log)
	}
	if err != nil {
		return nil, err
	}
	return publisher.Journal(topic, log)
}

// scoreRules are the rules of the pipelines that have one on their scores.
func scoreRules(cfg *Config, desk *alerts.Desk) *rules.Rules {
	all := map[string]rules.Config{}
	for i := range cfg.Pipelines {
		if p := &cfg.Pipelines[i]; p.Alerts != nil {
			all[p.Name] = *p.Alerts
		}
	}
	return rules.New(all, desk.Raise, desk.Firing)
}

// newBottlenecks watches the appliance's own metrics. Of several replicas each tells of its own.
func newBottlenecks(cfg *Config, desk *alerts.Desk, from prometheus.Gatherer, instance string, log *slog.Logger) *bottlenecks.Watch {
	where := ""
	if !cfg.embeddedBroker() {
		where = instance
	}
	free := func() (uint64, error) {
		var s unix.Statfs_t
		if err := unix.Statfs(cfg.Data, &s); err != nil {
			return 0, err
		}
		return s.Bavail * uint64(s.Bsize), nil
	}
	open := func() (ids []string) {
		list, _ := desk.List(alerts.Filter{State: "open", Kind: event.AlertBottleneck})
		for _, m := range list {
			if m.Labels["replica"] == where {
				ids = append(ids, m.ID)
			}
		}
		return ids
	}
	return bottlenecks.New(cfg.Bottlenecks, from, free, desk.Raise, open, where, log)
}
