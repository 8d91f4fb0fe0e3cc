// Package uplink forwards topics of the local log to a central Kafka cluster when that can be reached: in order, and exactly once for readers of committed records.
//
// Each local partition has a transactional producer of its own. A transaction holds a stretch of the partition's records and, as the commit of a group in the central
// cluster, how far they reach: what is up and where to go on are never at odds, whenever which side dies. Whoever begins takes the transactional id before it
// asks for the position, so that a predecessor that still lives can end nothing any more. Meanwhile the local log is the buffer: an outage costs disk within its
// bound and nothing else. What that bound drops before it went up is counted, logged and told.
//
// Metrics: andon_uplink_connected, andon_uplink_records_total{topic}, andon_uplink_bytes_total{topic}, andon_uplink_wire_bytes_total, andon_uplink_transactions_total{outcome}
// (committed, failed, renewed), andon_uplink_lag_records{topic}, andon_uplink_held_ratio{topic} (of what the embedded broker may hold of it), andon_uplink_lost_total{topic},
// andon_uplink_cut_total{topic} (value's end left out), andon_uplink_refused_total{topic} (sent without a value), andon_uplink_evidence_total{outcome} (sent, missing, large),
// andon_uplink_evidence_bytes_total.
package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/dial"
	"andon/sinks/kafka"
)

// Deps are the uplink's collaborators. Functions may be nil.
type Deps struct {
	// Brokers and Security reach the local log.
	Brokers  []string
	Security dial.Security
	// Dir is a folder of the uplink's own; see marks.
	Dir string
	// Refs returns what evidence a record of a topic points at, and Evidence fetches one; ErrNoEvidence tells that it is not kept any more.
	Refs     func(topic string, value []byte) []string
	Evidence func(ctx context.Context, ref string) ([]byte, error)
	// Alert tells people. It must not block.
	Alert func(event.Alert)
	// Room returns how many bytes the local log holds of a partition from an offset on, and how many it may hold; false where the local log does not tell.
	Room func(topic string, partition int32, from int64) (held, bound int64, ok bool)
}

// Uplink forwards. Its methods may be called concurrently.
type Uplink struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics

	localOpts, centralOpts []kgo.Opt
	local, central         *kgo.Client // for questions
	out                    *kafka.Publisher
	brake                  *brake
	marks                  *marks
	link                   link
	alive                  atomic.Int64 // when the cluster last took something, Unix nanoseconds
	news                   chan struct{}
	renewAfter             time.Duration

	mu     sync.Mutex
	routes map[key]*route
	order  []*route // as first seen
}

// key names a local partition.
type key struct {
	topic     string
	partition int32
}

// New checks cfg and reads the files that it names; it connects to nothing. reg may be nil.
func New(cfg Config, deps Deps, log *slog.Logger, reg prometheus.Registerer) (*Uplink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u := &Uplink{cfg: cfg, deps: deps, log: log, metrics: newMetrics(reg), routes: map[key]*route{}, news: make(chan struct{}, 1), renewAfter: renewAfter}
	u.brake = newBrake(int64(cfg.Bandwidth), u.metrics.wire)
	var err error
	if u.localOpts, err = dial.Options(deps.Brokers, cfg.ClientID, deps.Security, log); err != nil {
		return nil, fmt.Errorf("the local log: %w", err)
	}
	// The client tells of each attempt to connect. While the cluster is away that is no news: see reach.
	quiet := slog.New(slog.DiscardHandler)
	if u.centralOpts, err = dial.Options(cfg.Brokers, cfg.ClientID, cfg.security(), quiet); err != nil {
		return nil, ours(err)
	}
	u.centralOpts = append(u.centralOpts, kgo.WithHooks(u.brake), kgo.RetryBackoffFn(dial.Backoff))
	if u.local, err = kgo.NewClient(u.localOpts...); err != nil {
		return nil, err
	}
	if u.central, err = kgo.NewClient(append(u.centralOpts[:len(u.centralOpts):len(u.centralOpts)], kgo.RequestRetries(0), kgo.WithHooks(&u.link.trouble))...); err != nil {
		u.local.Close()
		return nil, err
	}
	if u.out, err = kafka.Open(cfg.producer(), nil, quiet, nil); err != nil {
		u.local.Close()
		u.central.Close()
		return nil, ours(err)
	}
	u.marks = openMarks(filepath.Join(deps.Dir, "marks.json"), log)
	u.link.state, u.link.since = stateStarting, time.Now()
	return u, nil
}

// Close lets go of the connections. Run must have returned, or never been called.
func (u *Uplink) Close() error {
	u.local.Close()
	u.central.Close()
	return u.out.Close()
}

// Run forwards until ctx ends; what is under way then is undone by the cluster and sent at the next start. It returns no error: whatever is wrong with the central
// side is told and tried again.
func (u *Uplink) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { u.watch(ctx) })
	for u.reach(ctx) {
		u.session(ctx)
	}
	u.marks.write()
	return nil
}

// session forwards all routes until the cluster is away or ctx ends.
func (u *Uplink) session(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	running := map[*route]bool{}
	tick := time.NewTicker(u.cfg.Check)
	defer tick.Stop()
	for missed := 0; missed < 2; {
		u.mu.Lock()
		for _, r := range u.order {
			if !running[r] && !r.gone.Load() {
				running[r] = true
				work.Go(func() { u.forward(ctx, r) })
			}
		}
		u.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-u.news:
			continue
		case <-tick.C:
		}
		if err := u.ping(ctx); err == nil || time.Since(time.Unix(0, u.alive.Load())) < u.cfg.Check {
			missed = 0
		} else if missed++; missed == 2 && ctx.Err() == nil {
			u.set(stateAway, err)
		}
	}
}

// forward carries a route's records until ctx ends.
func (u *Uplink) forward(ctx context.Context, r *route) {
	wait := u.backoff()
	for ctx.Err() == nil && !r.gone.Load() {
		began := time.Now()
		err := u.carry(ctx, r)
		if ctx.Err() != nil || r.gone.Load() {
			return
		}
		if again := r.again.Swap(false); again { // one record is to blame: the next try is another one
			continue
		}
		if r.fail(err) {
			u.log.Warn("a partition does not go up now and is tried again", "topic", r.topic, "partition", r.partition, "to", r.to, "error", err)
		}
		if time.Since(began) > time.Minute {
			wait = u.backoff()
		}
		select {
		case <-time.After(wait()):
		case <-ctx.Done():
			return
		}
	}
}

// admin asks the central cluster.
func (u *Uplink) admin() *kadm.Client { return kadm.NewClient(u.central) }
