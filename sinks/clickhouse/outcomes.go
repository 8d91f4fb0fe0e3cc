package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"andon/event"
)

type settling event.Settling

// outcomeColumns are in the order of what settle selects.
const outcomeColumns = "pipeline, asset, start, end, version, role, value, risk, class, truth, cap, happened, loss, risk_loss, weight, by, label, scored_at, settled, gone"

// SettleOutcomes writes the outcomes of predictions whose truth is known now, from what counted and from what shadows said, and returns how many rows that were. Done again it changes nothing.
func (s *Store) SettleOutcomes(ctx context.Context, work *event.Settling) (rows uint64, err error) {
	w := (*settling)(work)
	if from, to := w.bounds(); from >= to {
		return 0, nil
	}
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"max_query_size": 64 << 20, "max_ast_elements": 10_000_000, "max_expanded_ast_elements": 10_000_000, "max_threads": 1, "max_block_size": 16384, "max_insert_block_size": 65536, "min_insert_block_size_rows": 65536,
		"query_plan_remove_redundant_sorting": 0, "max_bytes_before_external_sort": 128 << 20}),
		ch.WithProgress(func(p *ch.Progress) { rows += p.WroteRows }))
	sources := []string{"scores", "shadow_scores"}
	if w.Task == "classification" || w.Task == "detection" {
		sources = []string{"frames", "shadow_frames"}
	}
	for i, source := range sources {
		sql := "INSERT INTO outcomes (" + outcomeColumns + ") " + w.query(source, []string{"score", "shadow"}[i])
		if err := s.owner.Exec(ctx, sql); err != nil {
			return rows, fmt.Errorf("settle the %s of %s: %w", source, w.Pipeline, explain(err))
		}
	}
	return rows, nil
}

// micros rounds down; the ends of time are kept.
func micros(ns int64) int64 {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return us
}

func list[T any](values []T, write func(v T) string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(write(v))
	}
	b.WriteByte(']')
	return b.String()
}

func instants(values []int64) string {
	return list(values, func(ns int64) string { return strconv.FormatInt(micros(ns), 10) })
}

func numbers(values []float64) string {
	return list(values, func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) })
}

func bits(values []bool) string {
	return list(values, func(v bool) string { return strconv.Itoa(int(boolean(v))) })
}

// bounds are those of all ranges, in microseconds.
func (w *settling) bounds() (from, to int64) {
	from, to = math.MaxInt64, math.MinInt64
	for i := range w.Assets {
		if w.LookFrom[i] < w.LookTo[i] {
			from, to = min(from, w.LookFrom[i]), max(to, w.LookTo[i])
		}
		if w.MatureFrom[i] < w.MatureTo[i] {
			from, to = min(from, w.MatureFrom[i]), max(to, w.MatureTo[i])
		}
	}
	// What DateTime64 holds.
	return max(micros(from), micros(earliest)), micros(to)
}

// said selects what a source says, in microseconds, with the ranges of its asset.
func (w *settling) said(source string) string {
	from, to := w.bounds()
	columns, asset, end, where := "start, end, value, risk, '' AS class", "asset", "end", ""
	if source == "frames" || source == "shadow_frames" {
		columns, asset, end = "captured AS start, captured AS end, risk AS value, risk, toString(label) AS class", "camera", "captured"
	}
	if source == "frames" {
		where = " AND status = 'scored'"
	}
	return fmt.Sprintf(`SELECT * FROM
        (SELECT toString(%[1]s) AS asset, %[2]s, toString(version) AS version, scored_at, toUnixTimestamp64Micro(%[3]s) AS at FROM %[4]s
            WHERE pipeline = %[5]s AND %[1]s IN (%[6]s) AND %[3]s > fromUnixTimestamp64Micro(%[7]d, 'UTC') AND %[3]s <= fromUnixTimestamp64Micro(%[8]d, 'UTC')%[9]s) AS p
        INNER JOIN (SELECT asset, look_from, look_to, mature_from, mature_to FROM (SELECT 1)
            ARRAY JOIN %[10]s AS asset, %[11]s AS look_from, %[12]s AS look_to, %[13]s AS mature_from, %[14]s AS mature_to) AS r ON p.asset = r.asset
        WHERE at > look_from AND at <= look_to OR at > mature_from AND at <= mature_to`,
		asset, columns, end, source, literal(w.Pipeline), strings.Trim(list(w.Assets, literal), "[]"), from, to, where,
		list(w.Assets, literal), instants(w.LookFrom), instants(w.LookTo), instants(w.MatureFrom), instants(w.MatureTo))
}

// runs selects the runs with one value of happened, or all; there is always one, so that the arrays have types.
func (w *settling) runs(which string) string {
	asset, from, to := append([]string{""}, w.RunAsset...), append([]int64{0}, w.RunFrom...), append([]int64{0}, w.RunTo...)
	return fmt.Sprintf(`(SELECT asset, from, to, kind, happened, weight, 1 AS told FROM (SELECT 1)
            ARRAY JOIN %s AS asset, %s AS from, %s AS to, %s AS kind, %s AS happened, %s AS weight%s)`,
		list(asset, literal), strings.Replace(instants(from), "[0", "[toInt64(0)", 1), strings.Replace(instants(to), "[0", "[toInt64(0)", 1), list(append([]string{""}, w.RunKind...), literal),
		bits(append([]bool{false}, w.RunHappened...)), strings.Replace(numbers(append([]float64{1}, w.RunWeight...)), "[1", "[toFloat64(1)", 1), which)
}

// query selects the outcomes of one source. The rules are those of trainer/truth, which a test of the whole program holds them to.
func (w *settling) query(source, role string) string {
	grid := w.Grid / 1000
	var known string // gives by_label, happened, truth, loss, risk_loss, weight for each row of said
	switch w.Task {
	case "remaining-life":
		known = fmt.Sprintf(`SELECT s.*, told = 1 AS by_label, greatest(intDiv(f.to - (at - %[1]d), %[1]d), 0) AS left, by_label AND left <= %[2]d AS happened,
        if(by_label, least(left, %[3]d), nan) AS truth, abs(least(greatest(toFloat64(value), 0), %[3]d) - truth) / %[3]d AS loss, pow(toFloat64(risk) - happened, 2) AS risk_loss, if(by_label, f.weight, 1) AS weight, f.kind AS kind
    FROM (SELECT *, at - %[1]d AS begin FROM (%[4]s)) AS s ASOF LEFT JOIN %[5]s AS f ON s.asset = f.asset AND s.begin <= f.from`,
			grid, w.Horizon, w.Cap, w.said(source), w.runs(""))
	case "classification":
		known = fmt.Sprintf(`SELECT s.*, told = 1 AND f.to > at AS by_label, f.kind NOT IN ('clear', 'normal') AS happened, toFloat64(s.class = f.kind) AS truth, 1 - truth AS loss, loss AS risk_loss, f.weight AS weight, f.kind AS kind
    FROM (%s) AS s ASOF LEFT JOIN %s AS f ON s.asset = f.asset AND s.at >= f.from`, w.said(source), w.runs(""))
	case "detection":
		known = fmt.Sprintf(`SELECT s.*, told = 1 AND f.to > at AS by_label, f.happened = 1 AS happened, toFloat64(happened) AS truth, pow(toFloat64(risk) - happened, 2) AS loss, loss AS risk_loss, f.weight AS weight, f.kind AS kind
    FROM (%s) AS s ASOF LEFT JOIN %s AS f ON s.asset = f.asset AND s.at >= f.from`, w.said(source), w.runs(""))
	default:
		// The run that began last before the horizon's end, and whether it reaches the last slot: of runs that do not overlap that one reaches furthest.
		known = fmt.Sprintf(`SELECT s.*, n.told = 1 AND n.to > begin AS normal, happened OR normal AS by_label, toFloat64(happened) AS truth, pow(toFloat64(risk) - happened, 2) AS loss,
        loss AS risk_loss, multiIf(happened, heavy, normal, n.weight, 1) AS weight, if(happened, what, n.kind) AS kind
    FROM
    (
        SELECT s.*, p.told = 1 AND p.to > begin AS happened, p.weight AS heavy, p.kind AS what
        FROM (SELECT *, at - %[1]d AS begin, at + %[2]d AS horizon FROM (%[3]s)) AS s ASOF LEFT JOIN %[4]s AS p ON s.asset = p.asset AND s.horizon > p.from
    ) AS s ASOF LEFT JOIN %[5]s AS n ON s.asset = n.asset AND s.at > n.from`,
			grid, int64(w.Horizon)*grid, w.said(source), w.runs(" WHERE happened = 1 OR asset = ''"), w.runs(" WHERE happened = 0"))
	}
	settled := "by_label AND at > look_from AND at <= look_to OR NOT by_label AND at > mature_from AND at <= mature_to"
	cap := 0
	if w.Task == "remaining-life" {
		cap = w.Cap
	}
	all := fmt.Sprintf(`SELECT %s AS pipeline, asset, start, end, version, %s AS role, value, risk, class, truth, %d AS cap, happened, loss, risk_loss, weight,
        if(by_label, 'label', 'time') AS by, if(by_label, kind, '') AS label, scored_at, NOT (%s) AS gone
    FROM
    (
        %s
    )`, literal(w.Pipeline), literal(role), cap, settled, known)
	if !w.Again {
		all += " WHERE NOT gone"
	} else { // what is there already stays as it is: whoever reads on from when things were settled is not told twice
		const same = "toUInt64(cityHash64(ifNotFinite(toFloat64(%[1]struth), -1.), ifNotFinite(toFloat64(%[1]sloss), -1.), toFloat64(%[1]srisk_loss), toFloat64(%[1]sweight), toUInt8(%[1]shappened), toString(%[1]sby), toString(%[1]slabel)))"
		from, to := w.bounds()
		all = fmt.Sprintf(`SELECT n.* FROM (%s) AS n LEFT JOIN
    (
        SELECT toString(asset) AS asset, end, toString(version) AS version, 1 AS there, %s AS was FROM outcomes FINAL
        WHERE pipeline = %s AND asset IN (%s) AND end > fromUnixTimestamp64Micro(%d, 'UTC') AND end <= fromUnixTimestamp64Micro(%d, 'UTC')
    ) AS o ON o.asset = n.asset AND o.end = n.end AND o.version = n.version
    WHERE if(o.there = 1, n.gone OR o.was != %s, NOT n.gone)`, all, fmt.Sprintf(same, ""), literal(w.Pipeline), strings.Trim(list(w.Assets, literal), "[]"), from, to, fmt.Sprintf(same, "n."))
	}
	// In the order of time, so that it is read so, too.
	return fmt.Sprintf(`SELECT pipeline, asset, start, end, version, role, value, risk, class, truth, cap, happened, loss, risk_loss, weight, by, label, scored_at,
    fromUnixTimestamp64Micro(%d + intDiv(rowNumberInAllBlocks(), 20000), 'UTC') AS settled, gone
FROM (%s ORDER BY end, asset, version)`, micros(w.Settled), all)
}

// Outcomes returns outcomes of some versions, or of all for none, that were settled after since (Unix nanoseconds), in the order in which they were settled: at most about limit of them, but
// all that were settled at the same time as the last, which is watermark; since where there are none. What was settled and is so no more is left out.
func (s *Store) Outcomes(ctx context.Context, pipeline string, versions []string, since int64, limit int) (out []event.Outcome, watermark int64, err error) {
	defer func() {
		if err != nil {
			out, err = nil, fmt.Errorf("read the outcomes of %s: %w", pipeline, explain(err))
		}
	}()
	where := fmt.Sprintf("pipeline = %s AND settled > fromUnixTimestamp64Micro(%d, 'UTC')", literal(pipeline), micros(since))
	if len(versions) > 0 {
		where += " AND version IN (" + strings.Trim(list(versions, literal), "[]") + ")"
	}
	var n uint64
	var upTo time.Time
	if err := s.owner.QueryRow(ctx, fmt.Sprintf("SELECT count(), max(settled) FROM (SELECT settled FROM outcomes WHERE %s ORDER BY settled LIMIT %d)", where, limit)).Scan(&n, &upTo); err != nil || n == 0 {
		return nil, since, err
	}
	// Of one that was settled anew the newer row is among those after since, too: FINAL, which would read all of the pipeline, is not needed.
	err = s.scan(ctx, fmt.Sprintf(`SELECT asset, start, end, version, value, risk, class, label, truth, happened, loss, risk_loss, weight, scored_at, settled FROM
		(SELECT * FROM outcomes WHERE %s AND settled <= fromUnixTimestamp64Micro(%d, 'UTC') ORDER BY settled DESC LIMIT 1 BY asset, end, version)
		WHERE gone = 0 ORDER BY settled, end, asset, version`, where, upTo.UnixMicro()),
		func(rows driver.Rows) error {
			o := event.Outcome{Pipeline: pipeline}
			var start, end, scored, settled time.Time
			var value, risk float32
			var happened uint8
			err := rows.Scan(&o.Asset, &start, &end, &o.Version, &value, &risk, &o.Class, &o.Label, &o.Truth, &happened, &o.Loss, &o.RiskLoss, &o.Weight, &scored, &settled)
			o.Start, o.End, o.ScoredAt, o.Settled = start.UnixNano(), end.UnixNano(), scored.UnixNano(), settled.UnixNano()
			o.Value, o.Risk, o.Happened = float64(value), float64(risk), float64(happened)
			out = append(out, o)
			return err
		})
	return out, upTo.UnixNano(), err
}

// SeenEnds returns how far each asset's predictions have come, by the end of its newest window or the capture of its newest scored frame (Unix nanoseconds), of those that have come further
// than known.
func (s *Store) SeenEnds(ctx context.Context, pipeline string, frames bool, known map[string]int64) (map[string]int64, error) {
	// Answered by the projection of latest_scores, whatever the number of scores.
	sql := "SELECT pipeline, toString(asset) AS asset, max(end) AS last FROM scores WHERE pipeline = " + literal(pipeline) + " GROUP BY pipeline, asset"
	if frames { // each camera's newest by the key
		cameras := slices.Sorted(maps.Keys(known))
		var where strings.Builder
		for _, c := range cameras {
			fmt.Fprintf(&where, "camera = %s AND captured > fromUnixTimestamp64Micro(%d, 'UTC') OR ", literal(c), micros(known[c]))
		}
		sql = fmt.Sprintf("SELECT pipeline, toString(camera) AS asset, max(captured) AS last FROM frames WHERE pipeline = %s AND status = 'scored' AND (%scamera NOT IN (%s)) GROUP BY pipeline, asset",
			literal(pipeline), where.String(), strings.Trim(list(append(cameras, ""), literal), "[]"))
	}
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"max_query_size": 64 << 20, "max_ast_elements": 10_000_000, "max_expanded_ast_elements": 10_000_000}))
	seen := map[string]int64{}
	err := s.scan(ctx, sql, func(rows driver.Rows) error {
		var of, asset string
		var end time.Time
		err := rows.Scan(&of, &asset, &end)
		if at, ok := known[asset]; !ok || end.UnixNano() > at {
			seen[asset] = end.UnixNano()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("how far the assets of %s have come: %w", pipeline, explain(err))
	}
	return seen, nil
}

// ToldLabels returns all labels that were stored after since (Unix nanoseconds by the server's clock), also those that count no more, with the end of the longest stretch that was ever told of
// their asset and time in Until, and when the newest was stored. Those of scores that are not there are left out.
func (s *Store) ToldLabels(ctx context.Context, since int64) (labels []event.Label, newest int64, err error) {
	newest = since
	var n uint64
	if err := s.owner.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM labels WHERE _stored > fromUnixTimestamp64Milli(%d, 'UTC')", since/1e6)).Scan(&n); err != nil || n == 0 {
		return nil, since, explain(err)
	}
	err = s.scan(ctx, fmt.Sprintf(`SELECT pipeline, asset, time, longest, label, withdrawn, told, _topic, _partition, _offset, _stored FROM
		(SELECT *, max(until) OVER (PARTITION BY pipeline, asset, time) AS longest FROM label_places
			WHERE (pipeline, asset, time) IN (SELECT pipeline, asset, time FROM label_places WHERE _stored > fromUnixTimestamp64Milli(%[1]d, 'UTC')))
		WHERE _stored > fromUnixTimestamp64Milli(%[1]d, 'UTC') ORDER BY _stored, _topic, _partition, _offset`, since/1e6), func(rows driver.Rows) error {
		var l event.Label
		var at, until, told, stored time.Time
		err := rows.Scan(&l.Pipeline, &l.Asset, &at, &until, &l.Kind, &l.Withdrawn, &told, &l.Topic, &l.Partition, &l.Offset, &stored)
		l.Time, l.Until, l.Told = at.UnixNano(), until.UnixNano(), told.UnixNano()
		labels, newest = append(labels, l), max(newest, stored.UnixNano())
		return err
	})
	if err != nil {
		return nil, since, fmt.Errorf("read the labels that were told: %w", explain(err))
	}
	return labels, newest, nil
}

// LabelsOf is Labels of some assets.
func (s *Store) LabelsOf(ctx context.Context, pipeline string, assets []string) ([]event.Label, error) {
	if len(assets) == 0 {
		return nil, nil
	}
	return s.labels(ctx, pipeline, "asset IN ("+strings.Trim(list(assets, literal), "[]")+")")
}

// LastReadings returns, for each asset and instant, the asset's last reading at or before the instant and not more than within (nanoseconds) before it; 0 where there is none. Times are Unix
// nanoseconds.
func (s *Store) LastReadings(ctx context.Context, pipeline string, within int64, assets []string, at []int64) ([]int64, error) {
	last := make([]int64, len(assets))
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"max_query_size": 64 << 20, "max_ast_elements": 10_000_000, "max_expanded_ast_elements": 10_000_000}))
	// As many as an index is asked well for.
	const most = 200
	for from := 0; from < len(assets); from += most {
		to := min(from+most, len(assets))
		var where strings.Builder
		for i := from; i < to; i++ {
			if i > from {
				where.WriteString(" OR ")
			}
			fmt.Fprintf(&where, "asset = %s AND time >= %s AND time <= fromUnixTimestamp64Micro(%d, 'UTC')", literal(assets[i]), instant(at[i]-within), micros(at[i]))
		}
		type reading struct {
			asset string
			at    int64
		}
		var all []reading
		err := s.scan(ctx, fmt.Sprintf("SELECT asset, time FROM readings WHERE pipeline = %s AND status = 'ok' AND (%s)", literal(pipeline), where.String()), func(rows driver.Rows) error {
			var r reading
			var t time.Time
			err := rows.Scan(&r.asset, &t)
			r.at = t.UnixNano()
			all = append(all, r)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("last readings of %s: %w", pipeline, explain(err))
		}
		for i := from; i < to; i++ {
			for _, r := range all {
				if r.asset == assets[i] && r.at <= at[i] && r.at >= at[i]-within {
					last[i] = max(last[i], r.at)
				}
			}
		}
	}
	return last, nil
}

// TruthMarks returns how far each asset's truth was settled; the asset "" stands for the labels. Times are Unix nanoseconds.
func (s *Store) TruthMarks(ctx context.Context, pipeline string) (assets []string, looked, matured []int64, err error) {
	err = s.scan(ctx, "SELECT asset, looked, matured FROM truth_marks FINAL WHERE pipeline = {pipeline:String}", func(rows driver.Rows) error {
		var asset string
		var l, m time.Time
		err := rows.Scan(&asset, &l, &m)
		assets, looked, matured = append(assets, asset), append(looked, l.UnixNano()), append(matured, m.UnixNano())
		return err
	}, ch.Named("pipeline", pipeline))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("how far the truth of %s is settled: %w", pipeline, explain(err))
	}
	return assets, looked, matured, nil
}

// WriteTruthMarks keeps what TruthMarks returns.
func (s *Store) WriteTruthMarks(ctx context.Context, pipeline string, at int64, assets []string, looked, matured []int64) error {
	if len(assets) == 0 {
		return nil
	}
	f := &frame{rows: len(assets)}
	f.word("pipeline", pipeline)
	f.texts("asset", func(i int) string { return assets[i] })
	f.micros("looked", func(i int) int64 { return max(looked[i], earliest) })
	f.micros("matured", func(i int) int64 { return max(matured[i], earliest) })
	f.micros("time", func(int) int64 { return at })
	if err := s.small(ctx, "truth_marks", f); err != nil {
		return fmt.Errorf("keep how far the truth of %s is settled: %w", pipeline, explain(err))
	}
	return nil
}

// TruthPlace returns up to where a pipeline's outcomes were told, with the state of whoever is told them, of the one that came furthest, and when the newest outcome was settled; 0 where there is
// none. Times are Unix nanoseconds.
func (s *Store) TruthPlace(ctx context.Context, pipeline string) (fed int64, state []byte, settled int64, err error) {
	var n, m uint64
	var at, newest time.Time
	var text string
	name := ch.Named("pipeline", pipeline)
	err = s.owner.QueryRow(ctx, "SELECT count(), max(fed), argMax(state, (fed, time)) FROM truth_places WHERE pipeline = {pipeline:String}", name).Scan(&n, &at, &text)
	if err == nil {
		err = s.owner.QueryRow(ctx, "SELECT count(), max(settled) FROM outcomes WHERE pipeline = {pipeline:String}", name).Scan(&m, &newest)
	}
	if err != nil {
		return 0, nil, 0, fmt.Errorf("up to where the outcomes of %s were told: %w", pipeline, explain(err))
	}
	if m > 0 {
		settled = newest.UnixNano()
	}
	if n == 0 {
		return 0, nil, settled, nil
	}
	return at.UnixNano(), []byte(text), settled, nil
}

// WriteTruthPlace keeps what TruthPlace returns.
func (s *Store) WriteTruthPlace(ctx context.Context, pipeline string, fed int64, state []byte) error {
	f := &frame{rows: 1}
	f.word("pipeline", pipeline)
	f.micros("fed", func(int) int64 { return fed })
	f.micros("time", func(int) int64 { return time.Now().UnixNano() })
	f.texts("state", func(int) string { return string(state) })
	if err := s.small(ctx, "truth_places", f); err != nil {
		return fmt.Errorf("keep up to where the outcomes of %s were told: %w", pipeline, err)
	}
	return nil
}

// LabelLag returns how long after it happened, by event time, a pipeline's labels are told, in seconds (0 where there are none), and how many are in conflict.
func (s *Store) LabelLag(ctx context.Context, pipeline string) (p50, p95 float64, conflicts uint64, err error) {
	err = s.owner.QueryRow(ctx, `SELECT ifNotFinite(quantileIf(0.5)(lag, NOT conflict), 0), ifNotFinite(quantileIf(0.95)(lag, NOT conflict), 0), countIf(conflict) FROM
		(SELECT dateDiff('millisecond', greatest(time, until), told) / 1000 AS lag, conflict FROM label_opinions WHERE pipeline = {pipeline:String})`, ch.Named("pipeline", pipeline)).Scan(&p50, &p95, &conflicts)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("measure the labels of %s: %w", pipeline, explain(err))
	}
	return p50, p95, conflicts, nil
}

// Coverage returns how many predictions of a pipeline counted in the newest 30 days of event time, and how many of those are settled.
func (s *Store) Coverage(ctx context.Context, pipeline string) (predictions, settled uint64, err error) {
	err = s.owner.QueryRow(ctx, "SELECT toUInt64(sum(predictions)), toUInt64(sum(settled)) FROM label_coverage WHERE pipeline = {pipeline:String}", ch.Named("pipeline", pipeline)).Scan(&predictions, &settled)
	if err != nil {
		return 0, 0, fmt.Errorf("measure how much of %s is settled: %w", pipeline, explain(err))
	}
	return predictions, settled, nil
}
