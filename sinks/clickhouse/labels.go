package clickhouse

import (
	"context"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// Labels returns a pipeline's labels that count, of one kind, or of all where kind is empty, in the order of time: the last that was told of each asset, time, kind and box, none that were
// withdrawn and none that somebody contradicts. Weight is 1 where none was told.
func (s *Store) Labels(ctx context.Context, pipeline, kind string) ([]event.Label, error) {
	return s.labels(ctx, pipeline, "label = {kind:String} OR {kind:String} = ''", ch.Named("kind", kind))
}

// Marked returns a pipeline's labels that count and that somebody gave a weight of its own or made an example that every model is examined on, in the order of time.
func (s *Store) Marked(ctx context.Context, pipeline string) ([]event.Label, error) {
	return s.labels(ctx, pipeline, "golden OR weight != 1")
}

func (s *Store) labels(ctx context.Context, pipeline, where string, params ...any) (out []event.Label, err error) {
	err = s.scan(ctx, `SELECT asset, time, until, label, value, box, weight, golden, who, note, told, _topic, _partition, _offset FROM truth_labels
		WHERE pipeline = {pipeline:String} AND (`+where+`) ORDER BY time, asset, label, _topic, _partition, _offset`,
		func(rows driver.Rows) error {
			l := event.Label{Pipeline: pipeline}
			var at, until, told time.Time
			var box []float64
			err := rows.Scan(&l.Asset, &at, &until, &l.Kind, &l.Value, &box, &l.Weight, &l.Golden, &l.Who, &l.Note, &told, &l.Topic, &l.Partition, &l.Offset)
			l.Time, l.Until, l.Told = at.UnixNano(), until.UnixNano(), told.UnixNano()
			if len(box) == 4 {
				l.Box = event.Box{X0: float32(box[0]), Y0: float32(box[1]), X1: float32(box[2]), Y1: float32(box[3])}
			}
			out = append(out, l)
			return err
		}, append([]any{ch.Named("pipeline", pipeline)}, params...)...)
	if err != nil {
		return nil, fmt.Errorf("read the labels of %s: %w", pipeline, explain(err))
	}
	return out, nil
}
