package console

// Every question that the console puts to the store is in this file; the tables are described in sinks/clickhouse. Parameters are filled by the store.

// newestScores gives each asset's newest score: what the fleet shows before the line has told anything.
const newestScores = `
SELECT asset, toUnixTimestamp64Nano(start) AS start_ns, toUnixTimestamp64Nano(end) AS end_ns, value, risk, version, latency_ms * 1e6 AS latency,
       toUnixTimestamp64Nano(scored_at) AS scored_ns, _topic, _partition, _offset
FROM latest_scores
WHERE pipeline = {pipeline:String}
ORDER BY end DESC`

// recentRisks gives the risks of all assets since an instant, oldest first.
const recentRisks = `
SELECT asset, toUnixTimestamp64Nano(end) AS end_ns, risk
FROM scores
WHERE pipeline = {pipeline:String} AND end >= fromUnixTimestamp64Milli({from:Int64})
ORDER BY end DESC
LIMIT {points:UInt32} BY asset`

// newestTrainings gives the steps of the newest runs.
const newestTrainings = `
SELECT run, pipeline, state, epoch, epochs, loss, val_loss, rows_per_second, rows, elapsed_ns, toUnixTimestamp64Nano(time) AS time_ns, version, detail, worker, cpu_seconds, gpu_seconds, joules, energy
FROM trainings
WHERE run IN (SELECT run FROM trainings GROUP BY run ORDER BY max(time) DESC LIMIT {runs:UInt32})
ORDER BY time`

// letterChoice are the conditions that choose dead letters; what is empty does not choose.
const letterChoice = `({pipeline:String} = '' OR pipeline = {pipeline:String}) AND ({reason:String} = '' OR reason = {reason:String})
  AND _stored >= fromUnixTimestamp64Milli({since:Int64})`

// lettersByReason counts the chosen dead letters.
const lettersByReason = `
SELECT toString(pipeline), toString(reason), count() AS letters, countIf(r.sent > 0) AS sent, countIf(r.sent = 0 AND r.in_doubt > 0) AS in_doubt,
       toUnixTimestamp64Milli(max(d._stored)) AS last_ms, toValidUTF8(argMax(detail, d._stored)) AS last_detail
FROM (SELECT pipeline, reason, detail, _topic, _partition, _offset, _stored FROM deadletters WHERE ` + letterChoice + `) AS d
LEFT JOIN replayed_deadletters AS r USING (_topic, _partition, _offset)
GROUP BY pipeline, reason
ORDER BY letters DESC, pipeline, reason`

// letterColumns tell of a dead letter; the view's columns are of a record that was sent again.
const letterColumns = `toString(pipeline), toString(reason), detail, toString(_topic), _partition, _offset, toUnixTimestamp64Milli(time), toUnixTimestamp64Milli(d._stored) AS stored_ms,
       key_null, value_null, length(key), length(value), arrayFirst(h -> h.1 = 'andon.replayed-from', headers).2,
       r.sent, r.in_doubt, toString(r.last_to.1), r.last_to.2, r.last_to.3, r.last_who, toUnixTimestamp64Micro(r.last_sent)`

// newestLetters gives the chosen dead letters with the beginnings of their keys and values, newest first.
const newestLetters = `
SELECT ` + letterColumns + `, substring(key, 1, 200), substring(value, 1, 200)
FROM (SELECT * FROM deadletters WHERE ` + letterChoice + ` ORDER BY _stored DESC, _topic, _partition, _offset DESC LIMIT {limit:UInt32}) AS d
LEFT JOIN replayed_deadletters AS r USING (_topic, _partition, _offset)
ORDER BY stored_ms DESC, _topic, _partition, _offset DESC`

// wholeLetter gives a dead letter with all its bytes, one row for each pipeline that could not use the record.
const wholeLetter = `
SELECT ` + letterColumns + `, key, value, headers.key, headers.value
FROM (SELECT *, headers.key, headers.value FROM deadletters WHERE _topic = {topic:String} AND _partition = {partition:Int32} AND _offset = {offset:Int64}) AS d
LEFT JOIN replayed_deadletters AS r USING (_topic, _partition, _offset)
ORDER BY pipeline`

// assetNewest gives the time of an asset's newest reading.
const assetNewest = `
SELECT toUnixTimestamp64Milli(max(time)) AS last_ms
FROM readings
WHERE pipeline = {pipeline:String} AND asset = {asset:String} AND time < fromUnixTimestamp64Milli({to:Int64})`

// assetSpan gives the bounds of what is stored of an asset.
const assetSpan = `
SELECT toUnixTimestamp64Milli(min(time)) AS first_ms, toUnixTimestamp64Milli(max(time)) AS last_ms, count() AS readings
FROM readings
WHERE pipeline = {pipeline:String} AND asset = {asset:String}
  AND time >= fromUnixTimestamp64Milli({from:Int64}) AND time < fromUnixTimestamp64Milli({to:Int64})`

// inOrder is a row's values in the order of the pipeline's signals: rows may have been stored under others.
const inOrder = `if(signals = {signals:String}, values,
    arrayMap(s -> if(has(splitByChar(',', signals), s), values[indexOf(splitByChar(',', signals), s)], nan), splitByChar(',', {signals:String})))`

// assetRows gives an asset's readings, newest first.
const assetRows = `
SELECT toUnixTimestamp64Milli(time) AS ms, ` + inOrder + ` AS row
FROM readings
WHERE pipeline = {pipeline:String} AND asset = {asset:String} AND status = 'ok'
  AND time >= fromUnixTimestamp64Milli({from:Int64}) AND time < fromUnixTimestamp64Milli({to:Int64})
ORDER BY time DESC`

// assetRowsThinned gives the means of an asset's readings over steps, newest first.
const assetRowsThinned = `
SELECT intDiv(toUnixTimestamp64Milli(time), {step:Int64}) * {step:Int64} AS ms,
    avgForEach(arrayMap(x -> if(isNaN(x), NULL, x), ` + inOrder + `)) AS means
FROM readings
WHERE pipeline = {pipeline:String} AND asset = {asset:String} AND status = 'ok'
  AND time >= fromUnixTimestamp64Milli({from:Int64}) AND time < fromUnixTimestamp64Milli({to:Int64})
GROUP BY ms
ORDER BY ms DESC`

// assetScores gives an asset's scores, newest first.
const assetScores = `
SELECT toUnixTimestamp64Milli(end) AS ms, value, risk
FROM scores
WHERE pipeline = {pipeline:String} AND asset = {asset:String}
  AND end >= fromUnixTimestamp64Milli({from:Int64}) AND end < fromUnixTimestamp64Milli({to:Int64})
ORDER BY end DESC`

// assetScoresThinned gives an asset's scores over steps, newest first: the last value and the highest risk of each, since a peak must not be thinned away.
const assetScoresThinned = `
SELECT intDiv(toUnixTimestamp64Milli(end), {step:Int64}) * {step:Int64} AS ms, argMax(value, end) AS last_value, max(risk) AS top_risk
FROM scores
WHERE pipeline = {pipeline:String} AND asset = {asset:String}
  AND end >= fromUnixTimestamp64Milli({from:Int64}) AND end < fromUnixTimestamp64Milli({to:Int64})
GROUP BY ms
ORDER BY ms DESC`

// example is a saved query that the page offers.
type example struct {
	Name string `json:"name"`
	// About says in a sentence what it answers.
	About string `json:"about"`
	SQL   string `json:"sql"`
}

var examples = []example{
	{"Top 10 by risk", "The assets whose newest score is the worst, over all pipelines.", `SELECT pipeline, asset, risk, value, end, version
FROM top_assets
ORDER BY risk DESC
LIMIT 10`},
	{"Score history of an asset", "How the risk and value of one asset went.", `SELECT time, risk, value, version, latency_ms
FROM score_history
WHERE pipeline = 'compressors' AND asset = 'compressor-001'
ORDER BY time DESC
LIMIT 500`},
	{"Rows a minute", "Readings stored in each minute of the wall clock.", `SELECT minute, pipeline, rows, duplicates
FROM rows_per_minute
ORDER BY minute DESC, pipeline
LIMIT 120`},
	{"Lag of each partition", "The last offset stored, how long ago, and how far its event time is behind.", `SELECT pipeline, _topic, _partition, rows, last_offset, newest, stored, idle_seconds
FROM lag
ORDER BY pipeline, _partition`},
	{"Latency a minute", "From the arrival of a record to its verdict.", `SELECT minute, pipeline, scores, p50_ms, p99_ms, max_ms
FROM score_latency
ORDER BY minute DESC, pipeline`},
	{"A signal of an asset", "One value by name, with the record it came from.", `SELECT time, values['s_11'] AS s_11, _topic, _partition, _offset
FROM readings_map
WHERE pipeline = 'compressors' AND asset = 'compressor-001'
ORDER BY time DESC
LIMIT 500`},
	{"Dead letters by reason", "What could not be used, why, and the last example.", `SELECT pipeline, reason, records, last_stored, last_detail
FROM deadletters_by_reason
ORDER BY records DESC`},
	{"Models in use", "Which versions gave the scores, and how many.", `SELECT pipeline, version, scores, first_scored, last_scored, max_latency_ms, network
FROM models_in_use
ORDER BY last_scored DESC`},
	{"Replays", "The past scored anew: each of the newest runs beside the live line, in one row.", `SELECT pipeline, run, state, windows_from, windows_to, version, windows, both, only_old, only_new, mean_abs_value_change,
    value_correlation, mean_abs_risk_change, risk_raised, risk_lowered
FROM replay_runs
LEFT JOIN (SELECT * FROM replay_summary WHERE (pipeline, run) IN (SELECT pipeline, run FROM replay_runs ORDER BY started DESC LIMIT 10)) AS s USING (pipeline, run)
ORDER BY started DESC
LIMIT 10`},
	{"Replay beside the live line", "Old and new scores of the newest run, the largest changes of risk first.", `SELECT pipeline, asset, end, old_value, new_value, old_risk, new_risk, risk_change, old_version, new_version
FROM replay_comparison
WHERE (pipeline, run) IN (SELECT pipeline, run FROM replay_runs ORDER BY started DESC LIMIT 1)
ORDER BY abs(risk_change) DESC NULLS LAST, pipeline, asset, end
LIMIT 500`},
}

// driftPipelines gives the newest version of each pipeline that was watched, with how many features are changed and how many alarms stand.
const driftPipelines = `
SELECT toString(f.pipeline), toString(f.version), f.number, f.ms, f.drifted, ifNull(a.standing, 0)
FROM
(
    SELECT pipeline, argMax(version, stored) AS version, argMax(number, stored) AS number, argMax(ms, stored) AS ms, argMax(drifted, stored) AS drifted
    FROM
    (
        SELECT pipeline, version, max(newest) AS number, max(until) AS ms, max(last) AS stored, arrayCount(x -> x.2 AND x.1 + 60 > number, groupArray((newest, changed))) AS drifted
        FROM
        (
            SELECT pipeline, version, group, feature, max(round) AS newest, toUnixTimestamp64Milli(max(end)) AS until, argMax(drifted, round) AS changed, max(_stored) AS last
            FROM drift_findings
            GROUP BY pipeline, version, group, feature
        )
        GROUP BY pipeline, version
    )
    GROUP BY pipeline
) AS f
LEFT JOIN (SELECT pipeline, countIf(NOT ended) AS standing FROM alarms_now GROUP BY pipeline) AS a USING (pipeline)
ORDER BY ms DESC`

// driftFindings gives the newest rounds of a version, oldest first.
const driftFindings = `
SELECT round, toUnixTimestamp64Milli(end), toString(feature), toString(role), toString(group), windows, assets, effective, before, now, deviation, ks, psi, js, place, missing, q, toString(measure), drifted,
       streak, furthest, toString(reference)
FROM drift_findings
WHERE pipeline = {pipeline:String} AND version = {version:String}
  AND round > (SELECT max(round) FROM drift_findings WHERE pipeline = {pipeline:String} AND version = {version:String}) - {rounds:Int64}
ORDER BY round, drifted DESC, ks DESC, group, feature`

// driftVersions gives the models of a pipeline that were watched, the one with the newest round first.
const driftVersions = `
SELECT toString(version), uniqExact(round), toUnixTimestamp64Milli(max(end))
FROM drift_findings
WHERE pipeline = {pipeline:String}
GROUP BY version
ORDER BY max(_stored) DESC
LIMIT 12`

// driftHistograms gives the histograms of each feature's newest round: a camera that is held against itself has rounds of its own.
const driftHistograms = `
SELECT toString(feature), toString(group), arrayMap(x -> toFloat64(x), counts), arrayMap(x -> toFloat64(x), expected)
FROM drift_findings
WHERE pipeline = {pipeline:String} AND version = {version:String} AND round > {round:Int64} - {rounds:Int64}
ORDER BY round DESC
LIMIT 1 BY feature, group`

// driftEstimates gives what was expected of the newest rounds, oldest first, with what came true of their windows: loss, and of the risk its squared error and how often it was on the right side.
const driftEstimates = `
WITH spans AS
(
    SELECT round, any(start) AS start, any(end) AS end FROM estimates
    WHERE pipeline = {pipeline:String} AND version = {version:String}
      AND round > (SELECT max(round) FROM estimates WHERE pipeline = {pipeline:String} AND version = {version:String}) - {rounds:Int64}
    GROUP BY round
),
came AS
(
    SELECT s.round AS round, count() AS settled, avgIf(o.loss, NOT isNaN(o.loss)) AS loss, avg(o.risk_loss) AS risk_loss, avg((o.risk >= 0.5) = (o.happened = 1)) AS accuracy,
        countIf(NOT isNaN(o.loss)) AS valued
    FROM spans AS s
    CROSS JOIN (SELECT end, loss, risk, risk_loss, happened FROM outcomes FINAL WHERE pipeline = {pipeline:String} AND version = {version:String} AND gone = 0) AS o
    WHERE o.end >= s.start AND o.end <= s.end
    GROUP BY s.round
)
SELECT toString(e.metric), e.round, toUnixTimestamp64Milli(e.end), e.value, e.before, e.error, ifNull(c.settled, 0), ifNull(c.loss, nan), ifNull(c.risk_loss, nan), ifNull(c.accuracy, nan), ifNull(c.valued, 0)
FROM estimates AS e
INNER JOIN spans USING (round)
LEFT JOIN came AS c USING (round)
WHERE e.pipeline = {pipeline:String} AND e.version = {version:String}
ORDER BY e.metric, e.round`

// driftAlarms gives a pipeline's newest alarms by their last word, those that stand first.
const driftAlarms = `
SELECT * FROM
(
    SELECT id, toString(kind), toString(version), toUnixTimestamp64Milli(since), toUnixTimestamp64Milli(at) AS ms, over, toString(metric), loss, before, detail, causes.feature, causes.group, causes.assets,
           causes.measure, causes.size, causes.p, causes.before, causes.now
    FROM alarms
    WHERE pipeline = {pipeline:String}
    ORDER BY at DESC, over DESC
    LIMIT 1 BY id
    LIMIT 50
)
ORDER BY over, ms DESC`

// driftWindows counts what was looked at: the fleet, and cameras that are no part of it; those that are held against themselves besides, in rounds of their own, are there already.
const driftWindows = `
SELECT sum(w), count() FROM
(
    SELECT round, maxIf(n, group = 'fleet') + sumIf(n, endsWith(group, ' (new)')) AS w
    FROM (SELECT round, group, any(windows) AS n FROM drift_findings WHERE pipeline = {pipeline:String} AND version = {version:String} GROUP BY round, group)
    GROUP BY round
)`
