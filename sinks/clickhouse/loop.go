package clickhouse

import (
	"context"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

// WriteDecision stores one decision of the loop; the same one again is dropped.
func (s *Store) WriteDecision(ctx context.Context, d event.Decision) error {
	f := &frame{rows: 1}
	text := func(name, v string) { f.texts(name, func(int) string { return v }) }
	f.micros("time", func(int) int64 { return d.Time })
	f.word("pipeline", d.Pipeline)
	text("campaign", d.Campaign)
	f.word("stage", d.Stage)
	f.word("verdict", d.Verdict)
	text("reason", d.Reason)
	f.word("champion", d.Champion)
	f.word("challenger", d.Challenger)
	text("facts", d.Facts)
	f.word("who", d.Who)
	token := fmt.Sprintf("decision %s %s %d", d.Pipeline, d.Campaign, d.Time)
	if _, err := s.insert(ctx, "decisions", f.rows, s.insertSettings(token), func() *frame { return f }); err != nil {
		return fmt.Errorf("insert into decisions: %w", explain(err))
	}
	return nil
}

// Decisions returns a pipeline's newest decisions, at most limit, oldest of them first; an empty pipeline means all.
func (s *Store) Decisions(ctx context.Context, pipeline string, limit int) (out []event.Decision, err error) {
	err = s.scan(ctx, `SELECT * FROM (SELECT time, pipeline, campaign, stage, verdict, reason, champion, challenger, facts, who FROM decisions
		WHERE {pipeline:String} = '' OR pipeline = {pipeline:String} ORDER BY time DESC LIMIT {limit:UInt64}) ORDER BY time`,
		func(rows driver.Rows) error {
			var d event.Decision
			var at time.Time
			err := rows.Scan(&at, &d.Pipeline, &d.Campaign, &d.Stage, &d.Verdict, &d.Reason, &d.Champion, &d.Challenger, &d.Facts, &d.Who)
			d.Time = at.UnixNano()
			out = append(out, d)
			return err
		}, ch.Named("pipeline", pipeline), ch.Named("limit", max(limit, 0)))
	if err != nil {
		return nil, fmt.Errorf("read the decisions on %s: %w", pipeline, explain(err))
	}
	return out, nil
}

// Service is how a version did on the line.
type Service struct {
	Windows, Assets uint64
	// Compute is the median time of the scorer a window, Latency the 99th percentile from a record's arrival to the verdict, nanoseconds; NaN where there are no windows.
	Compute, Latency float64
	// Distance is the mean distance of its risk from that of the version whose scores counted for the same windows; NaN where it is no shadow's.
	Distance float64
}

// Service tells how a version did on the line since a time of the wall clock, whether its scores counted or not.
func (s *Store) Service(ctx context.Context, pipeline, version string, since time.Time) (v Service, err error) {
	from := since.UnixMicro()
	args := []any{ch.Named("pipeline", pipeline), ch.Named("version", version), ch.Named("from", from)}
	err = s.owner.QueryRow(ctx, `SELECT count(), uniqExact(asset), quantile(0.5)(compute_ns / greatest(batch, 1)), quantile(0.99)(toFloat64(latency_ns)) FROM
		(
			SELECT asset, compute_ns, batch, latency_ns FROM scores
			WHERE pipeline = {pipeline:String} AND version = {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
			UNION ALL
			SELECT asset, compute_ns, batch, latency_ns FROM shadow_scores
			WHERE pipeline = {pipeline:String} AND version = {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
			UNION ALL
			SELECT camera AS asset, compute_ns, batch, latency_ns FROM frames
			WHERE pipeline = {pipeline:String} AND version = {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND status = 'scored'
			UNION ALL
			SELECT camera AS asset, compute_ns, batch, 0 AS latency_ns FROM shadow_frames
			WHERE pipeline = {pipeline:String} AND version = {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
		)`, args...).Scan(&v.Windows, &v.Assets, &v.Compute, &v.Latency)
	if err == nil {
		// The newest are enough: the distance is told, nobody decides by it.
		err = s.owner.QueryRow(ctx, `SELECT avg(abs(h.risk - s.risk)) FROM
			(SELECT asset, end, risk FROM (
				SELECT asset, end, risk, scored_at FROM shadow_scores WHERE pipeline = {pipeline:String} AND version = {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
				UNION ALL
				SELECT camera AS asset, captured AS end, risk, scored_at FROM shadow_frames
				WHERE pipeline = {pipeline:String} AND version = {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
			) ORDER BY scored_at DESC LIMIT 10000) AS h
			INNER JOIN (
				SELECT asset, end, risk FROM scores WHERE pipeline = {pipeline:String} AND version != {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
				UNION ALL
				SELECT camera AS asset, captured AS end, risk FROM frames
				WHERE pipeline = {pipeline:String} AND version != {version:String} AND scored_at >= fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND status = 'scored'
			) AS s ON s.asset = h.asset AND s.end = h.end`, args...).Scan(&v.Distance)
	}
	if err != nil {
		return v, fmt.Errorf("read how version %s of %s does: %w", version, pipeline, explain(err))
	}
	return v, nil
}

// Fresh counts what has come of labels since a time of the wall clock: the assets that a label of a kind is of, or all labels where kind is empty. Where since is not 0 only those count that speak of the
// event time after it (Unix nanoseconds): labels of later things, and assets whose life until the label, from the label before or their first reading on, was at least half after it, or so long after it as
// enough says.
func (s *Store) Fresh(ctx context.Context, pipeline, kind string, from time.Time, since int64, enough time.Duration) (n uint64, err error) {
	args := []any{ch.Named("pipeline", pipeline), ch.Named("kind", kind), ch.Named("from", from.UnixMicro()), ch.Named("since", since/1000), ch.Named("enough", enough.Microseconds())}
	const counted = ` FROM truth_labels WHERE pipeline = {pipeline:String} AND ({kind:String} = '' OR label = {kind:String}) AND _stored >= fromUnixTimestamp64Micro({from:Int64}, 'UTC')
		AND ({since:Int64} = 0 OR time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC'))`
	query := `SELECT if({kind:String} = '', count(), uniqExact(asset))` + counted
	if kind != "" && since != 0 {
		query = `SELECT count() FROM
			(SELECT asset, toUnixTimestamp64Micro(max(time)) AS failed, toUnixTimestamp64Micro(arrayElement(arrayReverseSort(groupUniqArray(time)), 2)) AS before FROM truth_labels
				WHERE pipeline = {pipeline:String} AND label = {kind:String} AND asset IN (SELECT asset` + counted + `) GROUP BY asset) AS l
			INNER JOIN (SELECT asset, toUnixTimestamp64Micro(min(time)) AS first FROM readings WHERE pipeline = {pipeline:String} AND asset IN (SELECT asset` + counted + `) GROUP BY asset) AS r
				ON r.asset = l.asset
			WHERE failed - {since:Int64} >= least(intDiv(failed - greatest(before, first), 2), {enough:Int64})`
	}
	err = s.owner.QueryRow(ctx, query, args...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the fresh labels of %s: %w", pipeline, explain(err))
	}
	return n, nil
}
