package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// Count returns how many readings with status ok a pipeline has stored.
func (s *Store) Count(ctx context.Context, pipeline string) (n uint64, err error) {
	// The expressions are those of the projection by_minute, which knows the answer for all parts that were merged.
	err = s.owner.QueryRow(ctx, `SELECT sum(n) FROM (SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored) AS minute, count() AS n FROM readings
		WHERE pipeline = {pipeline:String} AND status = 'ok' GROUP BY pipeline, _topic, _partition, status, minute)`, ch.Named("pipeline", pipeline)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the readings of %s: %w", pipeline, explain(err))
	}
	return n, nil
}

// Readings calls f with each asset's readings of status ok in [from, until), Unix nanoseconds, assets in the order of their names, rows in the order
// of time, then offset. A row's Values follow signals, NaN where a reading had no such signal; a reading that was stored twice comes once.
// assets nil means all, until 0 no bound. Memory holds one asset's rows at a time; f may keep them. An error of f ends it and is returned as it is.
//
// query is the same question in plain SQL, to be asked again.
func (s *Store) Readings(ctx context.Context, pipeline string, signals, assets []string, from, until int64, f func(asset string, rows []event.Row) error) (query string, err error) {
	return s.readings(ctx, pipeline, signals, readingsWhere(pipeline, assets, from, until), f)
}

// readings is Readings of what a condition takes.
func (s *Store) readings(ctx context.Context, pipeline string, signals []string, where string, f func(asset string, rows []event.Row) error) (query string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the readings of %s: %w", pipeline, explain(err))
		}
	}()
	query, err = s.readingsQuery(ctx, signals, where)
	if err != nil {
		return "", err
	}
	var (
		asset, name string
		of          []event.Row
		arena       []float64
		values      = make([]float64, len(signals))
		at          time.Time
		pos, last   event.Position
	)
	dest := []any{&name, &at, &pos.Topic, &pos.Partition, &pos.Offset}
	for i := range values {
		dest = append(dest, &values[i])
	}
	flush := func() error {
		if len(of) == 0 {
			return nil
		}
		err := f(asset, of)
		of = nil
		return err
	}
	ordered := ch.Context(ctx, ch.WithSettings(ch.Settings{"optimize_read_in_order": 1, "max_query_size": 64 << 20, "max_ast_elements": 10_000_000}))
	err = s.scan(ordered, query, func(rows driver.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		ns := at.UnixNano()
		if name != asset {
			if err := flush(); err != nil {
				return err
			}
			asset = strings.Clone(name)
			arena = nil
		} else if n := len(of); n > 0 && of[n-1].Time == ns && last == pos {
			return nil
		}
		if len(arena)+len(values) > cap(arena) {
			arena = make([]float64, 0, max(256*len(values), min(2*cap(arena), 1<<20)))
		}
		arena = append(arena, values...)
		of = append(of, event.Row{Offset: pos.Offset, Asset: asset, Time: ns, Values: arena[len(arena)-len(values) : len(arena) : len(arena)]})
		last = pos
		return nil
	})
	if err != nil {
		return query, err
	}
	return query, flush()
}

// readingsQuery lets the server pick the signals, so that the driver decodes plain numbers: decoding an array goes through reflection.
func (s *Store) readingsQuery(ctx context.Context, signals []string, where string) (string, error) {
	if len(signals) == 0 {
		return "", fmt.Errorf("no signals are asked for")
	}
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"max_query_size": 64 << 20, "max_ast_elements": 10_000_000}))
	var layouts []string
	err := s.scan(ctx, "SELECT DISTINCT toString(signals) AS names FROM readings WHERE "+where+" ORDER BY names", func(rows driver.Rows) error {
		var l string
		err := rows.Scan(&l)
		layouts = append(layouts, l)
		return err
	})
	if err != nil {
		return "", err
	}
	columns := make([]string, len(signals))
	for i, signal := range signals {
		columns[i] = pick(signal, layouts)
	}
	return "SELECT asset, time, _topic, _partition, _offset, " + strings.Join(columns, ", ") + " FROM readings WHERE " + where + " ORDER BY asset, time, _topic, _partition, _offset", nil
}

func readingsWhere(pipeline string, assets []string, from, until int64) string {
	where := fmt.Sprintf("pipeline = %s AND status = 'ok' AND time >= %s", literal(pipeline), instant(from))
	if until != 0 {
		where += " AND time < " + instant(until)
	}
	if assets != nil {
		quoted := make([]string, len(assets))
		for i, a := range assets {
			quoted[i] = literal(a)
		}
		if len(quoted) == 0 {
			quoted = []string{"''"}
		}
		where += " AND asset IN (" + strings.Join(quoted, ", ") + ")"
	}
	return where
}

// Spans returns the offsets between which the readings are that Readings would give now, by topic and partition.
func (s *Store) Spans(ctx context.Context, pipeline string, assets []string, from, until int64) ([]event.Span, error) {
	return s.spans(ctx, pipeline, readingsWhere(pipeline, assets, from, until))
}

func (s *Store) spans(ctx context.Context, pipeline, where string) ([]event.Span, error) {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"max_query_size": 64 << 20, "max_ast_elements": 10_000_000}))
	var all []event.Span
	err := s.scan(ctx, "SELECT toString(_topic) AS topic, _partition, min(_offset), max(_offset) + 1 FROM readings WHERE "+where+
		" GROUP BY topic, _partition ORDER BY topic, _partition", func(rows driver.Rows) error {
		var p event.Span
		err := rows.Scan(&p.Topic, &p.Partition, &p.First, &p.Next)
		all = append(all, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the offsets of the readings of %s: %w", pipeline, explain(err))
	}
	return all, nil
}

// pick returns the expression for a signal's value, where rows have one of the layouts (lists of signals) that were ever stored.
func pick(signal string, layouts []string) string {
	place := func(layout string) string {
		if i := slices.Index(strings.Split(layout, ","), signal); i >= 0 {
			return fmt.Sprintf("values[%d]", i+1)
		}
		return "nan"
	}
	switch len(layouts) {
	case 0:
		return "nan"
	case 1:
		return place(layouts[0])
	}
	var b strings.Builder
	b.WriteString("multiIf(")
	for _, l := range layouts[:len(layouts)-1] {
		fmt.Fprintf(&b, "signals = %s, %s, ", literal(l), place(l))
	}
	b.WriteString(place(layouts[len(layouts)-1]) + ")")
	return b.String()
}

// literal writes a string as SQL.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// instant writes Unix nanoseconds as SQL; the store holds microseconds.
func instant(ns int64) string {
	us := int64(math.Ceil(float64(ns%1000)/1000)) + ns/1000
	return fmt.Sprintf("fromUnixTimestamp64Micro(%d, 'UTC')", us)
}
