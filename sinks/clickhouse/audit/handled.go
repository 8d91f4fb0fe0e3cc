package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// stretch is a run of blocks, one after the other, whose pipeline did not store its readings: the table handled has their ranges, and how many records each had.
type stretch struct {
	Range
	records uint64 // readings, labels and dead letters, as the blocks say
	dead    uint64 // dead letters, as the blocks say
	overlap uint64 // offsets that more than one block claims
	held    uint64 // dead letters that are there, without what ClickHouse refused of a record that was taken
}

// stretches reads what the blocks of a topic say, joined where one follows the other, and names blocks that overlap.
func (a *auditor) stretches(ctx context.Context, pipeline, topic string, parts []*Partition) error {
	params := map[string]string{"pipeline": pipeline, "topic": topic}
	const mine = "pipeline = {pipeline:String} AND _topic = {topic:String}"
	for _, p := range parts {
		p.stretches = nil
	}
	by := numbered(parts)
	// A block that begins where the greatest end before it lies goes on with its stretch; one that begins before that end overlaps.
	t, err := whole(a.ask(ctx, `SELECT _partition, min(first), max(next), sum(ok), sum(duplicate), sum(filtered), sum(labels), sum(dead), sum(greatest(reach - first, 0)) FROM
(
    SELECT *, sum(toUInt64(first > reach)) OVER (PARTITION BY _partition ORDER BY first, next ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS run FROM
    (
        SELECT _partition, first, next, ok, duplicate, filtered, labels, dead,
            ifNull(max(toNullable(next)) OVER (PARTITION BY _partition ORDER BY first, next ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1) AS reach
        FROM handled WHERE `+mine+`
    )
)
GROUP BY _partition, run ORDER BY _partition, min(first)`, params, 0))
	if err != nil || len(t.Rows) == 0 {
		return err
	}
	for _, row := range t.Rows {
		p := by[int32(number(row[0]))]
		if p == nil {
			continue
		}
		s := stretch{Range: Range{number(row[1]), number(row[2])}, dead: uint64(number(row[7]))}
		if s.First >= p.Examined.Next || s.Next <= p.Examined.First {
			continue
		}
		ok, duplicate, filtered, labels := uint64(number(row[3])), uint64(number(row[4])), uint64(number(row[5])), uint64(number(row[6]))
		s.records = ok + duplicate + filtered + labels + s.dead
		p.OK, p.Duplicate, p.Filtered, p.Labels = p.OK+ok, p.Duplicate+duplicate, p.Filtered+filtered, p.Labels+labels
		s.overlap = uint64(number(row[8]))
		p.stretches = append(p.stretches, s)
	}
	for _, p := range parts {
		if err := a.letters(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// letters counts the dead letters of a partition's stretches.
func (a *auditor) letters(ctx context.Context, p *Partition) error {
	for i := range p.stretches {
		s := &p.stretches[i]
		t, err := a.ask(ctx, `SELECT count() FROM deadletters WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND _partition = {partition:Int32}
    AND _offset >= {first:Int64} AND _offset < {next:Int64} AND reason != 'refused'`, p.params(s.Range), 1)
		if err != nil {
			return err
		}
		if len(t.Rows) == 1 {
			s.held = uint64(number(t.Rows[0][0]))
		}
	}
	return nil
}

func (p *Partition) params(r Range) map[string]string {
	return map[string]string{"pipeline": p.Pipeline, "topic": p.Topic, "partition": strconv.Itoa(int(p.Partition)),
		"first": strconv.FormatInt(r.First, 10), "next": strconv.FormatInt(r.Next, 10)}
}

// covered counts the offsets of the examined range that lie within stretches.
func (p *Partition) covered() (n uint64) {
	for _, s := range p.stretches {
		if first, next := max(s.First, p.Examined.First), min(s.Next, p.Examined.Next); next > first {
			n += uint64(next - first)
		}
	}
	return n
}

// outside calls f for the parts of a range that lie in no stretch.
func (p *Partition) outside(r Range, f func(Range) error) error {
	for _, s := range p.stretches {
		if s.Next <= r.First {
			continue
		}
		if s.First >= r.Next {
			break
		}
		if s.First > r.First {
			if err := f(Range{r.First, s.First}); err != nil {
				return err
			}
		}
		r.First = min(s.Next, r.Next)
	}
	if r.First >= r.Next {
		return nil
	}
	return f(r)
}

// notCounted is the condition that an offset lies in no stretch of its partition, and adds its parameters; empty where there is no stretch.
func notCounted(parts []*Partition, params map[string]string) string {
	var ids []int32
	var first, next []int64
	for _, p := range parts {
		for _, s := range p.stretches {
			ids, first, next = append(ids, p.Partition), append(first, s.First), append(next, s.Next)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	params["s_ids"], params["s_first"], params["s_next"] = array(ids), array(first), array(next)
	return ` AND NOT arrayExists((p, f, n) -> p = _partition AND f <= _offset AND _offset < n, {s_ids:Array(Int32)}, {s_first:Array(Int64)}, {s_next:Array(Int64)})`
}

// counted judges the stretches: whether as many records were handled as their ranges hold, each dead letter is there once, and nothing of them is stored
// one by one, too. A range may hold offsets without a record; only the log can tell those.
func (a *auditor) counted(ctx context.Context, p *Partition) error {
	for _, s := range p.stretches {
		if s.overlap > 0 {
			p.Doubles += s.overlap
			p.double(Double{s.First, fmt.Sprintf("blocks of handled overlap by %d offsets within %d-%d", s.overlap, s.First, s.Next)}, a.o.List)
			continue // their counts say nothing
		}
		span := uint64(s.Next - s.First)
		if s.records > span {
			p.Doubles += s.records - span
			p.double(Double{s.First, fmt.Sprintf("handled counts %d records in %d-%d, which are %d offsets", s.records, s.First, s.Next, span)}, a.o.List)
		} else if s.records < span {
			if err := a.short(ctx, p, s); err != nil {
				return err
			}
		}
		if s.held < s.dead {
			p.Fault = fmt.Sprintf("of %d dead letters of %d-%d that handled counts, %d are not in deadletters", s.dead, s.First, s.Next, s.dead-s.held)
			p.Missing += s.dead - s.held
		}
		if s.held > s.dead {
			before := p.Doubles
			if err := a.twice(ctx, p, s.Range); err != nil {
				return err
			}
			if p.Doubles == before {
				p.Doubles += s.held - s.dead
				p.double(Double{s.First, fmt.Sprintf("%d dead letters in %d-%d, where handled counts %d", s.held, s.First, s.Next, s.dead)}, a.o.List)
			}
		}
		t, err := a.ask(ctx, `SELECT count(), min(_offset) FROM readings WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND _partition = {partition:Int32}
    AND _offset >= {first:Int64} AND _offset < {next:Int64}`, p.params(s.Range), 1)
		if err != nil {
			return err
		}
		if len(t.Rows) == 1 && number(t.Rows[0][0]) > 0 {
			p.Doubles += uint64(number(t.Rows[0][0]))
			p.double(Double{number(t.Rows[0][1]), "in readings and counted in handled"}, a.o.List)
		}
	}
	return nil
}

// short judges a stretch that has fewer records than offsets, block by block: what is missing has no record, as far as the log tells.
func (a *auditor) short(ctx context.Context, p *Partition, s stretch) error {
	params := p.params(s.Range)
	params["limit"] = strconv.Itoa(page)
	for {
		t, err := whole(a.ask(ctx, `SELECT first, next, ok + duplicate + filtered + labels + dead AS records FROM handled
WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND _partition = {partition:Int32} AND first >= {first:Int64} AND next <= {next:Int64} AND records < next - first
ORDER BY first LIMIT {limit:UInt32}`, params, page))
		if err != nil {
			return err
		}
		short, blocks := map[Range]uint64{}, []Range{}
		for _, row := range t.Rows {
			r := Range{number(row[0]), number(row[1])}
			short[r] = uint64(number(row[2]))
			blocks = append(blocks, r)
		}
		if err := a.missed(ctx, p, blocks, short); err != nil {
			return err
		}
		if len(t.Rows) < page {
			return nil
		}
		params["first"] = strconv.FormatInt(blocks[len(blocks)-1].Next, 10)
	}
}

// missed counts what blocks, which ascend, lack of the records that the log holds in their ranges; without the log, of their offsets.
func (a *auditor) missed(ctx context.Context, p *Partition, blocks []Range, records map[Range]uint64) error {
	holds := map[Range]uint64{}
	var ask []Range
	for _, b := range blocks {
		if a.o.Log == nil || p.Log == nil || b.First < p.Log.Start {
			holds[b] = uint64(b.Next - b.First) // nobody can tell
		} else {
			ask = append(ask, b)
		}
	}
	if len(ask) > 0 {
		i := 0
		err := a.o.Log.Records(ctx, p.Topic, p.Partition, ask, func(offset int64) {
			for i < len(ask) && ask[i].Next <= offset {
				i++
			}
			if i < len(ask) && offset >= ask[i].First {
				holds[ask[i]]++
			}
		})
		if err != nil {
			return fmt.Errorf("count the records of %s/%d in the log: %w", p.Topic, p.Partition, err)
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(records), func(x, y Range) int { return int(x.First - y.First) }) {
		n, all := records[b], uint64(b.Next-b.First)
		switch {
		case holds[b] > n:
			p.Missing += holds[b] - n
			if len(p.Gaps) < a.o.List {
				p.Gaps = append(p.Gaps, b)
			}
			p.NoRecord += all - holds[b]
		case holds[b] < n:
			p.Doubles += n - holds[b]
			p.double(Double{b.First, fmt.Sprintf("handled counts %d records in %d-%d, and the log holds %d", n, b.First, b.Next, holds[b])}, a.o.List)
		default:
			p.NoRecord += all - n
		}
	}
	return nil
}
