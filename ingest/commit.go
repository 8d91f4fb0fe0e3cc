package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/event"
)

// committer sends the commits of one session. While a request is under way, the commits of other partitions wait, and go out together in the next.
//
// A commit names the member and its generation, and the broker refuses that of a member it has given up. That alone does not fence a partition: a member that was
// thrown out and has joined again has a good generation, and the broker does not ask to whom the partition belongs. So a partition remembers as which member it
// was assigned, and its commit goes out only while the client is still that member: such a member has been in the group without a break, and a partition that it
// did not give up cannot have been another's. With the brokers' own balancing a thrown-out member keeps its name, but then the client reports the partition lost
// before it joins again, and the broker's epochs never repeat. The order of the two reads matters: first the generation, then whether the partition is gone.
type committer struct {
	cl       *kgo.Client
	group    string
	instance *string
	topic    string
	topicID  [16]byte
	// patience is how long to wait for the client to learn of a new generation, settling how long for the group to agree on one.
	patience, settling time.Duration
	requests           chan *commitRequest
}

type commitRequest struct {
	part   *partition
	next   int64
	note   string
	answer chan error // buffered
}

// commit asks for a commit and waits for it.
func (c *committer) commit(ctx context.Context, p *partition, next int64, note string) error {
	r := &commitRequest{part: p, next: next, note: note, answer: make(chan error, 1)}
	var err error
	select {
	case c.requests <- r:
		select {
		case err = <-r.answer:
		case <-ctx.Done():
			err = ctx.Err()
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	if p.gone.Load() {
		err = ErrFenced
	}
	return fmt.Errorf("commit %s for %s: %w", event.Position{Topic: c.topic, Partition: p.id, Offset: next}, c.group, err)
}

// run serves commits until ctx ends; all partitions must have ended by then.
func (c *committer) run(ctx context.Context) {
	var batch []*commitRequest
	for {
		batch = batch[:0]
		select {
		case r := <-c.requests:
			batch = append(batch, r)
		case <-ctx.Done():
			return
		}
		for more := true; more; {
			select {
			case r := <-c.requests:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		c.send(ctx, batch)
	}
}

// transact calls send until the group takes its commit. The commit is sent by others, yet under the same rule: identity reads the generation first and then whether
// the partition is gone, and the group refuses a commit of any generation but the one it is in. A transaction whose commit the group has taken may end when the
// partition is another's already: until it has, the group tells that one nothing of the partition.
func (c *committer) transact(ctx context.Context, p *partition, send Send) error {
	var began time.Time // of the group's refusals
	for {
		var member string
		var generation int32
		err := send(ctx, func() (event.Member, error) {
			member, generation = c.cl.GroupMetadata()
			if p.gone.Load() || p.member != member {
				return event.Member{}, ErrFenced
			}
			m := event.Member{ID: member, Generation: generation}
			if c.instance != nil {
				m.Instance = *c.instance
			}
			return m, nil
		})
		patience := c.patience
		switch {
		case err == nil:
			return nil
		case errors.Is(err, event.ErrReplaced):
			return fmt.Errorf("%w: %w: %w", errInstance, ErrFenced, err)
		case p.gone.Load() && !errors.Is(err, ErrFenced):
			return fmt.Errorf("%w: %w", ErrFenced, err)
		case errors.Is(err, event.ErrUnsettled):
			patience = c.settling
		case errors.Is(err, event.ErrStale):
		default:
			return err
		}
		if began.IsZero() {
			began = time.Now()
		}
		if !c.await(ctx, member, generation, time.Until(began.Add(patience))) {
			return fmt.Errorf("%w: %w", ErrFenced, err)
		}
	}
}

// send answers each of the requests. A broker that cannot be reached is asked again until the partition is gone: the client finds out by its heartbeats.
func (c *committer) send(ctx context.Context, batch []*commitRequest) {
	began := time.Now()
	for {
		member, generation := c.cl.GroupMetadata()
		batch = answer(batch, func(r *commitRequest) (error, bool) {
			return ErrFenced, r.part.gone.Load() || r.part.member != member
		})
		if len(batch) == 0 {
			return
		}
		codes, err := c.request(ctx, member, generation, batch)
		patience := c.patience
		if err != nil {
			patience = time.Since(began) + time.Second
		}
		batch = answer(batch, func(r *commitRequest) (error, bool) {
			if err != nil {
				return err, ctx.Err() != nil || permanent(err)
			}
			code, ok := codes[r.part.id]
			if !ok {
				return errors.New("the broker did not answer for this partition"), true
			}
			switch e := kerr.ErrorForCode(code); {
			case e == nil:
				return nil, true
			case errors.Is(e, kerr.RebalanceInProgress), kerr.IsRetriable(e):
				patience = c.settling
				return e, false
			case errors.Is(e, kerr.IllegalGeneration), errors.Is(e, kerr.StaleMemberEpoch):
				return e, false
			case errors.Is(e, kerr.UnknownMemberID), errors.Is(e, kerr.FencedMemberEpoch):
				return ErrFenced, true
			case errors.Is(e, kerr.FencedInstanceID):
				return fmt.Errorf("%w: %w", errInstance, ErrFenced), true
			case errors.Is(e, kerr.OffsetMetadataTooLarge):
				return fmt.Errorf("the note of %d bytes is longer than the broker's offset.metadata.max.bytes allows: %w", len(r.note), e), true
			default:
				return e, true
			}
		})
		if len(batch) == 0 {
			return
		}
		if !c.await(ctx, member, generation, time.Until(began.Add(patience))) {
			answer(batch, func(*commitRequest) (error, bool) { return ErrFenced, true })
			return
		}
	}
}

// answer gives the requests that are done their answer and returns the others.
func answer(batch []*commitRequest, verdict func(*commitRequest) (error, bool)) []*commitRequest {
	left := batch[:0]
	for _, r := range batch {
		if err, done := verdict(r); done {
			r.answer <- err
		} else {
			left = append(left, r)
		}
	}
	return left
}

// await returns true when the client has another generation, or a moment has passed; false when there is no hope left.
func (c *committer) await(ctx context.Context, member string, generation int32, left time.Duration) bool {
	deadline := time.Now().Add(min(left, 200*time.Millisecond))
	for time.Now().Before(deadline) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
		if m, g := c.cl.GroupMetadata(); m != member || g != generation {
			return true
		}
	}
	return left > 0
}

// request sends one OffsetCommit and returns the code of each partition.
func (c *committer) request(ctx context.Context, member string, generation int32, batch []*commitRequest) (map[int32]int16, error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation, req.InstanceID = c.group, member, generation, c.instance
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = c.topic, c.topicID
	for _, r := range batch {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = r.part.id, r.next, &r.note
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	codes := make(map[int32]int16, len(batch))
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	}
	return codes, nil
}
