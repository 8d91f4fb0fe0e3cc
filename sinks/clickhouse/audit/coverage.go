package audit

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"time"
)

// chunk is a stretch of offsets of one partition: how many rows it has, how many different offsets, the least and the greatest.
type chunk struct {
	rows, offsets uint64
	min, max      int64
}

// chunksAtMost is about how many stretches the partitions of a topic are cut into: an answer that large is quick, and what a fault makes us read
// again is a small part.
const chunksAtMost = 2000

// union is every row that accounts for an offset, of one pipeline and topic, filtered. Kinds: 1 ok, 2 duplicate, 3 filtered, 4 dead letter, 5 label,
// 6 frame. A frame that is broken is a dead letter, too.
func (a *auditor) union(pipeline, topic, filter string) string {
	sql := `SELECT _partition, _offset, toInt8(status) AS kind FROM readings WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND ` + filter + `
    UNION ALL SELECT _partition, _offset, toInt8(6) FROM frames WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND ` + filter + `
    UNION ALL SELECT _partition, _offset, toInt8(4) FROM deadletters WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND ` + filter
	if a.labelled[topic] == pipeline {
		sql += `
    UNION ALL SELECT _partition, _offset, toInt8(5) FROM labels WHERE _topic = {topic:String} AND ` + filter
	}
	return sql
}

// within is the condition that a row is in the given range of its partition.
func within(parts []*Partition, ranges []Range, params map[string]string) string {
	ids, from, last := make([]int32, len(parts)), make([]int64, len(parts)), make([]int64, len(parts))
	for i, p := range parts {
		ids[i], from[i], last[i] = p.Partition, ranges[i].First, ranges[i].Next-1
	}
	params["ids"], params["from"], params["last"] = array(ids), array(from), array(last)
	return fmt.Sprintf(`_offset >= transform(_partition, {ids:Array(Int32)}, {from:Array(Int64)}, toInt64(%d))
        AND _offset <= transform(_partition, {ids:Array(Int32)}, {last:Array(Int64)}, toInt64(-1))`, int64(math.MaxInt64))
}

func examined(parts []*Partition) []Range {
	all := make([]Range, len(parts))
	for i, p := range parts {
		all[i] = p.Examined
	}
	return all
}

// share cuts the ranges of partitions into shares of offsetsAtOnce at most, each for one query.
func share(parts []*Partition, f func([]*Partition, []Range) error) error {
	var some []*Partition
	var ranges []Range
	size := int64(0)
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		err := f(some, ranges)
		some, ranges, size = nil, nil, 0
		return err
	}
	for _, p := range parts {
		for r := p.Examined; r.First < r.Next; {
			part := Range{r.First, min(r.Next, r.First+offsetsAtOnce)}
			if size+part.Next-part.First > offsetsAtOnce {
				if err := flush(); err != nil {
					return err
				}
			}
			some, ranges, size = append(some, p), append(ranges, part), size+part.Next-part.First
			r.First = part.Next
			if r.First < r.Next {
				if err := flush(); err != nil { // a partition once in a query
					return err
				}
			}
		}
	}
	return flush()
}

// offsetsAtOnce bounds what one query counts, so that it ends well within a query's time on a busy machine.
const offsetsAtOnce = 20_000_000

// coverage fills in what the partitions of one topic hold, and what is missing or doubled.
func (a *auditor) coverage(ctx context.Context, pipeline, topic string, parts []*Partition) error {
	if err := a.count(ctx, pipeline, topic, parts); err != nil {
		return err
	}
	// Without the group's commit we cannot tell a block that is just being stored, table by table, from one that lost a table.
	if a.o.Log == nil && a.o.Wait > 0 && anyMissing(parts) {
		if err := a.settle(ctx, parts); err != nil {
			return err
		}
		if err := a.count(ctx, pipeline, topic, parts); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if err := a.gaps(ctx, p); err != nil {
			return err
		}
		if err := a.doubles(ctx, p); err != nil {
			return err
		}
		if err := a.counted(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func anyMissing(parts []*Partition) bool {
	for _, p := range parts {
		if p.missing() > 0 {
			return true
		}
	}
	return false
}

// missing counts the offsets of the range that are stored nowhere.
func (p *Partition) missing() uint64 {
	n := uint64(p.Examined.Next-p.Examined.First) - p.covered()
	for _, c := range p.chunks {
		n -= c.offsets
	}
	return n
}

// settle waits until the block that each partition's last offset belongs to is stored whole: until a later offset is there, whose block is begun only
// then, or until Wait is over.
func (a *auditor) settle(ctx context.Context, parts []*Partition) error {
	deadline := time.Now().Add(a.o.Wait)
	for {
		now, err := a.extremes(ctx, 0)
		if err != nil {
			return err
		}
		waiting := false
		for _, p := range parts {
			for _, e := range now {
				if e.place == (place{p.Pipeline, p.Topic, p.Partition}) && e.last < p.Examined.Next && p.missing() > 0 {
					waiting = true
				}
			}
		}
		if !waiting || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-time.After(min(time.Second, max(a.o.Wait/20, 10*time.Millisecond))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// count reads the offsets of one topic once.
func (a *auditor) count(ctx context.Context, pipeline, topic string, parts []*Partition) error {
	span := uint64(1)
	for _, p := range parts {
		span += uint64(p.Examined.Next - p.Examined.First)
		p.chunks, p.First, p.Last, p.OK, p.Duplicate, p.Filtered, p.Labels, p.Frames = nil, -1, -1, 0, 0, 0, 0, 0
		clear(p.Dead)
	}
	if err := a.stretches(ctx, pipeline, topic, parts); err != nil {
		return err
	}
	size := uint64(1) << max(bits.Len64(span/chunksAtMost), 16)
	err := share(parts, func(parts []*Partition, ranges []Range) error {
		params := map[string]string{"pipeline": pipeline, "topic": topic, "size": strconv.FormatUint(size, 10)}
		filter := within(parts, ranges, params) + notCounted(parts, params)
		t, err := whole(a.ask(ctx, `SELECT _partition, intDiv(_offset, {size:Int64}) AS chunk, count() AS rows, groupBitmap(toUInt64(_offset)) AS offsets,
    min(_offset) AS first, max(_offset) AS last, countIf(kind = 1) AS ok, countIf(kind = 2) AS duplicate, countIf(kind = 5) AS labels, countIf(kind = 3) AS filtered,
    countIf(kind = 6) AS frames
FROM
(
    `+a.union(pipeline, topic, filter)+`
)
GROUP BY _partition, chunk
ORDER BY _partition, chunk`, params, 0))
		if err != nil {
			return err
		}
		by := numbered(parts)
		for _, row := range t.Rows {
			p := by[int32(number(row[0]))]
			if p == nil {
				continue
			}
			c := chunk{rows: uint64(number(row[2])), offsets: uint64(number(row[3])), min: number(row[4]), max: number(row[5])}
			p.chunks = append(p.chunks, c)
			p.OK, p.Duplicate, p.Labels = p.OK+uint64(number(row[6])), p.Duplicate+uint64(number(row[7])), p.Labels+uint64(number(row[8]))
			p.Filtered, p.Frames = p.Filtered+uint64(number(row[9])), p.Frames+uint64(number(row[10]))
			if p.First < 0 {
				p.First = c.min
			}
			p.Last = max(p.Last, c.max)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		for _, s := range p.stretches {
			if first := max(s.First, p.Examined.First); p.First < 0 || first < p.First {
				p.First = first
			}
			p.Last = max(p.Last, min(s.Next, p.Examined.Next)-1)
		}
	}
	params := map[string]string{"pipeline": pipeline, "topic": topic}
	t, err := whole(a.ask(ctx, `SELECT _partition, reason, count() FROM deadletters WHERE pipeline = {pipeline:String} AND _topic = {topic:String}
    AND `+within(parts, examined(parts), params)+`
GROUP BY _partition, reason`, params, 0))
	if err != nil {
		return err
	}
	by := numbered(parts)
	for _, row := range t.Rows {
		if p := by[int32(number(row[0]))]; p != nil {
			p.Dead[text(row[1])] = uint64(number(row[2]))
		}
	}
	return nil
}

// numbered returns the partitions of one topic by their number.
func numbered(parts []*Partition) map[int32]*Partition {
	by := make(map[int32]*Partition, len(parts))
	for _, p := range parts {
		by[p.Partition] = p
	}
	return by
}
