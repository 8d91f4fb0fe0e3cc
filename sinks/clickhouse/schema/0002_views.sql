-- Views for the questions that come up every day. The expressions over scores and readings are those of the projections: change both together.

CREATE OR REPLACE VIEW latest_scores AS
SELECT
    pipeline, asset, last_end AS end, last.1 AS start, last.2 AS value, last.3 AS risk, last.4 AS version, last.5 / 1e6 AS latency_ms,
    last.6 AS scored_at, last.7 AS _topic, last.8 AS _partition, last.9 AS _offset
FROM
(
    SELECT pipeline, asset, max(end) AS last_end,
        argMax((start, value, risk, version, latency_ns, scored_at, _topic, _partition, _offset), (end, _offset)) AS last
    FROM scores
    GROUP BY pipeline, asset
)
COMMENT 'The newest score of each asset.';

CREATE OR REPLACE VIEW top_assets AS
SELECT row_number() OVER (PARTITION BY pipeline ORDER BY risk DESC, asset) AS rank, pipeline, asset, risk, value, end, version
FROM latest_scores
COMMENT 'Assets by their newest risk; rank 1 is the worst of its pipeline.';

CREATE OR REPLACE VIEW score_history AS
SELECT pipeline, asset, end AS time, risk, value, version, latency_ns / 1e6 AS latency_ms, scored_at
FROM scores
COMMENT 'Every score of an asset over event time: filter by pipeline and asset, order by time.';

CREATE OR REPLACE VIEW score_latency AS
SELECT pipeline, toStartOfMinute(scored_at) AS minute, count() AS scores,
    quantile(0.5)(latency_ns) / 1e6 AS p50_ms, quantile(0.99)(latency_ns) / 1e6 AS p99_ms, max(latency_ns) / 1e6 AS max_ms
FROM scores
WHERE scored_at > now64(6) - INTERVAL 1 HOUR
GROUP BY pipeline, minute
COMMENT 'From the arrival of a record to its verdict, minute by minute of the last hour.';

CREATE OR REPLACE VIEW rows_per_minute AS
SELECT pipeline, minute, sum(n) AS rows, sumIf(n, status = 'duplicate') AS duplicates
FROM
(
    SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored) AS minute, count() AS n
    FROM readings
    GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
)
GROUP BY pipeline, minute
COMMENT 'Readings stored in each minute of wall-clock time.';

CREATE OR REPLACE VIEW lag AS
SELECT pipeline, _topic, _partition, rows, last_offset, newest, stored, dateDiff('second', stored, now64(3)) AS idle_seconds,
    dateDiff('second', newest, toDateTime64(stored, 6, 'UTC')) AS event_lag_seconds
FROM
(
    SELECT pipeline, _topic, _partition, sum(n) AS rows, max(offset) AS last_offset, max(event_time) AS newest, max(stored_at) AS stored
    FROM
    (
        SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored) AS minute, count() AS n, max(_offset) AS offset, max(time) AS event_time,
            max(_stored) AS stored_at
        FROM readings
        GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
    )
    GROUP BY pipeline, _topic, _partition
)
COMMENT 'How far each partition has come: last offset stored, how long ago, and how far its event time is behind the clock.';

CREATE OR REPLACE VIEW readings_long AS
SELECT pipeline, asset, time, signal, value, status, _topic, _partition, _offset
FROM readings
ARRAY JOIN splitByChar(',', signals) AS signal, values AS value
WHERE NOT isNaN(value)
COMMENT 'One row a value: asset, time, signal, value.';

CREATE OR REPLACE VIEW readings_map AS
SELECT pipeline, asset, time, mapFromArrays(splitByChar(',', signals), values) AS values, status, _topic, _partition, _offset
FROM readings
COMMENT 'One row an instant, with the values by name: values[''s_2''].';

CREATE OR REPLACE VIEW deadletters_by_reason AS
SELECT pipeline, reason, count() AS records, min(_stored) AS first_stored, max(_stored) AS last_stored, argMax(detail, _stored) AS last_detail,
    argMax((_topic, _partition, _offset), _stored) AS last_record
FROM deadletters
GROUP BY pipeline, reason
COMMENT 'How many records could not be used, why, and the last example.';

CREATE OR REPLACE VIEW models_in_use AS
SELECT pipeline, version, scores, first_scored, last_scored, max_latency_ms, task, unit, network, registered
FROM
(
    SELECT pipeline, version, sum(n) AS scores, min(first) AS first_scored, max(last) AS last_scored, max(slowest) / 1e6 AS max_latency_ms
    FROM
    (
        SELECT pipeline, version, toStartOfMinute(scored_at) AS minute, count() AS n, min(scored_at) AS first, max(scored_at) AS last, max(latency_ns) AS slowest
        FROM scores
        GROUP BY pipeline, version, toStartOfMinute(scored_at)
    )
    GROUP BY pipeline, version
) AS s
LEFT JOIN
(
    SELECT pipeline, version, any(task) AS task, any(unit) AS unit, any(network) AS network, min(time) AS registered
    FROM models
    GROUP BY pipeline, version
) AS m USING (pipeline, version)
COMMENT 'Which model versions gave the scores, when, and how many.';
