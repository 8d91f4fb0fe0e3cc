package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// cleanEvery is how often retention is looked at when little arrives; much wakes the janitor earlier.
const cleanEvery = 10 * time.Second

// Run keeps every topic within its retention until ctx ends. It must run for as long as the broker is open: without it the log grows to MaxBytes and then
// refuses records.
//
// kfake's own retention is not used. It judges age by the time that producers wrote into their records, so that a replay of last year's data would be
// removed at once; and it can remove all of a partition's records, after which the offsets start again from zero at the next start. Here age counts from
// arrival, whole segments go, as in Kafka, and a partition's newest record always stays.
func (b *Broker) Run(ctx context.Context) error {
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		if err := b.clean(time.Now()); err != nil {
			if errors.Is(err, errClosed) {
				return nil
			}
			b.log.Error("retention", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-b.wake:
		}
	}
}

// clean removes what is beyond retention and measures the disk.
func (b *Broker) clean(now time.Time) error {
	if !b.enter() {
		return errClosed
	}
	defer b.leave()
	var errs []error
	for _, topic := range b.names() {
		parts := b.cluster.PartitionInfos(topic)
		info := b.cluster.TopicInfo(topic)
		if info == nil {
			continue
		}
		s := b.cfg.shareFrom(len(parts), info.Configs)
		for _, p := range parts {
			segs, err := partition{dir: partitionDir(b.logDir(), topic, p.Partition)}.segments()
			if err != nil {
				errs = append(errs, err)
				continue
			}
			to := s.keepFrom(segs, p.LogStartOffset, p.HighWatermark, now.UnixMilli(), b.keptFrom(topic, p.Partition))
			if to <= p.LogStartOffset {
				continue
			}
			err = b.cluster.DeleteRecords(topic, p.Partition, to)
			if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.OffsetOutOfRange) {
				errs = append(errs, fmt.Errorf("remove records of %s/%d before %d: %w", topic, p.Partition, to, err))
			}
		}
	}
	before := b.arrived.Load()
	used, err := usedBytes(b.cfg.Dir)
	if err != nil {
		errs = append(errs, fmt.Errorf("measure %s: %w", b.cfg.Dir, err))
	} else {
		b.space.measured(used, before)
		b.metrics.disk.Set(float64(used))
	}
	if free, err := b.free(b.cfg.Dir); err == nil {
		b.metrics.free.Set(float64(free))
	}
	return errors.Join(errs...)
}

// Keep is told who still needs records: kept returns from which offset on those of a partition are needed, and false where nobody needs any. They outlast the retention
// in time; that in bytes they do not, for the disk is bounded whoever needs what. kept is called by Run and must not block.
func (b *Broker) Keep(kept func(topic string, partition int32) (from int64, ok bool)) {
	b.kept.Store(&kept)
}

// keptFrom returns the first offset that age alone must not remove.
func (b *Broker) keptFrom(topic string, partition int32) int64 {
	if kept := b.kept.Load(); kept != nil {
		if from, ok := (*kept)(topic, partition); ok {
			return from
		}
	}
	return math.MaxInt64
}

// Room returns how many bytes a partition holds from an offset on, to the grain of its segments, and how many it may hold before the oldest go; false when there is no
// such partition.
func (b *Broker) Room(topic string, id int32, from int64) (held, bound int64, ok bool) {
	if !b.enter() {
		return 0, 0, false
	}
	defer b.leave()
	info := b.cluster.TopicInfo(topic)
	parts := b.cluster.PartitionInfos(topic)
	if info == nil || int(id) >= len(parts) {
		return 0, 0, false
	}
	segs, err := partition{dir: partitionDir(b.logDir(), topic, id)}.segments()
	if err != nil {
		return 0, 0, false
	}
	for i, seg := range segs {
		if i == len(segs)-1 || segs[i+1].base > from {
			held += seg.size
		}
	}
	s := b.cfg.shareFrom(len(parts), info.Configs)
	return held, s.retention, true
}

// keepFrom returns the offset from which a partition's records stay: its present start when nothing has to go. Those from kept on are not removed for their age.
func (s share) keepFrom(segs []segment, start, end, nowMillis, kept int64) int64 {
	var total int64
	for _, seg := range segs {
		total += seg.size
	}
	old := func(seg segment) bool { return s.millis >= 0 && nowMillis-seg.written >= s.millis }
	for len(segs) > 1 && (total-segs[0].size >= s.retention || old(segs[0]) && segs[1].base <= kept) {
		total -= segs[0].size
		segs = segs[1:]
		start = max(start, segs[0].base)
	}
	if len(segs) == 1 && old(segs[0]) {
		start = max(start, min(end-1, kept)) // the newest record holds the partition's place
	}
	return min(start, max(end-1, 0))
}
