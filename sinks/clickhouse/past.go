package clickhouse

import (
	"context"
	"fmt"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// Marks returns how far a pipeline's rows, frames and labels are stored now. A partition's blocks are stored in the order of their offsets, so that what lies before the marks stays what it is, until retention
// takes it.
func (s *Store) Marks(ctx context.Context, pipeline string) (m event.Marks, err error) {
	read := func(table string) (spans []event.Span) {
		if err != nil {
			return nil
		}
		err = s.scan(ctx, "SELECT toString(_topic) AS topic, _partition, min(_offset), max(_offset) + 1 FROM "+table+" WHERE pipeline = {pipeline:String} GROUP BY topic, _partition ORDER BY topic, _partition",
			func(rows driver.Rows) error {
				var p event.Span
				err := rows.Scan(&p.Topic, &p.Partition, &p.First, &p.Next)
				spans = append(spans, p)
				return err
			}, ch.Named("pipeline", pipeline))
		return spans
	}
	// Labels first: the rows that they speak of are then read as far as they have come.
	m.Labels = read("labels")
	m.Rows, m.Frames = read("readings"), read("frames")
	if err == nil {
		var n uint64
		if err = s.owner.QueryRow(ctx, "SELECT count() FROM labels WHERE pipeline = {pipeline:String} AND of != '' AND asset = ''", ch.Named("pipeline", pipeline)).Scan(&n); n > 0 {
			m.Scores = read("scores")
		}
	}
	if err != nil {
		return event.Marks{}, fmt.Errorf("see how far %s is stored: %w", pipeline, explain(err))
	}
	return m, nil
}

// Past is the store as it was at marks, as far as models are made of it. Safe for concurrent use.
type Past struct {
	s     *Store
	marks event.Marks
}

// At returns the store as it was.
func (s *Store) At(m event.Marks) *Past { return &Past{s, m} }

// within is the condition that a row lies in spans; each span's begin is left to retention.
func within(spans []event.Span) string {
	if len(spans) == 0 {
		return "0"
	}
	all := make([]string, len(spans))
	for i, p := range spans {
		all[i] = fmt.Sprintf("_topic = %s AND _partition = %d AND _offset < %d", literal(p.Topic), p.Partition, p.Next)
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// Labels is Store.Labels as it was.
func (p *Past) Labels(ctx context.Context, pipeline, kind string) ([]event.Label, error) {
	// The view's own tables are bounded, since what counts of labels hangs on all that were told.
	filters := fmt.Sprintf("{'labels': %s, 'scores': %s}", literal(within(p.marks.Labels)), literal(within(p.marks.Scores)))
	return p.s.Labels(ch.Context(ctx, ch.WithSettings(ch.Settings{"additional_table_filters": filters})), pipeline, kind)
}

// Readings is Store.Readings as it was.
func (p *Past) Readings(ctx context.Context, pipeline string, signals, assets []string, from, until int64, f func(asset string, rows []event.Row) error) (query string, err error) {
	return p.s.readings(ctx, pipeline, signals, readingsWhere(pipeline, assets, from, until)+" AND "+within(p.marks.Rows), f)
}

// Spans is Store.Spans as it was.
func (p *Past) Spans(ctx context.Context, pipeline string, assets []string, from, until int64) ([]event.Span, error) {
	return p.s.spans(ctx, pipeline, readingsWhere(pipeline, assets, from, until)+" AND "+within(p.marks.Rows))
}
