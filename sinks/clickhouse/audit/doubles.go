package audit

import (
	"context"
	"maps"
	"slices"
	"strconv"
)

// rowsAtOnce bounds what one search for doubles reads, so that it ends well within a query's time.
const rowsAtOnce = 2_000_000

// doubles looks closer where there are more rows than offsets. A record may have several rows, of other assets or instants; a double is a row that is there
// twice, or an offset in two tables.
func (a *auditor) doubles(ctx context.Context, p *Partition) error {
	p.Doubles, p.Twice = 0, p.Twice[:0]
	var open Range
	var rows uint64
	flush := func() error {
		if rows == 0 {
			return nil
		}
		rows = 0
		return a.twice(ctx, p, open)
	}
	for _, c := range p.chunks {
		if c.rows == c.offsets {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		if rows == 0 {
			open.First = c.min
		}
		open.Next = c.max + 1
		if rows += c.rows; rows >= rowsAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// twice searches one stretch. A record whose score or reading ClickHouse refused is a dead letter beside what was taken of it,
// and a frame whose JPEG is broken is one beside its row.
func (a *auditor) twice(ctx context.Context, p *Partition, r Range) error {
	const mine = "pipeline = {pipeline:String} AND _topic = {topic:String} AND _partition = {partition:Int32} AND _offset >= {first:Int64} AND _offset < {next:Int64}"
	const anyones = "_topic = {topic:String} AND _partition = {partition:Int32} AND _offset >= {first:Int64} AND _offset < {next:Int64}"
	sql := `SELECT _offset, concat(toString(count()), ' readings of ', asset, ' at ', toString(time)) AS what, count() - 1 AS extra FROM readings
        WHERE ` + mine + ` GROUP BY asset, time, signals, _offset HAVING extra > 0
    UNION ALL
    SELECT _offset, concat(toString(count()), ' dead letters, ', reason), count() - 1 AS extra FROM deadletters
        WHERE ` + mine + ` GROUP BY reason, detail, _offset HAVING extra > 0
    UNION ALL
    SELECT DISTINCT _offset, 'in readings and in deadletters', 1 FROM readings
        WHERE ` + mine + ` AND _offset IN (SELECT _offset FROM deadletters WHERE ` + mine + ` AND reason != 'refused')
    UNION ALL
    SELECT _offset, concat(toString(count()), ' frames of ', any(camera), ' at ', toString(any(captured))) AS what, count() - 1 AS extra FROM frames
        WHERE ` + mine + ` GROUP BY _offset HAVING extra > 0
    UNION ALL
    SELECT DISTINCT _offset, 'in frames and in deadletters', 1 FROM frames
        WHERE ` + mine + ` AND _offset IN (SELECT _offset FROM deadletters WHERE ` + mine + ` AND reason NOT IN ('refused', 'broken'))`
	if a.labelled[p.Topic] == p.Pipeline {
		sql += `
    UNION ALL
    SELECT _offset, concat(toString(count()), ' labels of ', asset, ' at ', toString(time)), count() - 1 AS extra FROM labels
        WHERE ` + anyones + ` GROUP BY pipeline, asset, time, label, _offset HAVING extra > 0
    UNION ALL
    SELECT DISTINCT _offset, 'in labels and in deadletters', 1 FROM labels
        WHERE ` + anyones + ` AND _offset IN (SELECT _offset FROM deadletters WHERE ` + mine + ` AND reason != 'refused')
    UNION ALL
    SELECT DISTINCT _offset, 'in labels and in readings', 1 FROM labels WHERE ` + anyones + ` AND _offset IN (SELECT _offset FROM readings WHERE ` + mine + `)`
	}
	params := map[string]string{"pipeline": p.Pipeline, "topic": p.Topic, "partition": strconv.Itoa(int(p.Partition)),
		"first": strconv.FormatInt(r.First, 10), "next": strconv.FormatInt(r.Next, 10), "list": strconv.Itoa(a.o.List)}
	t, err := a.ask(ctx, `SELECT _offset, what, sum(extra) OVER () AS total FROM
(
    `+sql+`
)
ORDER BY _offset, what LIMIT {list:UInt32} SETTINGS optimize_aggregation_in_order = 1`, params, a.o.List)
	if err != nil {
		return err
	}
	for i, row := range t.Rows {
		if i == 0 {
			p.Doubles += uint64(number(row[2]))
		}
		p.double(Double{number(row[0]), text(row[1])}, a.o.List)
	}
	return nil
}

func (p *Partition) double(d Double, list int) {
	if len(p.Twice) < list {
		p.Twice = append(p.Twice, d)
	}
}

// windowed is a table of rows that a record made of a window, asset and end.
type windowed struct {
	table string
	count func(p *Partition) *uint64
	// once is what names a window, and double tells which groups of rows of equal once, n of them, of offsets and least offset, are one row too often.
	once, double string
}

var (
	scored = windowed{"scores", func(p *Partition) *uint64 { return &p.Scores }, "asset, end, _topic, _partition, _offset", "n > 1"}
	// A window is told again, for what came after, if its asset was forgotten: then another asset's record closed it the first time.
	told = windowed{"features", func(p *Partition) *uint64 { return &p.Features }, "asset, end, _topic, _partition", `n > 1 AND (offsets < n OR (asset, _topic, _partition, least) IN
(
    SELECT asset, _topic, _partition, _offset FROM readings WHERE pipeline = {pipeline:String} AND asset >= {low:String} AND asset <= {high:String}
    AND (asset, _offset) IN
    (
        SELECT asset, min(_offset) FROM features WHERE pipeline = {pipeline:String} AND asset >= {low:String} AND asset <= {high:String}
        GROUP BY asset, end, _topic, _partition HAVING count() > 1
    )
))`}
)

// windows counts a pipeline's scores, or windows' values, and searches for doubles. Unlike readings they have no count to be held against, as one record may
// complete the windows of many assets, so all are searched, some assets at a time, in the order of the table.
func (a *auditor) windows(ctx context.Context, w windowed, pipeline string, topics map[string][]*Partition) error {
	by := map[place]*Partition{}
	total := uint64(0)
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		params := map[string]string{"pipeline": pipeline, "topic": topic}
		filter := within(topics[topic], examined(topics[topic]), params)
		t, err := whole(a.ask(ctx, `SELECT _partition, count() FROM `+w.table+` WHERE pipeline = {pipeline:String} AND _topic = {topic:String} AND `+filter+`
GROUP BY _partition`, params, 0))
		if err != nil {
			return err
		}
		for _, p := range topics[topic] {
			by[place{pipeline, topic, p.Partition}] = p
		}
		for _, row := range t.Rows {
			if p := by[place{pipeline, topic, int32(number(row[0]))}]; p != nil {
				*w.count(p) = uint64(number(row[1]))
				total += *w.count(p)
			}
		}
	}
	if total == 0 {
		return nil
	}
	bounds, err := whole(a.ask(ctx, `SELECT min(asset), max(asset) FROM
(
    SELECT asset, intDiv(sum(n) OVER (ORDER BY asset ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - n, {rows:UInt64}) AS part
    FROM (SELECT toString(asset) AS asset, count() AS n FROM `+w.table+` WHERE pipeline = {pipeline:String} GROUP BY asset)
)
GROUP BY part ORDER BY part`, map[string]string{"pipeline": pipeline, "rows": strconv.Itoa(rowsAtOnce)}, 0))
	if err != nil {
		return err
	}
	for _, b := range bounds.Rows {
		params := map[string]string{"pipeline": pipeline, "low": text(b[0]), "high": text(b[1])}
		// Rows that are equal have equal hashes: as many hashes as rows proves it, and costs a tenth of grouping them.
		t, err := a.ask(ctx, `SELECT count() - uniqExact(cityHash64(`+w.once+`)) FROM `+w.table+`
WHERE pipeline = {pipeline:String} AND asset >= {low:String} AND asset <= {high:String}`, params, 1)
		if err != nil {
			return err
		}
		if len(t.Rows) == 1 && number(t.Rows[0][0]) == 0 {
			continue
		}
		params["list"] = strconv.Itoa(a.o.List)
		t, err = whole(a.ask(ctx, `SELECT _topic, _partition, last, concat(toString(n), ' `+w.table+` of ', asset, ' at ', toString(end)),
    sum(extra) OVER (PARTITION BY _topic, _partition) FROM
(
    SELECT asset, end, _topic, _partition, count() AS n, count() - 1 AS extra, uniqExact(_offset) AS offsets, min(_offset) AS least, max(_offset) AS last FROM `+w.table+`
    WHERE pipeline = {pipeline:String} AND asset >= {low:String} AND asset <= {high:String}
    GROUP BY `+w.once+` HAVING `+w.double+`
)
ORDER BY _topic, _partition, last LIMIT {list:UInt32} BY _topic, _partition SETTINGS optimize_aggregation_in_order = 1`, params, 0))
		if err != nil {
			return err
		}
		counted := map[*Partition]bool{}
		for _, row := range t.Rows {
			p := by[place{pipeline, text(row[0]), int32(number(row[1]))}]
			if p == nil { // what it was made from has been forgotten
				p = &Partition{Pipeline: pipeline, Topic: text(row[0]), Partition: int32(number(row[1])), First: -1, Last: -1, Dead: map[string]uint64{}, Gaps: []Range{}}
				a.parts, by[place{p.Pipeline, p.Topic, p.Partition}] = append(a.parts, p), p
			}
			if !counted[p] {
				counted[p] = true
				p.Doubles += uint64(number(row[4]))
			}
			p.double(Double{number(row[2]), text(row[3])}, a.o.List)
		}
	}
	return nil
}
