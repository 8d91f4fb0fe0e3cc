package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/sinks/kafka"
)

// ErrNoEvidence is what Deps.Evidence returns for a reference that leads nowhere any more.
var ErrNoEvidence = errors.New("it is not kept any more")

const (
	// batchRecords bounds a transaction's records beside its bytes.
	batchRecords = 10_000
	// renewAfter is how long the cluster is not told of a position that does not move; it forgets those of a day at the earliest.
	renewAfter = 12 * time.Hour
	// evidenceWait is how old an alert is when what it points at must be kept.
	evidenceWait = 3 * time.Second
	// idle is how often a route that has nothing to send looks up.
	idle = time.Minute
)

// carry shuts out whoever carried the route before, asks the cluster how far it is, and sends until an error. After one nothing of what was under way is up, or
// all of it: the position tells.
func (u *Uplink) carry(ctx context.Context, r *route) error {
	if err := u.ensure(ctx, r); err != nil {
		return err
	}
	at := u.cfg.place(r.topic, r.to, r.partition)
	tr, err := u.out.Begin(ctx, at, spread(), kgo.WithHooks(u.brake))
	if err != nil {
		if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
			err = fmt.Errorf("the central cluster refuses the transactional id %s: if that is an Andon appliance's embedded broker, %w; "+
				"on Apache Kafka, let this user write with the ids that begin with %q and read the groups of that name", at.ID, errEmbedded, u.cfg.groups())
		}
		return ours(err)
	}
	defer tr.Close()
	next, note, err := tr.Committed(ctx)
	if err != nil {
		return ours(err)
	}
	p, err := u.resume(ctx, r, next, note)
	if err != nil {
		return err
	}
	r.resumed(p.Next)
	in, err := u.open(r, p.Next)
	if err != nil {
		return err
	}
	defer in.client.Close()
	for {
		if time.Since(r.renewedAt()) > u.renewAfter && next >= 0 {
			if err := tr.Renew(ctx, p.Next, p.note()); err != nil {
				return ours(err)
			}
			u.metrics.transactions.WithLabelValues("renewed").Inc()
			r.committed(p.Next, 0)
			r.again.Store(true) // the producer is of no use any more
			return nil
		}
		count := batchRecords
		if r.single > 0 || r.stub >= 0 {
			count = 1
		}
		batch, err := in.gather(ctx, u.brake.most(int64(u.cfg.Batch)), count, u.cfg.Interval, min(idle, u.renewAfter))
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		if err := u.brake.wait(ctx); err != nil {
			return err
		}
		if p, err = u.send(ctx, tr, r, in, p, batch); err != nil {
			return err
		}
		next = p.Next
		if r.single > 0 {
			r.single--
		}
	}
}

func (r *route) renewedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.renewed
}

// send makes one transaction of a batch, or of its begin where evidence makes it too large, and returns the place that it has reached.
func (u *Uplink) send(ctx context.Context, tr *kafka.Transactor, r *route, in *reader, p place, batch []*kgo.Record) (place, error) {
	var out []*kgo.Record
	var bytes int64
	var refs []string
	cuts := 0
	now := p
	taken := 0
	for _, rec := range batch {
		var lost int64
		if rec.Offset > now.Next {
			start, err := u.start(ctx, r)
			if err != nil {
				return p, err
			}
			if lost = min(start, rec.Offset) - now.Next; lost > 0 {
				u.lose(r, now.Next, now.Next+lost)
			} else {
				lost = 0 // a transaction's marker, or an aborted one's records
			}
		}
		why := ""
		if rec.Offset == r.stub {
			why = r.why
		}
		up, cut := u.lift(r, rec, now.Last, lost, why, int(u.cfg.MaxRecord))
		pieces, found, err := u.evidence(ctx, r, rec, up, refs)
		if err != nil {
			return p, err
		}
		n := int64(size(up))
		for _, piece := range pieces {
			n += int64(size(piece))
		}
		if taken > 0 && len(pieces) > 0 && bytes+n > int64(u.cfg.Batch) {
			break
		}
		out, bytes, refs = append(append(out, up), pieces...), bytes+n, append(refs, found...)
		if cut {
			cuts++
		}
		now = place{Log: p.Log, Next: rec.Offset + 1, Last: rec.Offset, Lost: now.Lost + lost}
		taken++
	}
	in.back(batch[taken:])
	now.Next = max(now.Next, in.through()) // markers behind the last record
	err := tr.Send(ctx, out, now.Next, now.note())
	if err != nil {
		if ctx.Err() == nil {
			u.metrics.transactions.WithLabelValues("failed").Inc()
		}
		u.blame(r, batch[:taken], err)
		return p, ours(err)
	}
	u.alive.Store(time.Now().UnixNano())
	central := map[int32]int64{}
	for _, o := range out {
		if o.Topic == r.to {
			central[o.Partition] = o.Offset + 1
		} else {
			u.metrics.evidenceBytes.Add(float64(len(o.Value)))
		}
	}
	u.metrics.evidence.WithLabelValues("sent").Add(float64(len(refs)))
	u.marks.set(r.key, r.to, now, central)
	r.committed(now.Next, taken)
	for _, ref := range refs {
		r.sent.add(ref)
	}
	u.metrics.transactions.WithLabelValues("committed").Inc()
	u.metrics.records.WithLabelValues(r.topic).Add(float64(taken))
	u.metrics.bytes.WithLabelValues(r.topic).Add(float64(bytes))
	u.metrics.cut.WithLabelValues(r.topic).Add(float64(cuts))
	if batch[0].Offset == r.stub {
		u.metrics.refused.WithLabelValues(r.topic).Inc()
		u.log.Error("the central cluster would not have a record: it is there without its value", "topic", r.topic, "partition", r.partition, "offset", r.stub, "why", r.why)
		u.alert("refused/"+r.key.String(), event.SeverityWarning, fmt.Sprintf("The central cluster refused record %s@%d", r.key, r.stub), "It is there without its value: "+r.why, false)
		r.stub = -1
	}
	return now, nil
}

// blame finds out which record of a batch was refused for its own sake: they are sent one by one, and the one that is refused again goes up without its value.
func (u *Uplink) blame(r *route, batch []*kgo.Record, err error) {
	own := false
	for _, e := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp} {
		own = own || errors.Is(err, e)
	}
	switch {
	case !own, batch[0].Offset == r.stub:
		return // a stub that is refused is nobody's fault but the topic's
	case len(batch) > 1:
		r.single = len(batch)
	default:
		r.stub, r.why, r.single = batch[0].Offset, err.Error(), 0
	}
	r.again.Store(true)
}

// evidence returns the records of what rec points at and the references that they hold, but those that are under way or were sent not long ago. What cannot go up is named in up's headers.
func (u *Uplink) evidence(ctx context.Context, r *route, rec, up *kgo.Record, under []string) (pieces []*kgo.Record, refs []string, err error) {
	if u.cfg.Evidence.Topic == "" || u.deps.Refs == nil || u.deps.Evidence == nil {
		return nil, nil, nil
	}
	for _, ref := range u.deps.Refs(r.topic, rec.Value) {
		if r.sent.has[ref] || slices.Contains(under, ref) { // told again of the same matter
			continue
		}
		data, err := u.fetch(ctx, rec, ref)
		outcome, why := "", ""
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.Is(err, ErrNoEvidence):
			outcome, why = "missing", err.Error()
		case err != nil:
			return nil, nil, fmt.Errorf("the evidence %s of %s@%d: %w", ref, r.key, rec.Offset, err)
		case len(data) > int(u.cfg.Evidence.Max):
			outcome, why = "large", fmt.Sprintf("its %d bytes are more than uplink.evidence.max", len(data))
		}
		if why != "" {
			u.metrics.evidence.WithLabelValues(outcome).Inc()
			up.Headers = append(up.Headers, kgo.RecordHeader{Key: HeaderMissing, Value: clip([]byte(ref+": "+why), 1<<10)})
			continue
		}
		pieces, refs = append(pieces, u.chunks(r, rec, ref, data)...), append(refs, ref)
	}
	return pieces, refs, nil
}

// fetch waits for a piece that is not kept yet: an alert is told at once, its frame is written meanwhile.
func (u *Uplink) fetch(ctx context.Context, rec *kgo.Record, ref string) ([]byte, error) {
	for {
		data, err := u.deps.Evidence(ctx, ref)
		if !errors.Is(err, ErrNoEvidence) || time.Since(rec.Timestamp) > evidenceWait {
			return data, err
		}
		select {
		case <-time.After(evidenceWait / 10):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// resume says where to go on, by what the cluster has committed; next is -1 where it has nothing.
func (u *Uplink) resume(ctx context.Context, r *route, next int64, note string) (place, error) {
	if next >= 0 {
		p, err := placeOf(next, note)
		if err != nil {
			return p, fmt.Errorf("the group %s: %w: was it made by another program? delete it, or give the site another name", u.cfg.place(r.topic, r.to, r.partition).Group, err)
		}
		if p.Log == r.log {
			return p, nil
		}
		u.log.Warn("the local log is another one than was last forwarded: it goes up from its begin", "topic", r.topic, "partition", r.partition, "was", p.Log, "is", r.log)
	} else if m, ok := u.marks.get(r.key); ok && m.To == r.to && m.Log == r.log {
		p, err := u.search(ctx, r, m)
		if err != nil {
			return p, err
		}
		u.log.Warn("the central cluster has forgotten how far this partition is up; what it holds tells", "topic", r.topic, "partition", r.partition, "next", p.Next)
		return p, nil
	}
	start, err := u.start(ctx, r) // what was let go of before there was an uplink is not lost to it
	return place{Log: r.log, Next: start, Last: -1}, err
}

// search looks for the last record of a route in the central topic, from where the mark says on.
func (u *Uplink) search(ctx context.Context, r *route, m mark) (place, error) {
	p := m.place
	from := m.Central
	if from == nil {
		from = map[int32]int64{}
	}
	err := scan(ctx, u.centralOpts, r.to, from, func(rec *kgo.Record) {
		if o, ok := originOf(rec); ok && o.site == u.cfg.Site && o.key == r.key && o.log == r.log && o.offset >= p.Next {
			p.Next, p.Last, p.Lost = o.offset+1, o.offset, p.Lost+max(o.lost, 0)
		}
	})
	return p, ours(err)
}
