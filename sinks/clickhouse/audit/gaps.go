package audit

import (
	"context"
	"fmt"
	"strconv"
)

// page is how many gaps are asked for at once.
const page = 5000

// gaps names what is missing of one partition. Without the log the first gaps are enough, for the counts tell how many offsets they are; the log is asked
// about each.
func (a *auditor) gaps(ctx context.Context, p *Partition) error {
	if p.Missing = p.missing(); p.Missing == 0 {
		return nil
	}
	p.Missing = 0
	enough := func() bool { return a.o.Log == nil && len(p.Gaps) >= a.o.List }
	var pending []Range
	flush := func() error {
		all := pending
		pending = nil
		return a.judge(ctx, p, all)
	}
	one := func(r Range) error {
		if pending = append(pending, r); len(pending) >= page {
			return flush()
		}
		return nil
	}
	add := func(r Range) error {
		if r.Next <= r.First {
			return nil
		}
		return p.outside(r, one)
	}
	at := p.Examined.First
	for _, c := range p.chunks {
		if err := add(Range{at, c.min}); err != nil {
			return err
		}
		at = c.max + 1
		if uint64(at-c.min) > c.offsets && !enough() {
			if err := a.inside(ctx, p, Range{c.min, at}, add); err != nil {
				return err
			}
		}
		if a.o.Log == nil {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := add(Range{at, p.Examined.Next}); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if a.o.Log == nil {
		p.Missing = p.missing()
	}
	return nil
}

// inside finds the gaps inside a stretch whose first and last offset are stored.
func (a *auditor) inside(ctx context.Context, p *Partition, r Range, f func(Range) error) error {
	limit := page
	if a.o.Log == nil {
		limit = a.o.List
	}
	for r.First < r.Next {
		params := map[string]string{"pipeline": p.Pipeline, "topic": p.Topic, "partition": strconv.Itoa(int(p.Partition)),
			"first": strconv.FormatInt(r.First, 10), "next": strconv.FormatInt(r.Next, 10), "limit": strconv.Itoa(limit)}
		filter := "_partition = {partition:Int32} AND _offset >= {first:Int64} AND _offset < {next:Int64}"
		t, err := whole(a.ask(ctx, `SELECT o + 1, following FROM
(
    SELECT o, leadInFrame(o, 1, o) OVER (ORDER BY o ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS following FROM
    (
        SELECT DISTINCT _offset AS o FROM
        (
            `+a.union(p.Pipeline, p.Topic, filter)+`
        )
    )
)
WHERE following > o + 1 ORDER BY o LIMIT {limit:UInt32}`, params, limit))
		if err != nil {
			return err
		}
		for _, row := range t.Rows {
			if err := f(Range{number(row[0]), number(row[1])}); err != nil {
				return err
			}
		}
		if len(t.Rows) < limit || a.o.Log == nil {
			return nil
		}
		r.First = number(t.Rows[len(t.Rows)-1][1])
	}
	return nil
}

// judge counts ranges that are stored nowhere: as gaps, but for the offsets that hold no record as far as the log can tell.
func (a *auditor) judge(ctx context.Context, p *Partition, ranges []Range) error {
	if a.o.Log == nil || p.Log == nil {
		for _, r := range ranges {
			p.gap(r, a.o.List)
		}
		return nil
	}
	var ask []Range
	for _, r := range ranges {
		if r.First < p.Log.Start { // gone from the log
			p.gap(Range{r.First, min(r.Next, p.Log.Start)}, a.o.List)
			r.First = min(r.Next, p.Log.Start)
		}
		if r.First < r.Next {
			ask = append(ask, r)
			p.NoRecord += uint64(r.Next - r.First)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	var open Range
	err := a.o.Log.Records(ctx, p.Topic, p.Partition, ask, func(offset int64) {
		p.NoRecord--
		if open.Next == offset && open.Next > open.First {
			open.Next++
			return
		}
		p.gap(open, a.o.List)
		open = Range{offset, offset + 1}
	})
	if err != nil {
		return fmt.Errorf("read what is missing from the log of %s/%d: %w", p.Topic, p.Partition, err)
	}
	p.gap(open, a.o.List)
	return nil
}

func (p *Partition) gap(r Range, list int) {
	if r.Next <= r.First {
		return
	}
	p.Missing += uint64(r.Next - r.First)
	if len(p.Gaps) < list {
		p.Gaps = append(p.Gaps, r)
	}
}
