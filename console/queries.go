package console

// Every question that the console puts to the store is in this file; the tables are described in sinks/clickhouse. Parameters are filled by the store.

// newestScores gives each asset's newest scores, oldest first: what the fleet shows before the line has told anything.
const newestScores = `
SELECT asset, toUnixTimestamp64Nano(start) AS start_ns, toUnixTimestamp64Nano(end) AS end_ns, value, risk, version, latency,
       toUnixTimestamp64Nano(scored_at) AS scored_ns, _topic, _partition, _offset
FROM (
    SELECT * FROM scores WHERE pipeline = {pipeline:String}
    ORDER BY end DESC LIMIT {points:UInt32} BY asset
)
ORDER BY end_ns`

// newestTrainings gives the steps of the newest runs.
const newestTrainings = `
SELECT run, pipeline, state, epoch, epochs, loss, val_loss, rows_per_second, rows, elapsed, toUnixTimestamp64Nano(time) AS time_ns, version, detail
FROM trainings
WHERE run IN (SELECT run FROM trainings GROUP BY run ORDER BY max(time) DESC LIMIT {runs:UInt32})
ORDER BY time`

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

// assetRows gives an asset's readings, newest first.
const assetRows = `
SELECT toUnixTimestamp64Milli(time) AS ms, values
FROM readings
WHERE pipeline = {pipeline:String} AND asset = {asset:String} AND status = 'ok'
  AND time >= fromUnixTimestamp64Milli({from:Int64}) AND time < fromUnixTimestamp64Milli({to:Int64})
ORDER BY time DESC`

// assetRowsThinned gives the means of an asset's readings over steps, newest first.
const assetRowsThinned = `
SELECT intDiv(toUnixTimestamp64Milli(time), {step:Int64}) * {step:Int64} AS ms, avgForEach(values) AS means
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
	{"Top 10 by risk", "The assets whose newest score is the worst, over all pipelines.", `SELECT pipeline, asset, risk, value, end AS seen, version
FROM (SELECT * FROM scores ORDER BY end DESC LIMIT 1 BY pipeline, asset)
ORDER BY risk DESC
LIMIT 10`},
	{"Score history of an asset", "How one asset's risk and value went, with the record that completed each window.", `SELECT end, risk, value, version, latency / 1e6 AS latency_ms, _topic, _partition, _offset
FROM scores
WHERE pipeline = 'compressors' AND asset = 'compressor-001'
ORDER BY end DESC
LIMIT 200`},
	{"Rows a minute, and lag", "What was scored in each minute of the wall clock, and how far the line was behind its records.", `SELECT toStartOfMinute(scored_at) AS minute, pipeline, count() AS scored,
       round(quantile(0.5)(latency) / 1e6, 2) AS p50_ms, round(quantile(0.99)(latency) / 1e6, 2) AS p99_ms
FROM scores
GROUP BY minute, pipeline
ORDER BY minute DESC, pipeline
LIMIT 60`},
}
