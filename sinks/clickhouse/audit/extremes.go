package audit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"andon/event"
)

// extreme is the least and greatest offset that is stored of one partition.
type extreme struct {
	place
	first, last int64
	age         int64 // seconds since the oldest row was stored
}

// place is one partition of what a pipeline reads.
type place struct {
	pipeline, topic string
	partition       int32
}

// extremes returns what is stored of each partition, or what was stored of it within the last seconds. The query over readings is one that their
// projection answers.
func (a *auditor) extremes(ctx context.Context, seconds int64) ([]extreme, error) {
	minute, stored := "", ""
	if seconds > 0 {
		since := fmt.Sprintf("(now() - toIntervalSecond(%d))", seconds)
		minute, stored = "WHERE toStartOfMinute(_stored) >= "+since, "WHERE _stored >= "+since
	}
	t, err := whole(a.ask(ctx, `SELECT source, pipeline, _topic, _partition, first, last, toUnixTimestamp(now()) - toUnixTimestamp(oldest) FROM
(
    SELECT 'readings' AS source, pipeline, _topic, _partition, min(_offset) AS first, max(_offset) AS last, min(toStartOfMinute(_stored)) AS oldest
        FROM readings `+minute+` GROUP BY pipeline, _topic, _partition
    UNION ALL
    SELECT 'deadletters', pipeline, _topic, _partition, min(_offset), max(_offset), min(toStartOfMinute(_stored))
        FROM deadletters `+stored+` GROUP BY pipeline, _topic, _partition
    UNION ALL
    SELECT 'frames', pipeline, _topic, _partition, min(_offset), max(_offset), min(toStartOfMinute(_stored))
        FROM frames `+stored+` GROUP BY pipeline, _topic, _partition
    UNION ALL
    SELECT 'handled', pipeline, _topic, _partition, min(first), max(next) - 1, min(toStartOfMinute(_stored))
        FROM handled `+stored+` GROUP BY pipeline, _topic, _partition
    UNION ALL
    SELECT 'labels', '', _topic, _partition, min(_offset), max(_offset), min(toStartOfMinute(_stored)) FROM labels `+stored+` GROUP BY _topic, _partition
)`, nil, 0))
	if err != nil {
		return nil, err
	}
	all := map[place]*extreme{}
	join := func(e extreme) {
		if had := all[e.place]; had != nil {
			had.first, had.last, had.age = min(had.first, e.first), max(had.last, e.last), max(had.age, e.age)
			return
		}
		all[e.place] = &e
	}
	var labels []extreme
	readers := map[string]map[string]bool{} // of a topic, without labels
	for _, row := range t.Rows {
		e := extreme{place{text(row[1]), text(row[2]), int32(number(row[3]))}, number(row[4]), number(row[5]), number(row[6])}
		if text(row[0]) == "labels" {
			labels = append(labels, e)
			continue
		}
		if readers[e.topic] == nil {
			readers[e.topic] = map[string]bool{}
		}
		readers[e.topic][e.pipeline] = true
		join(e)
	}
	for _, e := range labels {
		if a.labelled[e.topic] == "" {
			a.labelled[e.topic] = owner(readers[e.topic])
		}
		e.pipeline = a.labelled[e.topic]
		join(e)
	}
	out := make([]extreme, 0, len(all))
	for _, e := range all {
		out = append(out, *e)
	}
	return out, nil
}

// owner says which pipeline the labels of a topic came through: the one that has dead letters of it, if it is one.
func owner(readers map[string]bool) string {
	if len(readers) == 1 {
		for only := range readers {
			return only
		}
	}
	return LabelsPipeline
}

var ttl = regexp.MustCompile(` TTL \S+ \+ toIntervalSecond\((\d+)\)`)

// floors returns, of what is stored, the offset from which on each partition can be proved, where that is not its first: older rows were dropped by age,
// or are not asked about. Tables forget at different ages, so the shortest counts, less an hour, for rows of one block are not stored in the same instant.
func (a *auditor) floors(ctx context.Context, stored []extreme) (map[place]int64, error) {
	keep := a.o.Since
	t, err := a.ask(ctx, "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN ('readings', 'frames', 'labels', 'deadletters', 'handled')", nil, 0)
	if err != nil {
		return nil, err
	}
	if len(t.Rows) == 0 {
		return nil, errors.New("the database has no tables of andon: is this the right ClickHouse?")
	}
	for _, row := range t.Rows {
		if m := ttl.FindStringSubmatch(text(row[1])); m != nil {
			seconds, _ := strconv.ParseInt(m[1], 10, 64)
			d := time.Duration(seconds) * time.Second
			d -= min(d/2, time.Hour)
			if keep == 0 || d < keep {
				keep = d
			}
		}
	}
	seconds := max(int64(keep.Seconds()), 1)
	if keep == 0 || !slices.ContainsFunc(stored, func(e extreme) bool { return e.age >= seconds }) {
		return nil, nil
	}
	late, err := a.extremes(ctx, seconds)
	if err != nil {
		return nil, err
	}
	floors := map[place]int64{}
	for _, e := range stored {
		floors[e.place] = e.last + 1 // nothing new enough
	}
	for _, e := range late {
		floors[e.place] = e.first
	}
	return floors, nil
}

// text and number read a cell whatever way it was decoded.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return fmt.Sprint(v)
}

func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case uint64:
		return int64(v)
	}
	n, err := strconv.ParseInt(text(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// array writes numbers as ClickHouse reads an array.
func array[T int32 | int64](all []T) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(int64(v), 10))
	}
	b.WriteByte(']')
	return b.String()
}

// whole fails when an answer was cut.
func whole(t *event.Table, err error) (*event.Table, error) {
	if err == nil && t.Truncated {
		err = fmt.Errorf("the answer was cut at %d rows: raise console.query_rows", len(t.Rows))
	}
	return t, err
}
