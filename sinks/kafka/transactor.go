package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"andon/event"
	"andon/ingest/dial"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Transactor publishes the blocks of one partition, each in a transaction that commits the partition's offset too: a reader that reads committed records only sees
// either all of a block or nothing of it, and a block is out if and only if the group knows it is handled.
//
// It has a producer of its own, whose transactional id is GROUP/TOPIC/PARTITION: an abort hits no other partition, and whoever gets the partition next takes the id
// and so shuts this one out. Its methods are called by one goroutine.
type Transactor struct {
	p *Publisher
	Place
	client *kgo.Client
	adds   bool // the group's offsets must be added to a transaction by a request of its own
	open   bool // a transaction may be open
	log    *slog.Logger
}

// Place is what a Transactor writes as, and which commit goes with what it writes.
type Place struct {
	// ID is the transactional id: one writer has it at a time.
	ID string
	// Group commits offsets of Topic and Partition. Brokers refuse a partition that they do not have.
	Group     string
	Topic     string
	Partition int32
}

const (
	// commitTries times this, the wait before the offset commit is sent again within a transaction, is short beside the transaction's timeout.
	commitTries = 20
	commitWait  = 50 * time.Millisecond
	// farewell is how long Close tries to end an open transaction. Without, its readers wait until the next owner of the partition begins, or for the timeout.
	farewell = time.Second
)

// Transactor makes the producer of one partition of a group's topic. At its return whoever had the partition before is shut out, and his last transaction is either
// committed or aborted. It waits for the brokers until ctx ends; event.ErrFenced means that another one has just come after us.
func (p *Publisher) Transactor(ctx context.Context, group, topic string, partition int32) (*Transactor, error) {
	return p.Begin(ctx, Place{ID: fmt.Sprintf("%s/%s/%d", group, topic, partition), Group: group, Topic: topic, Partition: partition})
}

// Begin is Transactor for any place, with further options for the producer's client.
func (p *Publisher) Begin(ctx context.Context, at Place, more ...kgo.Opt) (*Transactor, error) {
	t := &Transactor{p: p, Place: at, log: p.log.With("topic", at.Topic, "partition", at.Partition)}
	fail := func(err error) (*Transactor, error) {
		return nil, fmt.Errorf("begin as transactional producer %s: %w", t.ID, advise(err))
	}
	var err error
	if t.adds, err = p.addsOffsets(ctx); err != nil {
		return fail(err)
	}
	// From these versions on a topic is named by its id, which is no business of ours; below version 5 of the commit, the client sends everything as brokers want it
	// that are told of each partition before (KIP-890).
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 9)
	versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 5)
	if t.adds {
		versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 4)
	}
	opts := p.client.Opts()
	opts = append(opts[:len(opts):len(opts)], p.cfg.compression(), // its slice is sorted in place, so that each client has one
		kgo.MaxVersions(versions), kgo.TransactionalID(t.ID), kgo.TransactionTimeout(p.cfg.TransactionTimeout))
	t.client, err = kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return fail(err)
	}
	if err := t.begun(ctx); err != nil {
		t.client.Close()
		return fail(err)
	}
	return t, nil
}

// addsOffsets tells whether the brokers want to be told of the group's offsets before they are committed in a transaction: those without KIP-890's second part do.
func (p *Publisher) addsOffsets(ctx context.Context) (bool, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "andon", "1"
	for {
		resp, err := req.RequestWith(ctx, p.client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err == nil {
			for _, f := range resp.FinalizedFeatures {
				if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
					return false, nil
				}
			}
			return true, nil
		}
		if err := p.pause(ctx, err); err != nil {
			return false, err
		}
	}
}

// begun returns when the brokers have given us an epoch: all that the id has begun before is then settled.
func (t *Transactor) begun(ctx context.Context) error {
	for {
		_, _, err := t.client.ProducerID(ctx)
		switch {
		case err == nil:
			return nil
		case fenced(err):
			return fmt.Errorf("%w: %w", event.ErrFenced, err)
		}
		if err := t.p.pause(ctx, err); err != nil {
			return err
		}
	}
}

// pause waits a moment after an error that may pass, and returns one that does not.
func (p *Publisher) pause(ctx context.Context, err error) error {
	advised, permanent := dial.Advise(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case permanent && !dial.Hangup(err):
		return advised
	case final(err):
		return err
	}
	select {
	case <-time.After(dial.Backoff(2)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// final tells whether a broker's answer will be the same the next time. Errors that no broker gave are not.
func final(err error) bool {
	var theirs *kerr.Error
	return errors.As(err, &theirs) && !theirs.Retriable && theirs != kerr.ConcurrentTransactions && theirs != kerr.TransactionAbortable
}

// fenced tells whether somebody has taken our transactional id, or the brokers have forgotten or ended what we began: in each case we must begin anew.
func fenced(err error) bool {
	for _, e := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Publishes tells whether anything of a block is published at all. If not, there is no use in a transaction.
func (t *Transactor) Publishes(b *event.Block) bool { return len(t.p.kinds(b)) > 0 }

// Publish sends what is published of a block and commits b.Next with the note in one transaction. identity tells in whose name, right before the commit: the later
// the question, the fewer generations are over when the group reads the answer; its errors are returned. event.ErrStale and event.ErrUnsettled mean that the group
// refuses the commit: nothing is out, and Publish may be tried again. After event.ErrFenced, or any other error, the Transactor is of no use.
//
// While brokers cannot be reached it waits and goes on, without an end but ctx's. If ctx ends, or the process, the transaction is left open: whoever gets the
// partition next ends it.
func (t *Transactor) Publish(ctx context.Context, b *event.Block, note string, identity func() (event.Member, error)) error {
	what := fmt.Sprintf("%s %s/%d@%d-%d", b.Pipeline, b.Topic, b.Partition, b.First, b.Next)
	return t.run(ctx, work{what: what, kinds: t.p.kinds(b), next: b.Next, note: note, identity: identity, refused: func(k kind, err error) error { return t.p.failed(b, k, err) }})
}

// Send is Publish for records of one's own: it sends them, in their order, and commits next with the note, for no member of the group. The records are told apart
// from those of before by the group's commit, see Committed. At its return without an error each record has the partition and the offset that it was given. There must
// be one at least: a transaction without any is not ended by the client.
func (t *Transactor) Send(ctx context.Context, records []*kgo.Record, next int64, note string) error {
	if len(records) == 0 {
		panic("a transaction without records")
	}
	sent := make([]*kgo.Record, len(records))
	k := kind{what: "records", topic: records[0].Topic, n: len(records), record: func(i int) *kgo.Record {
		r := *records[i] // one that was sent before belongs to that transaction
		sent[i] = &r
		return &r
	}}
	what := fmt.Sprintf("%d records for %s/%d@%d", len(records), t.Topic, t.Partition, next)
	err := t.run(ctx, work{what: what, kinds: []kind{k}, next: next, note: note, identity: func() (event.Member, error) { return event.Member{Generation: -1}, nil },
		refused: func(k kind, err error) error {
			return fmt.Errorf("publish %s to %s: %w", k.what, k.topic, told(err, t.p.cfg))
		}})
	if err != nil {
		return err
	}
	for i, r := range sent {
		records[i].Partition, records[i].Offset = r.Partition, r.Offset
	}
	return nil
}

// work is what one transaction does.
type work struct {
	what     string // for errors and the log
	kinds    []kind
	next     int64
	note     string
	identity func() (event.Member, error)
	refused  func(k kind, err error) error // says which records were refused
}

func (t *Transactor) run(ctx context.Context, w work) error {
	for {
		again, err := t.try(ctx, w)
		if err == nil {
			return nil
		}
		if !again {
			return err
		}
		t.log.Warn("a transaction was undone and is tried again", "what", w.what, "error", err)
		if err := t.p.pause(ctx, err); err != nil {
			return t.failed(w, err)
		}
	}
}

func (t *Transactor) failed(w work, err error) error {
	if fenced(err) {
		err = fmt.Errorf("%w: %w", event.ErrFenced, err)
	}
	return fmt.Errorf("publish and commit %s: %w", w.what, advise(err))
}

// try makes one transaction. again tells that nothing is out because of an error that may pass.
func (t *Transactor) try(ctx context.Context, w work) (again bool, err error) {
	if err := t.client.BeginTransaction(); err != nil {
		return false, t.failed(w, err)
	}
	t.open = true
	for _, k := range w.kinds {
		if err := t.p.send(ctx, t.client, k); err != nil {
			failed := w.refused(k, err)
			if fenced(err) {
				failed = t.failed(w, err)
			}
			return t.undo(ctx, failed, passes(err))
		}
	}
	if err := t.commit(ctx, w.next, w.note, w.identity); err != nil {
		return t.undo(ctx, t.failed(w, err), passes(err))
	}
	err = t.client.EndTransaction(ctx, kgo.TryCommit)
	switch {
	case err == nil:
		t.open = false
		return false, nil
	case ctx.Err() != nil:
		return false, t.failed(w, ctx.Err())
	case fenced(err):
		return false, t.failed(w, err)
	case errors.Is(err, kerr.OperationNotAttempted), errors.Is(err, kerr.TransactionAbortable):
		return t.undo(ctx, t.failed(w, err), true)
	}
	// Whether it has ended, and how, is not known. Asking for a new epoch ends it one way or the other; then the group tells which.
	t.log.Warn("the end of a transaction was not answered", "what", w.what, "error", err)
	if again, undone := t.undo(ctx, t.failed(w, err), true); !again {
		return false, undone
	}
	done, asked := t.committed(ctx, w.next, w.note)
	if asked != nil {
		return false, t.failed(w, asked)
	}
	if done {
		return false, nil
	}
	return true, t.failed(w, err)
}

// errIdentity is an error of identity's own.
type errIdentity struct{ error }

func (e errIdentity) Unwrap() error { return e.error }

// passes tells whether the same transaction may be tried again at once.
func passes(err error) bool {
	for _, e := range []error{event.ErrStale, event.ErrUnsettled, event.ErrFenced, event.ErrReplaced} {
		if errors.Is(err, e) {
			return false
		}
	}
	if _, theirs := errors.AsType[errIdentity](err); theirs {
		return false
	}
	if _, permanent := dial.Advise(err); permanent && !dial.Hangup(err) {
		return false
	}
	// The client itself has waited for a topic that is not known.
	return !final(err) && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kgo.ErrClientClosed)
}

// undo aborts the transaction after an error, which it returns, unless the producer is shut out or ctx is over. At its return with again nothing is open.
func (t *Transactor) undo(ctx context.Context, why error, may bool) (again bool, err error) {
	if ctx.Err() != nil {
		return false, why
	}
	if err := t.client.AbortBufferedRecords(ctx); err != nil {
		return false, fmt.Errorf("%w; then abort: %w", why, err)
	}
	err = t.client.EndTransaction(ctx, kgo.TryAbort)
	if err != nil && !fenced(err) && ctx.Err() == nil {
		err = t.client.EndTransaction(ctx, kgo.TryAbort) // the second asks for a new epoch
	}
	if err == nil {
		err = t.begun(ctx)
	}
	if err == nil {
		t.open = false
		return may, why
	}
	if fenced(err) || errors.Is(err, event.ErrFenced) {
		return false, fmt.Errorf("%w: %w; then abort: %w", event.ErrFenced, why, err)
	}
	return false, fmt.Errorf("%w; then abort: %w", why, err)
}

// commit tells the group, as a part of the transaction, that all below next is handled.
func (t *Transactor) commit(ctx context.Context, next int64, note string, identity func() (event.Member, error)) error {
	id, epoch, err := t.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	if t.adds {
		err := again(ctx, func() error {
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = t.ID, id, epoch, t.Group
			resp, err := req.RequestWith(ctx, t.client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(resp.ErrorCode)
		})
		if err != nil {
			return err
		}
	}
	return again(ctx, func() error {
		m, err := identity()
		if err != nil {
			return errIdentity{err}
		}
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = t.ID, id, epoch, t.Group
		req.MemberID, req.Generation = m.ID, m.Generation
		if m.Instance != "" {
			req.InstanceID = &m.Instance
		}
		part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.Metadata = t.Partition, next, &note
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic, topic.Partitions = t.Topic, append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, t.client)
		if err != nil {
			return err
		}
		for _, rt := range resp.Topics {
			for _, rp := range rt.Partitions {
				if rp.Partition == t.Partition {
					return verdict(kerr.ErrorForCode(rp.ErrorCode), len(note))
				}
			}
		}
		return errors.New("the broker did not answer for this partition")
	})
}

// verdict says in the line's words what the group has said.
func verdict(err error, note int) error {
	var as error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.StaleMemberEpoch):
		as = event.ErrStale
	case errors.Is(err, kerr.RebalanceInProgress):
		as = event.ErrUnsettled
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedMemberEpoch):
		as = event.ErrFenced
	case errors.Is(err, kerr.FencedInstanceID):
		as = event.ErrReplaced
	case errors.Is(err, kerr.OffsetMetadataTooLarge):
		return fmt.Errorf("the note of %d bytes is longer than the broker's offset.metadata.max.bytes allows: %w", note, err)
	default:
		return err
	}
	return fmt.Errorf("%w: %w", as, err)
}

// again asks until the answer is no error that passes. One that lasts is the group's: its coordinator has moved, and others wait for this transaction meanwhile.
func again(ctx context.Context, ask func() error) error {
	for tries := 1; ; tries++ {
		err := ask()
		var theirs *kerr.Error
		if !errors.As(err, &theirs) || final(err) || errors.Is(err, event.ErrStale) || errors.Is(err, event.ErrUnsettled) || ctx.Err() != nil {
			return err
		}
		if tries == commitTries {
			return fmt.Errorf("%w: %w", event.ErrUnsettled, err)
		}
		select {
		case <-time.After(commitWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// committed asks the group whether its commit of the partition is this one. No transaction of ours may be open.
func (t *Transactor) committed(ctx context.Context, next int64, note string) (bool, error) {
	at, has, err := t.Committed(ctx)
	return err == nil && at == next && has == note, err
}

// Committed returns the group's commit of the partition and its note; -1 when there is none. No transaction of ours may be open. It waits for the brokers until ctx ends.
func (t *Transactor) Committed(ctx context.Context) (next int64, note string, err error) {
	for {
		next, note, err := Commit(ctx, t.client, t.Place)
		if err == nil {
			return next, note, nil
		}
		if err := t.p.pause(ctx, fmt.Errorf("ask the group for its commit: %w", err)); err != nil {
			return 0, "", err
		}
	}
}

// Renew commits the place again as it is, in a transaction of its own: brokers forget commits that are older than offsets.retention.minutes. At its return the
// Transactor is of no use, whatever it returns.
func (t *Transactor) Renew(ctx context.Context, next int64, note string) error {
	if err := t.commit(ctx, next, note, func() (event.Member, error) { return event.Member{Generation: -1}, nil }); err != nil {
		return fmt.Errorf("renew the commit of %s: %w", t.ID, advise(err))
	}
	id, epoch, err := t.client.ProducerID(ctx)
	if err == nil {
		// The client would end no transaction without records.
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = t.ID, id, epoch, true
		var resp *kmsg.EndTxnResponse
		if resp, err = req.RequestWith(ctx, t.client); err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
	}
	if err != nil {
		return fmt.Errorf("renew the commit of %s: %w", t.ID, advise(err))
	}
	return nil
}

// Commit asks a group once for its commit of a place and the note of it; -1 when there is none.
func Commit(ctx context.Context, client *kgo.Client, at Place) (next int64, note string, err error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true // the end of a transaction is known some time before its offsets are
	topic := kmsg.NewOffsetFetchRequestGroupTopic()
	topic.Topic, topic.Partitions = at.Topic, []int32{at.Partition}
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group, group.Topics = at.Group, append(group.Topics, topic)
	req.Groups = append(req.Groups, group)
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err == nil && len(resp.Groups) != 1 {
		err = errors.New("the broker did not answer for this group")
	}
	if err == nil {
		err = kerr.ErrorForCode(resp.Groups[0].ErrorCode)
	}
	if errors.Is(err, kerr.GroupIDNotFound) { // it has committed nothing yet
		return -1, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	theirs := resp.Groups[0]
	if len(theirs.Topics) != 1 || len(theirs.Topics[0].Partitions) != 1 {
		return 0, "", errors.New("the broker did not answer for this partition")
	}
	part := theirs.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return 0, "", err
	}
	if part.Metadata != nil {
		note = *part.Metadata
	}
	return part.Offset, note, nil
}

// Close lets go of the producer. A transaction that is open is aborted, if the brokers answer within a second. No Publish may be running.
func (t *Transactor) Close() error {
	if t.open {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		err := t.client.AbortBufferedRecords(ctx)
		if err == nil {
			err = t.client.EndTransaction(ctx, kgo.TryAbort)
		}
		if err != nil {
			t.log.Debug("leave a transaction open", "error", err)
		}
	}
	t.client.Close()
	return nil
}

// advise adds what to do to an error that an operator reads.
func advise(err error) error {
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("%w: let this user write with the transactional ids that begin with the group's name", err)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("%w: let this user read the group", err)
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return fmt.Errorf("%w: set transactions.timeout to no more than the brokers' transaction.max.timeout.ms", err)
	case errors.Is(err, kerr.UnsupportedVersion), strings.Contains(err.Error(), "broker is too old"):
		return fmt.Errorf("%w: transactions that a group takes part in need Apache Kafka 2.5 or later: use delivery: at-least-once", err)
	}
	advised, _ := dial.Advise(err)
	return advised
}
