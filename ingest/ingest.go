// Package ingest reads telemetry from Kafka: one consumer group a pipeline, one goroutine a partition, every offset handed on in order, once.
//
// An Intake polls; each partition's goroutine decodes what was fetched into an event.Batch and calls the partition's Handler. Handlers decide when to store
// and commit; the Intake tells them when they must (Flush). Bytes fetched and not yet handled are bounded by a Budget that all Intakes of the process share.
//
// Metrics: andon_ingest_records_total{pipeline}, andon_ingest_bytes_total{pipeline}, andon_ingest_rejected_total{pipeline,reason},
// andon_ingest_expired_total{pipeline}, andon_ingest_lag_records{pipeline,partition}, andon_ingest_inflight_bytes, andon_ingest_rebalances_total{pipeline,kind}.
package ingest

import (
	"context"
	"io"
	"time"

	"andon/event"
)

// Handler is one partition's line. All calls come from that partition's goroutine.
//
// A Handler that has a Tend(ctx) error is asked by it, in place of Flush, when its Due has come: it may store what it holds beside the calls that follow.
//
// A Handler that has a Close() is told by it that the partition is let go, whichever way.
//
// The context of the calls ends when the partition is lost to another member, or when a revocation or the end of the program has waited long enough: what the
// Handler holds is then dropped, without Flush, and read again by the next owner. Any other error ends the Intake.
type Handler interface {
	// Handle takes the records of [b.First, b.Next). The batch is used again after the return: keep nothing of it.
	Handle(ctx context.Context, b *event.Batch) error
	// Flush stores what is held, then commits.
	Flush(ctx context.Context) error
	// Due is when held rows must be flushed; zero when nothing is held.
	Due() time.Time
}

// Assignment is a partition that the group has given to this process.
type Assignment struct {
	Topic     string
	Partition int32
	// Committed is the next offset to handle by the group's commit; where there is none, the log's start, or its end for a Source that starts at latest.
	Committed int64
	// Note is the metadata of that commit.
	Note string
	// Commit tells the group that all offsets below next are handled, and keeps the note beside it. It returns when the broker has stored both. Calls of
	// several partitions share a request. ErrFenced means that the partition is no longer ours: nothing was stored.
	Commit func(ctx context.Context, next int64, note string) error
	// Transact is for those who commit in a transaction of their own, together with what they send. It calls send, which asks identity in whose name to commit,
	// right before it does so, and returns event.ErrStale or event.ErrUnsettled if the group refuses that; then send is called again, with all that it does, once
	// the group has settled. ErrFenced means that the partition is no longer ours.
	Transact func(ctx context.Context, send Send) error
	// Fence is what the Intake's Fencer made for the partition, nil without one.
	Fence io.Closer
	// Read reads records again by their offsets, which must ascend: slow, for the few whose bytes are needed after their batch is gone.
	Read func(ctx context.Context, offsets []int64) ([]event.Record, error)
}

// Open makes the handler of a partition and says from which offset to read: at most Committed, lower where state is folded from earlier records.
// An error ends the Intake.
type Open func(ctx context.Context, a Assignment) (h Handler, from int64, err error)

// Send makes one try of a transaction. identity returns ErrFenced when the partition is no longer ours.
type Send = func(ctx context.Context, identity func() (event.Member, error)) error

// Fencer shuts out who had a partition of a topic before and may still be writing in its name: at its return, all that he has begun is either done or undone. It is
// called when the group has given us the partition, and before the group is asked what is committed. What it returns is handed to Open with the partition, and
// closed when the partition is let go.
type Fencer func(ctx context.Context, topic string, partition int32) (io.Closer, error)

// ErrFenced is event.ErrFenced.
var ErrFenced = event.ErrFenced
