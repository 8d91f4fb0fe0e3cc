package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/event"
	"andon/ingest/decode"
)

// onAssigned runs at the begin of each of the group's generations, before onFetched and onAdjust, which make the new partitions.
//
// A member that the group forgot while it was joining again comes back under a new name, and the client does not call that a loss where it gets the same partitions:
// in between they may have been another's.
func (s *session) onAssigned(ctx context.Context, cl *kgo.Client, added map[string][]int32) {
	member, _ := cl.GroupMetadata()
	for _, p := range s.assigned() {
		if p.member != member {
			s.fail(fmt.Errorf("%w: partition %d was assigned to member %s, which is now %s", errRejoin, p.id, p.member, member))
			return
		}
	}
	if err := s.fence(ctx, added[s.in.source.Topic]); err != nil && ctx.Err() == nil {
		s.fail(err)
	}
}

// onFetched keeps the commits of the partitions that onAdjust will make.
func (s *session) onFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.notes)
	for _, g := range resp.Groups {
		for _, t := range g.Topics { // ours is the only topic that was asked for
			for _, p := range t.Partitions {
				n := note{offset: p.Offset}
				if p.Metadata != nil {
					n.text = *p.Metadata
				}
				s.notes[p.Partition] = n
			}
		}
	}
	return nil
}

// onAdjust opens the new partitions and says where to read them from. The context ends when the group begins to rebalance again: what is not open by then is opened
// in the next generation, if it is still ours.
func (s *session) onAdjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var made []*partition
	err := func() error {
		starts, ends, err := s.listOffsets(ctx)
		if err != nil {
			return err
		}
		for topic, parts := range offsets {
			for id := range parts {
				p, from, err := s.openPartition(ctx, id, starts[id], ends[id])
				if err != nil {
					return err
				}
				made = append(made, p)
				parts[id] = kgo.NewOffset().At(from)
			}
			offsets[topic] = parts
		}
		return nil
	}()
	if err != nil {
		s.lose(made)
		if ctx.Err() == nil && !errors.Is(err, errDraining) {
			s.fail(err)
		}
		return nil, err
	}
	if len(made) > 0 {
		s.log.Info("partitions assigned", "partitions", names(made))
		s.count("assigned", made)
	}
	return offsets, nil
}

// openPartition makes a partition with its handler and starts its goroutine, which waits for records from the returned offset.
func (s *session) openPartition(ctx context.Context, id int32, start, end int64) (*partition, int64, error) {
	in := s.in
	at := event.Position{Topic: in.source.Topic, Partition: id}
	s.mu.Lock()
	committed := s.notes[id]
	old, draining := s.parts[id], s.draining
	s.mu.Unlock()
	if draining {
		return nil, 0, errDraining
	}
	if old != nil {
		s.lose([]*partition{old})
	}
	member, _ := s.cl.GroupMetadata()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &partition{topic: at.Topic, id: id, pipeline: in.pipeline, member: member, log: s.log, metrics: in.metrics, most: in.cfg.BatchRecords,
		finish: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	p.gathers = in.source.Shape == decode.ShapeFrame // the line scores the newest frames of what waits
	p.record.Position = at
	topicPart := map[string][]int32{at.Topic: {id}}
	// A sixteenth of the budget: one partition whose handler hangs leaves room for the others.
	p.queue = newQueue(in.budget, in.budget.limit/16, func() { s.cl.PauseFetchPartitions(topicPart) }, func() { s.cl.ResumeFetchPartitions(topicPart) })
	commit := func(ctx context.Context, next int64, note string) error { return s.commits.commit(ctx, p, next, note) }
	fail := func(err error) (*partition, int64, error) {
		p.drop()
		return nil, 0, err
	}

	if committed.offset < 0 {
		committed = note{offset: start}
		if in.source.Start == StartLatest {
			// Kept at once, or a restart before the first flush would skip what came in between.
			committed.offset = end
			if err := commit(ctx, end, ""); err != nil {
				return fail(err)
			}
		}
	}
	fence, err := s.fenced(ctx, id)
	if err != nil {
		return fail(err)
	}
	at.Offset = committed.offset
	p.until = in.bound(id)
	if committed.offset > end {
		return fail(fmt.Errorf("read %s: the group %s has handled offsets that the log, which ends at %d, does not hold: the topic was made anew or has lost records; "+
			"compare it with what is stored, then set the group's offset, or read under another group", at, in.source.Group, end))
	}
	h, from, err := Handler(over{}), committed.offset, error(nil)
	if committed.offset >= p.until {
		p.reached.Store(true)
	} else {
		h, from, err = in.open(ctx, Assignment{Topic: at.Topic, Partition: id, Committed: committed.offset, Note: committed.text, Commit: commit,
			Transact: func(ctx context.Context, send Send) error { return s.commits.transact(ctx, p, send) }, Fence: fence,
			Read: func(ctx context.Context, offsets []int64) ([]event.Record, error) {
				return reread(ctx, in.cfg, at.Topic, id, offsets, in.log)
			}})
	}
	if err != nil {
		return fail(fmt.Errorf("open %s: %w", at, err))
	}
	if from > committed.offset || from < 0 {
		return fail(fmt.Errorf("open %s: the handler asks to read from %d, which would skip records", at, from))
	}
	if from < start {
		// Handled or not, [from, start) is gone: the first batch says it holds no records. handle counts what was never handled.
		s.log.Warn("the log no longer holds what the handler asks for", "partition", id, "from", from, "start", start, "committed", committed.offset)
	}
	p.handler = h
	if p.decoder, err = decode.New(in.source.Spec); err != nil {
		return fail(err)
	}
	p.next.Store(from)
	p.committed = committed.offset
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining { // drain has listed what it waits for
		return fail(errDraining)
	}
	p.lag, _ = in.metrics.lagOf(in.pipeline, id)
	p.saw(end)
	s.parts[id] = p
	p.fence = fence
	delete(s.fences, id)
	s.spawn(work, p)
	return p, max(from, start), nil
}

// onRevoked gives partitions up in an orderly way: the group waits for the return.
func (s *session) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	s.unfence(revoked[s.in.source.Topic])
	parts := s.find(revoked)
	if len(parts) == 0 {
		return
	}
	s.log.Info("partitions revoked", "partitions", names(parts))
	s.count("revoked", parts)
	// The group's clock began a heartbeat ago.
	s.release(parts, s.in.cfg.RebalanceTimeout-2*s.in.cfg.Heartbeat)
}

// onLost drops partitions that the group has already given to others.
func (s *session) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	s.unfence(lost[s.in.source.Topic])
	parts := s.find(lost)
	if len(parts) == 0 {
		return
	}
	s.log.Warn("partitions lost", "partitions", names(parts))
	s.count("lost", parts)
	s.lose(parts)
}

func (s *session) find(topics map[string][]int32) []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*partition
	for _, id := range topics[s.in.source.Topic] {
		if p := s.parts[id]; p != nil {
			out = append(out, p)
		}
	}
	return out
}

// release lets partitions finish their batch and flush, drops those that have not within the time given, and forgets them.
func (s *session) release(parts []*partition, within time.Duration) {
	for _, p := range parts {
		p.stop()
	}
	late := time.AfterFunc(within, func() {
		for _, p := range parts {
			select {
			case <-p.done:
			default:
				s.log.Warn("partition let go without its last flush, which took too long", "partition", p.id, "within", within)
				p.drop()
			}
		}
	})
	defer late.Stop()
	s.forget(parts)
}

// lose drops partitions at once and forgets them.
func (s *session) lose(parts []*partition) {
	for _, p := range parts {
		p.drop()
	}
	s.forget(parts)
}

// forget waits for the partitions' goroutines and removes them.
func (s *session) forget(parts []*partition) {
	for _, p := range parts {
		<-p.done
		_, remove := s.in.metrics.lagOf(p.pipeline, p.id)
		remove()
		s.mu.Lock()
		if s.parts[p.id] == p {
			delete(s.parts, p.id)
		}
		s.mu.Unlock()
	}
}

func (s *session) count(kind string, parts []*partition) {
	s.in.metrics.rebalances.WithLabelValues(s.in.pipeline, kind).Add(float64(len(parts)))
}

// names lists partitions for people.
func names(parts []*partition) string {
	ids := make([]int32, 0, len(parts))
	for _, p := range parts {
		ids = append(ids, p.id)
	}
	slices.Sort(ids)
	out := ""
	for i, id := range ids {
		if i > 0 {
			out += ","
		}
		out += strconv.Itoa(int(id))
	}
	return out
}

// listOffsets returns where the log of each partition begins and ends; it asks until it has them or ctx ends.
func (s *session) listOffsets(ctx context.Context) (starts, ends map[int32]int64, err error) {
	topic := s.in.source.Topic
	for {
		starts, ends = map[int32]int64{}, map[int32]int64{}
		first, err1 := s.adm.ListStartOffsets(ctx, topic)
		last, err2 := s.adm.ListEndOffsets(ctx, topic)
		if err = errors.Join(err1, err2, first.Error(), last.Error()); err == nil {
			for id, o := range first[topic] {
				starts[id] = o.Offset
			}
			for id, o := range last[topic] {
				ends[id] = o.Offset
			}
			return starts, ends, nil
		}
		if permanent(err) {
			return nil, nil, fmt.Errorf("list the offsets of %s: %w", topic, advise(err))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// watchLag asks for the log's ends, so that the lag of a partition is true also while nothing is fetched from it.
func (s *session) watchLag(ctx context.Context) {
	tick := time.NewTicker(s.in.cfg.LagInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		parts := s.assigned()
		if len(parts) == 0 {
			continue
		}
		ends, err := s.adm.ListEndOffsets(ctx, s.in.source.Topic)
		if err != nil {
			s.log.Debug("list end offsets", "error", err)
			continue
		}
		for _, p := range parts {
			if o, ok := ends.Lookup(s.in.source.Topic, p.id); ok && o.Err == nil {
				p.saw(o.Offset)
			}
		}
	}
}
