package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"andon/event"
)

// fullWarn is how full what the local log may hold must be until people are told, and fullOver when it is over.
const (
	fullWarn = 0.8
	fullOver = 0.6
)

// watch looks at the local log until ctx ends, whether or not the central cluster is there: which partitions there are, how much waits in them, and what was let go of.
func (u *Uplink) watch(ctx context.Context) {
	tick := time.NewTicker(u.cfg.Check)
	defer tick.Stop()
	full, told := map[string]bool{}, false
	for {
		if err := u.look(ctx); err != nil && ctx.Err() == nil {
			u.log.Debug("the local log is not seen now", "error", err)
		}
		u.tellFull(full)
		state, since, err := u.link.get()
		if away := state != stateUp; away != told && (!away || time.Since(since) > u.cfg.TellAfter || state == stateRefused) {
			told = away
			detail := "Records wait in the local log and go up when it is reached again."
			if err != nil {
				detail += " " + err.Error()
			}
			u.alert("away", event.SeverityWarning, fmt.Sprintf("The central cluster is not reached from %s since %s", u.cfg.Site, since.UTC().Format(time.RFC3339)), detail, !away)
		}
		u.marks.write()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks the local log once.
func (u *Uplink) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	adm := kadm.NewClient(u.local)
	var names []string
	to := map[string]string{}
	for _, t := range u.cfg.Topics {
		names = append(names, t.From)
		to[t.From] = u.cfg.Central(t)
	}
	meta, err := adm.Metadata(ctx, names...)
	if err != nil {
		return err
	}
	var there []string
	for _, name := range names {
		t := meta.Topics[name]
		if t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, t.Err))
		}
		if t.Err != nil || len(t.Partitions) == 0 {
			continue // nobody has written to it yet
		}
		there = append(there, name)
		for id := range t.Partitions {
			u.know(key{name, id}, to[name], logID(t.ID), int32(len(t.Partitions)))
		}
	}
	if len(there) == 0 {
		return err
	}
	starts, err1 := adm.ListStartOffsets(ctx, there...)
	ends, err2 := adm.ListCommittedOffsets(ctx, there...)
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	lag, held := map[string]float64{}, map[string]float64{}
	for _, r := range u.known() {
		start, ok1 := starts.Lookup(r.topic, r.partition)
		end, ok2 := ends.Lookup(r.topic, r.partition)
		if !ok1 || !ok2 || start.Err != nil || end.Err != nil {
			continue
		}
		r.mu.Lock()
		r.start, r.end = start.Offset, max(end.Offset, r.next)
		next := r.next
		r.mu.Unlock()
		if next >= 0 && start.Offset > next {
			u.lose(r, next, start.Offset)
		}
		waits := max(0, r.end-max(next, start.Offset))
		lag[r.topic] += float64(waits)
		if u.deps.Room != nil {
			if bytes, bound, ok := u.deps.Room(r.topic, r.partition, max(next, start.Offset)); ok && bound > 0 {
				if waits == 0 {
					bytes = 0
				}
				r.mu.Lock()
				r.held, r.room = bytes, bound
				r.mu.Unlock()
				held[r.topic] = max(held[r.topic], float64(bytes)/float64(bound))
			}
		}
	}
	for name, n := range lag {
		u.metrics.lag.WithLabelValues(name).Set(n)
	}
	for name, n := range held {
		u.metrics.held.WithLabelValues(name).Set(n)
	}
	return nil
}

// know adds a route that was not seen before; one whose topic was made anew replaces that of the old one.
func (u *Uplink) know(k key, to, log string, count int32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if old := u.routes[k]; old != nil {
		if old.log == log {
			return
		}
		old.gone.Store(true)
		u.log.Warn("a local topic was made anew", "topic", k.topic, "partition", k.partition)
	}
	r := &route{key: k, to: to, log: log, count: count, next: -1, stub: -1}
	if m, ok := u.marks.get(k); ok && m.To == to && m.Log == log {
		r.next = m.Next
	}
	u.routes[k] = r
	u.order = append(u.order, r)
	select {
	case u.news <- struct{}{}:
	default:
	}
}

// known returns the routes in the order in which they were seen.
func (u *Uplink) known() (all []*route) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range u.order {
		if !r.gone.Load() {
			all = append(all, r)
		}
	}
	return all
}

// lose tells that the local log let go of [from, to) before it was up. What was told before is not told again.
func (u *Uplink) lose(r *route, from, to int64) {
	r.mu.Lock()
	from = max(from, r.told)
	n := to - from
	if n > 0 {
		r.told, r.lost = to, r.lost+n
	}
	r.mu.Unlock()
	if n <= 0 {
		return
	}
	u.metrics.lost.WithLabelValues(r.topic).Add(float64(n))
	u.log.Error("records were let go of by the local log before they were up: the outage has outlasted its bound", "topic", r.topic, "partition", r.partition,
		"first", from, "next", to, "offsets", n)
	u.alert("lost/"+r.topic, event.SeverityCritical, fmt.Sprintf("Records of %s will never reach the central cluster", r.topic),
		fmt.Sprintf("The local log let go of offsets %d to %d of partition %d before they were up. Give the topic more room (uplink.topics keep), or mend the line.", from, to-1, r.partition), false)
}

// tellFull warns while there is still time. full holds the topics of which people were told.
func (u *Uplink) tellFull(full map[string]bool) {
	worst := map[string]float64{}
	for _, r := range u.known() {
		r.mu.Lock()
		if r.room > 0 {
			worst[r.topic] = max(worst[r.topic], float64(r.held)/float64(r.room))
		}
		r.mu.Unlock()
	}
	for topic, ratio := range worst {
		if now := ratio > fullWarn || full[topic] && ratio > fullOver; now != full[topic] {
			full[topic] = now
			title := fmt.Sprintf("%.0f %% of the local room of %s waits to go up", 100*ratio, topic)
			if now {
				u.log.Warn("the local log will soon let go of records that are not up", "topic", topic, "full", ratio)
			}
			u.alert("full/"+topic, event.SeverityWarning, title, "Beyond it the oldest are let go of. Mend the line to the central cluster, or give the topic more room (uplink.topics keep).", !now)
		}
	}
}

// alert tells people of a matter of the uplink.
func (u *Uplink) alert(matter, severity, title, detail string, over bool) {
	if u.deps.Alert == nil {
		return
	}
	now := time.Now().UnixNano()
	u.deps.Alert(event.Alert{ID: "uplink/" + u.cfg.Site + "/" + matter, Kind: event.AlertBottleneck, Severity: severity, Title: title, Detail: detail,
		Labels: map[string]string{"site": u.cfg.Site}, Since: now, Time: now, Resolved: over})
}

// Kept returns from which offset on a partition of the local log is still to go up; false for one that does not. Where it is not known how far it is, all of it is.
func (u *Uplink) Kept(topic string, partition int32) (from int64, ok bool) {
	u.mu.Lock()
	r := u.routes[key{topic, partition}]
	u.mu.Unlock()
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		return max(r.next, 0), true
	}
	for _, t := range u.cfg.Topics {
		if t.From == topic {
			return 0, true
		}
	}
	return 0, false
}
