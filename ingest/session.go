package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is the life of one client: it joins the group once and ends when the program does, or when the group has thrown the member out.
//
// Locks: mu guards the maps and is held for moments only, never while a partition is waited for. The client runs its callbacks (onAssigned, onFetched, onAdjust,
// onRevoked, onLost) one after the other, and never between a poll and AllowRebalance.
type session struct {
	in      *Intake
	log     *slog.Logger
	cl      *kgo.Client
	adm     *kadm.Client
	commits *committer

	// spawn starts a partition's goroutine; stop ends the polling.
	spawn  func(work context.Context, p *partition)
	stop   context.CancelFunc
	warned time.Time // by the poll

	mu       sync.Mutex
	err      error // the first failure
	parts    map[int32]*partition
	notes    map[int32]note      // of the offset fetch under way
	fences   map[int32]io.Closer // of partitions that are not open yet
	draining bool
}

// note is what the group knows of a partition.
type note struct {
	offset int64 // negative when there is no commit
	text   string
}

// run joins the group and reads until ctx ends or something fails. It returns nil in the first case, and otherwise the failure.
func (in *Intake) run(ctx context.Context) error {
	s := &session{in: in, log: in.log, parts: map[int32]*partition{}, notes: map[int32]note{}, fences: map[int32]io.Closer{}}
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	id, err := awaitTopic(ctx, in.cfg, in.source.Topic, in.reached, s.log)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	in.reached = true
	// The client outlives ctx, so that the last flush can still commit; it is cut short only when it does not leave in time.
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	if err := s.dial(life, id); err != nil {
		return err
	}
	var workers, helpers sync.WaitGroup
	s.spawn = func(work context.Context, p *partition) {
		workers.Go(func() {
			if err := p.run(work); err != nil {
				s.fail(err)
			}
		})
	}
	defer helpers.Wait()
	defer s.unfence(nil)
	defer s.leave(cut)
	helpers.Go(func() { s.commits.run(life) })
	helpers.Go(func() { s.watchLag(ctx) })
	if in.until != nil {
		helpers.Go(func() { s.watchEnd(ctx) })
	}
	in.setSession(s)
	defer in.setSession(nil)

	s.cl.AddConsumeTopics(in.source.Topic)
	s.poll(ctx)
	s.drain()
	workers.Wait()
	return s.failure()
}

// dial makes the client; nothing is sent yet.
func (s *session) dial(life context.Context, topicID [16]byte) error {
	cfg := s.in.cfg
	opts, err := connection(cfg, s.log)
	if err != nil {
		return err
	}
	// What waits inside the client is not in the budget: a quarter of it at most. A partition's part is a quarter of what may wait of it, because a pause throws
	// away what the client holds.
	sizer := newFetchSizer(min(int64(cfg.Fetch), s.in.budget.limit/4), min(int64(cfg.FetchPartition), s.in.budget.limit/64))
	opts = append(opts, consumer(cfg, s.in.source.Group, sizer)...)
	opts = append(opts, kgo.AlwaysRetryEOF()) // awaitTopic has been answered, so a hangup is no refusal
	opts = append(opts, kgo.WithContext(life), kgo.OnPartitionsAssigned(s.onAssigned), kgo.OnOffsetsFetched(s.onFetched), kgo.AdjustFetchOffsetsFn(s.onAdjust),
		kgo.OnPartitionsRevoked(s.onRevoked), kgo.OnPartitionsLost(s.onLost))
	if s.cl, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	sizer.ask = s.cl.UpdateFetchMaxBytes
	s.adm = kadm.NewClient(s.cl)
	s.commits = &committer{cl: s.cl, group: s.in.source.Group, topic: s.in.source.Topic, topicID: topicID, requests: make(chan *commitRequest),
		patience: 3 * cfg.Heartbeat, settling: cfg.RebalanceTimeout}
	if cfg.InstanceID != "" {
		s.commits.instance = &cfg.InstanceID
	}
	return nil
}

// fail ends the session with an error. A fenced partition means that the group has thrown the member out, or soon tells it so: all of its partitions are as stale
// as this one.
func (s *session) fail(err error) {
	if errors.Is(err, ErrFenced) && !errors.Is(err, errInstance) {
		err = fmt.Errorf("%w: %w", errRejoin, err)
	}
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.stop()
}

func (s *session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// poll passes what is fetched to the partitions until ctx ends.
func (s *session) poll(ctx context.Context) {
	defer s.cl.AllowRebalance()
	for ctx.Err() == nil {
		if s.in.budget.wait(ctx) != nil {
			return
		}
		fetches := s.cl.PollFetches(ctx)
		received := time.Now().UnixNano()
		for _, f := range fetches {
			for i := range f.Topics {
				for _, p := range f.Topics[i].Partitions {
					s.take(f.Topics[i].Topic, p, received)
				}
			}
		}
		s.cl.AllowRebalance()
	}
}

// take passes on one partition's part of a fetch.
func (s *session) take(topic string, f kgo.FetchPartition, received int64) {
	if f.Err != nil {
		s.fetchError(topic, f)
	}
	s.mu.Lock()
	p := s.parts[f.Partition]
	s.mu.Unlock()
	if p == nil || topic != s.in.source.Topic {
		return
	}
	if len(f.Records) == 0 {
		p.saw(f.HighWatermark)
		return
	}
	cost := int64(0)
	for _, r := range f.Records {
		cost += int64(size(r)) + recordCost
	}
	p.queue.push(piece{records: f.Records, start: f.LogStartOffset, end: f.HighWatermark, received: received, cost: cost})
}

// fetchError sorts what the client could not mend by itself.
func (s *session) fetchError(topic string, f kgo.FetchPartition) {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(f.Err, context.Canceled), errors.Is(f.Err, context.DeadlineExceeded), errors.Is(f.Err, kgo.ErrClientClosed):
	case errors.As(f.Err, &loss):
		s.fail(fmt.Errorf("read %s/%d: %w: compare the topic with what is stored, then set the group's offset", topic, f.Partition, f.Err))
	case passing(f.Err):
		if time.Since(s.warned) > 5*time.Second {
			s.warned = time.Now()
			s.log.Warn("reading is interrupted and goes on when the broker does", "partition", f.Partition, "error", f.Err)
		}
	case topic == "":
		s.fail(advise(f.Err))
	default:
		s.fail(fmt.Errorf("read %s/%d: %w", topic, f.Partition, advise(f.Err)))
	}
}

// drain lets all partitions finish what they have in hand and flush, within DrainTimeout; fenced, it drops them.
func (s *session) drain() {
	s.mu.Lock()
	s.draining = true // no partition is taken on any more
	s.mu.Unlock()
	if left := s.assigned(); errors.Is(s.failure(), errRejoin) {
		s.lose(left)
	} else {
		s.release(left, s.in.cfg.DrainTimeout)
	}
}

// leave ends the client. Leaving waits for a rebalance under way, which may wait for others: after a second it is cut short, and the group finds out by the session's
// timeout.
func (s *session) leave(cut context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	member, _ := s.cl.GroupMetadata()
	err := s.cl.LeaveGroupContext(ctx)
	if s.in.cfg.Balancer == BalancerNextGen && s.in.cfg.InstanceID != "" && member != "" {
		err = s.stepAside(ctx, member)
	}
	if err != nil {
		s.log.Debug("leave the group", "error", err)
	}
	cut()
	s.cl.CloseAllowingRebalance()
	s.cl.AllowRebalance() // closing polls once more, which would hold up a goroutine of the client for ever
}

// stepAside says to brokers that balance the group themselves that a static member will be back, so that its next life need not wait for the end of its session. The
// client says so too, but without the instance's name, and Apache Kafka 4 refuses that.
func (s *session) stepAside(ctx context.Context, member string) error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.MemberEpoch = s.in.source.Group, member, &s.in.cfg.InstanceID, -2
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// assigned returns the partitions that are held now.
func (s *session) assigned() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*partition, 0, len(s.parts))
	for _, p := range s.parts {
		out = append(out, p)
	}
	return out
}
