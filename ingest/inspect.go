package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
	"andon/ingest/decode"
)

// Inspector looks at topics and groups from outside: it is no group's member and commits nothing.
type Inspector struct {
	cfg  Config
	log  *slog.Logger
	opts []kgo.Opt
	cl   *kgo.Client
	adm  *kadm.Client
}

// NewInspector checks the config and reads the files it names; it connects when it is first asked.
func NewInspector(cfg Config, log *slog.Logger) (*Inspector, error) {
	opts, err := connection(cfg, log)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return &Inspector{cfg: cfg, log: log, opts: opts, cl: cl, adm: kadm.NewClient(cl)}, nil
}

// Close lets go of the connections.
func (i *Inspector) Close() { i.cl.Close() }

// Extent is one partition of the log, [Start, End), and a group's place in it.
type Extent struct {
	Start, End int64
	// Committed is the group's committed offset, -1 when it has none, and Note its metadata.
	Committed int64
	Note      string
}

// Extents returns the partitions of a topic with the place of a group in each. The group's place is asked first, so it is never beyond End.
func (i *Inspector) Extents(ctx context.Context, group, topic string) (map[int32]Extent, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.ConnectTimeout)
	defer cancel()
	fail := func(err error) (map[int32]Extent, error) {
		return nil, fmt.Errorf("inspect %s and the group %s: %w", topic, group, advise(err))
	}
	places, err := i.adm.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // one that has not committed yet need not be known
		return fail(err)
	}
	starts, err1 := i.adm.ListStartOffsets(ctx, topic)
	ends, err2 := i.adm.ListEndOffsets(ctx, topic)
	if err := errors.Join(err1, err2, starts.Error(), ends.Error()); err != nil {
		return fail(err)
	}
	all := map[int32]Extent{}
	for id, end := range ends[topic] {
		x := Extent{Start: starts[topic][id].Offset, End: end.Offset, Committed: -1}
		if p, ok := places.Lookup(topic, id); ok {
			if p.Err != nil {
				return fail(p.Err)
			}
			x.Committed, x.Note = p.At, p.Metadata
		}
		all[id] = x
	}
	return all, nil
}

// silence is how long the brokers may send nothing of a range that they hold.
const silence = 30 * time.Second

// Records calls f for each offset in [first, next) that holds a record, in order: not for a transaction's markers, records of aborted transactions, and what
// was compacted away. The log must reach to next, and its last record is never compacted away, so what comes at or after the end of the range ends it.
func (i *Inspector) Records(ctx context.Context, topic string, partition int32, first, next int64, f func(offset int64)) error {
	return i.read(ctx, topic, partition, first, next, func(r *kgo.Record) bool {
		f(r.Offset)
		return true
	})
}

// firstRows is how many offsets are looked at for a first row: a log may begin with records that are none.
const firstRows = 1000

// FirstRow returns the offset and the event time, in Unix nanoseconds, of the first row that the source makes of the records in [first, next), and false where the
// first thousand give none.
func (i *Inspector) FirstRow(ctx context.Context, source Source, id int32, first, next int64) (offset, at int64, ok bool, err error) {
	p := &partition{topic: source.Topic, id: id}
	p.record.Position = event.Position{Topic: p.topic, Partition: p.id}
	if p.decoder, err = decode.New(source.Spec); err != nil {
		return 0, 0, false, err
	}
	var b event.Batch
	err = i.read(ctx, source.Topic, id, first, min(next, first+firstRows), func(r *kgo.Record) bool {
		return p.decode(r, &b) != nil || len(b.Rows) == 0
	})
	if err != nil || len(b.Rows) == 0 {
		return 0, 0, false, err
	}
	return b.Rows[0].Offset, b.Rows[0].Time, true, nil
}

// DeleteGroup lets the brokers forget a group that has no members any more.
func (i *Inspector) DeleteGroup(ctx context.Context, group string) error {
	if _, err := i.adm.DeleteGroup(ctx, group); err != nil {
		return fmt.Errorf("delete the group %s: %w", group, advise(err))
	}
	return nil
}

// read calls f for the records in [first, next), in order, until it returns false.
func (i *Inspector) read(ctx context.Context, topic string, partition int32, first, next int64, f func(*kgo.Record) bool) error {
	if first >= next {
		return nil
	}
	fail := func(err error) error {
		return fmt.Errorf("read %s/%d@%d-%d: %w", topic, partition, first, next, advise(err))
	}
	cl, err := kgo.NewClient(append(i.opts[:len(i.opts):len(i.opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(first)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return fail(err)
	}
	defer cl.Close()
	for {
		poll, cancel := context.WithTimeout(ctx, silence)
		fetches := cl.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); errors.Is(err, context.DeadlineExceeded) {
			return fail(fmt.Errorf("the brokers sent nothing for %v", silence))
		} else if err != nil {
			return fail(err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= first && r.Offset < next && !r.Attrs.IsControl() && !f(r) {
				return nil
			}
			if r.Offset >= next-1 {
				return nil
			}
		}
	}
}
