package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"andon/ingest/dial"
)

// The states of the link.
const (
	stateStarting = "starting"
	stateUp       = "up"
	stateAway     = "away"    // it does not answer; it is tried again
	stateRefused  = "refused" // it answers, and will not have us; it is tried again
)

// link is how the central cluster is.
type link struct {
	trouble dial.Trouble // why connecting failed last

	mu    sync.Mutex
	state string
	since time.Time
	err   error
}

func (l *link) get() (state string, since time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.since, l.err
}

// set changes the state and says so once.
func (u *Uplink) set(state string, err error) {
	l := &u.link
	l.mu.Lock()
	was, since := l.state, l.since
	changed := was != state || fmt.Sprint(l.err) != fmt.Sprint(err)
	if was != state && !(was == stateStarting && state == stateAway) { // who never got through has been away since the start
		l.since = time.Now()
	}
	l.state, l.err = state, err
	l.mu.Unlock()
	if state == stateUp {
		u.metrics.connected.Set(1)
	} else {
		u.metrics.connected.Set(0)
	}
	switch {
	case state == was:
		if changed {
			u.log.Debug("the central cluster", "state", state, "error", err)
		}
	case state == stateUp:
		u.log.Info("the central cluster is reached: records go up", "site", u.cfg.Site, "brokers", strings.Join(u.cfg.Brokers, ","), "after", time.Since(since).Round(time.Millisecond))
	case state == stateRefused:
		u.log.Error("the central cluster refuses this site: records wait in the local log", "site", u.cfg.Site, "error", err)
	default:
		u.log.Warn("the central cluster is away: records wait in the local log", "site", u.cfg.Site, "error", err)
	}
}

// backoff returns waits that double from half a second to the longest, give or take a quarter.
func (u *Uplink) backoff() func() time.Duration {
	d := 250 * time.Millisecond
	return func() time.Duration {
		d = min(2*d, u.cfg.MaxBackoff)
		return d - d/4 + rand.N(d/2)
	}
}

// ping asks the cluster for any answer.
func (u *Uplink) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(u.cfg.Check, 10*time.Second))
	defer cancel()
	err := u.central.Ping(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		if why := u.link.trouble.Err(); why != nil {
			err = why
		}
	}
	return err
}

// errEmbedded is what an embedded broker gets to hear.
var errEmbedded = errors.New("it is the embedded broker of an Andon appliance, whose transactions do not survive a kill: name an Apache Kafka in uplink.brokers")

// reach returns true when the cluster answers and is one that we can send to, false when ctx ends.
func (u *Uplink) reach(ctx context.Context) bool {
	wait := u.backoff()
	for ctx.Err() == nil {
		err := u.ping(ctx)
		if err == nil {
			if err = u.suits(ctx); err == nil {
				u.set(stateUp, nil)
				return true
			}
		}
		if ctx.Err() != nil {
			return false
		}
		advised, permanent := dial.Advise(err)
		if permanent && !dial.Hangup(err) || errors.Is(err, errEmbedded) {
			u.set(stateRefused, ours(advised))
		} else {
			u.set(stateAway, err)
		}
		select {
		case <-time.After(wait()):
		case <-ctx.Done():
		}
	}
	return false
}

// embedded is what the cluster id of an embedded broker begins with.
const embedded = "andon-"

// suits tells whether the cluster keeps transactions.
func (u *Uplink) suits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	meta, err := u.admin().BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	if strings.HasPrefix(meta.Cluster, embedded) {
		return errEmbedded
	}
	return nil
}

// ours names the keys of the uplink in an error that was written for the line's own cluster.
func ours(err error) error {
	if err == nil || !strings.Contains(err.Error(), "kafka.") {
		return err
	}
	return renamed{err}
}

type renamed struct{ error }

func (r renamed) Error() string {
	return strings.NewReplacer("check kafka.", "check uplink.", "and kafka.", "and uplink.").Replace(r.error.Error())
}
func (r renamed) Unwrap() error { return r.error }
