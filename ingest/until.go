package ingest

import (
	"context"
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"andon/event"
)

// Until gives the Intake an end: Run returns nil once the offsets below ends[partition] of every partition named are handled and flushed, be it by this member or by
// another of its group. Partitions that are not named are not read. It is called before Run.
func (in *Intake) Until(ends map[int32]int64) { in.until = ends }

// bound returns the offset at which a partition ends.
func (in *Intake) bound(id int32) int64 {
	if in.until == nil {
		return math.MaxInt64
	}
	return in.until[id] // 0 where it is not named
}

// over is the Handler of a partition that has nothing left to handle.
type over struct{}

func (over) Handle(context.Context, *event.Batch) error { return nil }
func (over) Flush(context.Context) error                { return nil }
func (over) Due() time.Time                             { return time.Time{} }

// below returns the records before the partition's end.
func (p *partition) below(records []*kgo.Record) []*kgo.Record {
	if len(records) == 0 || records[len(records)-1].Offset < p.until {
		return records
	}
	return records[:sort.Search(len(records), func(i int) bool { return records[i].Offset >= p.until })]
}

// reach hands on that [next, until) holds no more records, flushes, and lets the rest of the log be.
func (p *partition) reach(ctx context.Context) error {
	if first := p.next.Load(); first < p.until {
		p.batch.Reset()
		b := &p.batch
		b.Topic, b.Partition, b.First, b.Next, b.Received, b.Raw = p.topic, p.id, first, p.until, time.Now().UnixNano(), p.raw
		p.current = nil
		if err := p.handler.Handle(ctx, b); err != nil {
			return fmt.Errorf("handle %s/%d@%d-%d: %w", p.topic, p.id, b.First, b.Next, err)
		}
		p.next.Store(b.Next)
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	p.reached.Store(true)
	p.queue.finish()
	return nil
}

const (
	// endEvery is how often it is looked whether all is handled: it is what a short range waits too long at most.
	endEvery = 50 * time.Millisecond
	// othersEvery is how often the group is asked about partitions of other members.
	othersEvery = time.Second
	// quiet is how long a partition that is not at its end may bring nothing before the brokers are asked whether there is more. A broker answers within FetchWait.
	quiet = 2 * time.Second
)

// watchEnd stops the session when all partitions are at their ends.
func (s *session) watchEnd(ctx context.Context) {
	tick := time.NewTicker(endEvery)
	defer tick.Stop()
	type place struct {
		next  int64
		since time.Time
	}
	places := map[*partition]place{}
	var asked time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		mine, working := map[int32]bool{}, false
		for _, p := range s.assigned() {
			mine[p.id] = true
			if p.reached.Load() {
				continue
			}
			working = true
			if at, was := places[p]; !was || at.next != p.next.Load() || !p.queue.empty() {
				places[p] = place{p.next.Load(), time.Now()}
			} else if time.Since(at.since) > quiet+2*s.in.cfg.FetchWait {
				s.askEnd(ctx, p, at.next)
				delete(places, p)
			}
		}
		if working {
			continue
		}
		elsewhere := false
		for id := range s.in.until {
			elsewhere = elsewhere || !mine[id]
		}
		if elsewhere {
			if time.Since(asked) < othersEvery {
				continue
			}
			asked = time.Now()
			if !s.committedUntil(ctx, mine) {
				continue
			}
		}
		s.log.Info("all is read that was asked for")
		s.stop()
		return
	}
}

// committedUntil tells whether the group has committed the ends of the partitions that are not mine.
func (s *session) committedUntil(ctx context.Context, mine map[int32]bool) bool {
	offsets, err := s.adm.FetchOffsets(ctx, s.in.source.Group)
	if err != nil {
		s.log.Debug("ask how far the group is", "error", err)
		return false
	}
	for id, end := range s.in.until {
		if o, ok := offsets.Lookup(s.in.source.Topic, id); !mine[id] && (!ok || o.Err != nil || o.At < end) {
			return false
		}
	}
	return true
}

// askEnd asks the brokers whether a partition that brings nothing has records left before its end. It has none where the log was compacted or deleted up to there:
// the client then waits for a record that never comes. An open transaction is waited for.
func (s *session) askEnd(ctx context.Context, p *partition, next int64) {
	ctx, cancel := context.WithTimeout(ctx, s.in.cfg.ConnectTimeout)
	defer cancel()
	first, start, err := s.firstRecord(ctx, p.id, next, p.until)
	if err != nil {
		s.log.Debug("ask for the next record", "partition", p.id, "next", next, "error", err)
		return
	}
	if first >= p.until {
		s.log.Info("the log holds no more records of what was asked for", "partition", p.id, "from", next, "until", p.until)
		p.queue.push(piece{start: start, end: p.until, none: true})
	}
}

// firstRecord returns the offset of the first record or marker in [from, until), until where there is none, and where the log begins; an error where that cannot be
// told yet.
func (s *session) firstRecord(ctx context.Context, id int32, from, until int64) (first, start int64, err error) {
	topic := s.in.source.Topic
	meta, err := s.adm.Metadata(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	part := meta.Topics[topic].Partitions[id]
	if part.Err != nil {
		return 0, 0, part.Err
	}
	for from < until {
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = -1, 100, 0, 1<<20, 1, -1
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = topic, s.commits.topicID
		tp := kmsg.NewFetchRequestTopicPartition()
		tp.Partition, tp.FetchOffset, tp.PartitionMaxBytes = id, from, 1<<20
		t.Partitions = append(t.Partitions, tp)
		req.Topics = append(req.Topics, t)
		resp, err := s.cl.Broker(int(part.Leader)).RetriableRequest(ctx, req)
		if err != nil {
			return 0, 0, err
		}
		answer := resp.(*kmsg.FetchResponse)
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return 0, 0, err
		}
		if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
			return 0, 0, fmt.Errorf("the broker's answer has %d topics, want one with one partition", len(answer.Topics))
		}
		rp := &answer.Topics[0].Partitions[0]
		if rp.ErrorCode == kerr.OffsetOutOfRange.Code {
			starts, err := s.adm.ListStartOffsets(ctx, topic)
			if err != nil {
				return 0, 0, err
			}
			o, ok := starts.Lookup(topic, id)
			if !ok || o.Err != nil || o.Offset <= from {
				return 0, 0, fmt.Errorf("the log does not hold offset %d", from)
			}
			from, start = o.Offset, o.Offset
			continue
		}
		f, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: id},
			rp, kgo.DefaultDecompressor(), nil)
		if f.Err != nil {
			return 0, 0, f.Err
		}
		if len(f.Records) > 0 {
			return min(f.Records[0].Offset, until), start, nil
		}
		if next <= from {
			return 0, 0, fmt.Errorf("the log holds nothing at offset %d that may be read yet", from)
		}
		from = next
	}
	return until, start, nil
}
