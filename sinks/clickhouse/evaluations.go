package clickhouse

import (
	"context"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// WriteEvaluations stores the cells of a table of models and scenarios.
func (s *Store) WriteEvaluations(ctx context.Context, all []event.Evaluation) error {
	if len(all) == 0 {
		return nil
	}
	f := &frame{rows: len(all)}
	text := func(name string, of func(e *event.Evaluation) string) {
		f.texts(name, func(i int) string { return of(&all[i]) })
	}
	word := func(name string, of func(e *event.Evaluation) string) {
		f.words(name, func(i int) string { return of(&all[i]) })
	}
	real := func(name string, of func(e *event.Evaluation) float64) {
		each(f, name, "Float64", func(i int) float64 { return of(&all[i]) })
	}
	text("id", func(e *event.Evaluation) string { return e.ID })
	word("pipeline", func(e *event.Evaluation) string { return e.Pipeline })
	word("task", func(e *event.Evaluation) string { return e.Task })
	f.micros("time", func(i int) int64 { return all[i].Time })
	text("digest", func(e *event.Evaluation) string { return e.Digest })
	word("metric", func(e *event.Evaluation) string { return e.Metric })
	word("unit", func(e *event.Evaluation) string { return e.Unit })
	real("level", func(e *event.Evaluation) float64 { return e.Level })
	each(f, "place", "UInt32", func(i int) uint32 { return uint32(all[i].Place) })
	each(f, "column", "UInt32", func(i int) uint32 { return uint32(all[i].Column) })
	word("scenario", func(e *event.Evaluation) string { return e.Scenario })
	text("detail", func(e *event.Evaluation) string { return e.Detail })
	each(f, "judged", "Bool", func(i int) byte { return boolean(all[i].Judged) })
	each(f, "windows", "UInt64", func(i int) uint64 { return uint64(all[i].Windows) })
	each(f, "assets", "UInt64", func(i int) uint64 { return uint64(all[i].Assets) })
	word("version", func(e *event.Evaluation) string { return e.Version })
	word("network", func(e *event.Evaluation) string { return e.Network })
	real("value", func(e *event.Evaluation) float64 { return e.Value })
	real("low", func(e *event.Evaluation) float64 { return e.Low })
	real("high", func(e *event.Evaluation) float64 { return e.High })
	real("loss", func(e *event.Evaluation) float64 { return e.Loss })
	each(f, "p50_ns", "Int64", func(i int) int64 { return all[i].P50 })
	each(f, "p99_ns", "Int64", func(i int) int64 { return all[i].P99 })
	real("cpu_seconds_per_million", func(e *event.Evaluation) float64 { return e.CPUSeconds })
	real("joules_per_million", func(e *event.Evaluation) float64 { return e.Joules })
	each(f, "bytes", "UInt64", func(i int) uint64 { return uint64(all[i].Bytes) })
	real("training_seconds", func(e *event.Evaluation) float64 { return e.TrainingSeconds })
	real("training_cpu_seconds", func(e *event.Evaluation) float64 { return e.TrainingCPUSeconds })
	real("training_joules", func(e *event.Evaluation) float64 { return e.TrainingJoules })
	real("retrainings_a_week", func(e *event.Evaluation) float64 { return e.Retrainings })
	real("alarms_a_week", func(e *event.Evaluation) float64 { return e.Alarms })
	text("who", func(e *event.Evaluation) string { return e.Who })
	text("why", func(e *event.Evaluation) string { return e.Why })
	return s.small(ctx, "evaluations", f)
}

// Evaluations returns the cells of a pipeline's newest tables, at most limit of them, the newest table first, each in its own order; an empty pipeline means all.
func (s *Store) Evaluations(ctx context.Context, pipeline string, limit int) (out []event.Evaluation, err error) {
	err = s.scan(ctx, `SELECT id, pipeline, task, time, digest, metric, unit, level, place, column, scenario, detail, judged, windows, assets, version, network, value, low, high, loss,
		p50_ns, p99_ns, cpu_seconds_per_million, joules_per_million, bytes, training_seconds, training_cpu_seconds, training_joules, retrainings_a_week, alarms_a_week, who, why FROM evaluations
		WHERE (pipeline, id) IN (SELECT pipeline, id FROM evaluations WHERE {pipeline:String} = '' OR pipeline = {pipeline:String} GROUP BY pipeline, id ORDER BY max(time) DESC, id LIMIT {limit:UInt64})
		ORDER BY time DESC, id, place, column`,
		func(rows driver.Rows) error {
			var e event.Evaluation
			var at time.Time
			var place, column uint32
			var windows, assets, bytes uint64
			err := rows.Scan(&e.ID, &e.Pipeline, &e.Task, &at, &e.Digest, &e.Metric, &e.Unit, &e.Level, &place, &column, &e.Scenario, &e.Detail, &e.Judged, &windows, &assets, &e.Version,
				&e.Network, &e.Value, &e.Low, &e.High, &e.Loss, &e.P50, &e.P99, &e.CPUSeconds, &e.Joules, &bytes, &e.TrainingSeconds, &e.TrainingCPUSeconds, &e.TrainingJoules, &e.Retrainings, &e.Alarms, &e.Who, &e.Why)
			e.Time, e.Place, e.Column, e.Windows, e.Assets, e.Bytes = at.UnixNano(), int(place), int(column), int(windows), int(assets), int(bytes)
			out = append(out, e)
			return err
		}, ch.Named("pipeline", pipeline), ch.Named("limit", fmt.Sprint(limit)))
	if err != nil {
		return nil, fmt.Errorf("read the evaluations of %s: %w", pipeline, explain(err))
	}
	return out, nil
}

// AlarmsOf counts the alarms about a version; one that was told several times counts once.
func (s *Store) AlarmsOf(ctx context.Context, pipeline, version string) (n uint64, err error) {
	err = s.owner.QueryRow(ctx, "SELECT uniqExact(id) FROM alarms WHERE pipeline = {pipeline:String} AND version = {version:String}",
		ch.Named("pipeline", pipeline), ch.Named("version", version)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the alarms of %s: %w", pipeline, explain(err))
	}
	return n, nil
}
