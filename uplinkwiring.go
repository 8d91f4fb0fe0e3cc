package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"andon/console"
	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/sinks/evidence"
	"andon/sinks/kafka/uplink"
)

// settleUplink fills in what goes up where nothing is said, and lets the pipelines publish the scores that do.
func (c *Config) settleUplink() {
	if !c.Uplink.On() {
		return
	}
	if len(c.Uplink.Topics) == 0 {
		for _, name := range []string{c.Topics.Scores, c.Topics.Alerts, c.Topics.Drift, c.Topics.Trainings, c.Topics.DeadLetter} {
			c.Uplink.Topics = append(c.Uplink.Topics, uplink.Topic{From: name})
		}
	}
	if !slices.ContainsFunc(c.Uplink.Topics, func(t uplink.Topic) bool { return t.From == c.Topics.Scores }) {
		return
	}
	for i := range c.Pipelines {
		if c.Pipelines[i].Aggregate == nil {
			c.Pipelines[i].PublishScores = true
		}
	}
}

// keep is what a topic may hold on the embedded broker: what the uplink wants of it, or else bytes.
func (c *Config) keep(topic string, bytes event.Bytes) event.Bytes {
	for _, t := range c.Uplink.Topics {
		if c.Uplink.On() && t.From == topic && t.Keep > 0 {
			return t.Keep
		}
	}
	return bytes
}

// newUplink makes what forwards to the central cluster; nil where there is none. frame fetches a kept frame by its reference.
func newUplink(cfg *Config, at ingest.Config, bus *broker.Broker, frame func(context.Context, string) ([]byte, error), alert func(event.Alert), log *slog.Logger, reg prometheus.Registerer) (*uplink.Uplink, error) {
	if !cfg.Uplink.On() {
		return nil, nil
	}
	for _, b := range cfg.Uplink.Brokers {
		if bus != nil && b == bus.Addr() || slices.Contains(at.Brokers, b) {
			return nil, usage(fmt.Errorf("uplink.brokers: %s is this appliance's own log: name a broker of the central cluster", b))
		}
	}
	deps := uplink.Deps{Brokers: at.Brokers, Security: security(at), Dir: cfg.path("uplink"), Evidence: frame, Alert: alert,
		Refs: func(topic string, value []byte) []string {
			if topic != cfg.Topics.Alerts {
				return nil
			}
			return evidenceRefs(value)
		}}
	if bus != nil {
		deps.Room = bus.Room
	}
	u, err := uplink.New(cfg.Uplink, deps, log, reg)
	if err != nil {
		return nil, usage(fmt.Errorf("uplink: %w", err))
	}
	if bus != nil {
		bus.Keep(u.Kept)
	}
	return u, nil
}

// evidencePath is where the console gives out kept frames, in the JSON of an alert.
var evidencePath = regexp.MustCompile(`"evidence":"[^"]*?/api/v1/evidence/([^"?#]+)`)

// evidenceRefs returns the frames that an alert's record points at.
func evidenceRefs(value []byte) (refs []string) {
	for _, m := range evidencePath.FindAllSubmatch(value, -1) {
		if ref := string(m[1]); !slices.Contains(refs, ref) { // what follows the path is the reference, as it is
			refs = append(refs, ref)
		}
	}
	return refs
}

// keptFrame fetches frames for the uplink.
func keptFrame(frames *evidence.Store) func(context.Context, string) ([]byte, error) {
	return func(ctx context.Context, ref string) ([]byte, error) {
		jpeg, _, err := frames.Get(ctx, ref)
		if errors.Is(err, evidence.ErrNotKept) {
			return nil, uplink.ErrNoEvidence
		}
		return jpeg, err
	}
}

// lifted returns who knows the uplink, nil where there is none.
func (c *Config) lifted(s *statusBoard) func() *console.Uplink {
	if !c.Uplink.On() {
		return nil
	}
	return s.lifted
}

// uplinkView is what the console shows of the uplink.
func uplinkView(u *uplink.Uplink) func() *console.Uplink {
	if u == nil {
		return nil
	}
	return func() *console.Uplink {
		s := u.Status()
		v := &console.Uplink{Site: s.Site, Brokers: s.Brokers, State: s.State, Since: s.Since, Error: s.Error, Waiting: s.Waiting, Lost: s.Lost, Records: s.Records}
		for _, r := range s.Routes {
			v.Routes = append(v.Routes, console.UplinkRoute(r))
		}
		return v
	}
}
