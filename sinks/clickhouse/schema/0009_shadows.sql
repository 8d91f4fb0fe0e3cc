-- What shadows say of the windows that other models' scores count for. No view of the live line sees them.

CREATE TABLE IF NOT EXISTS shadow_scores
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that the window is of.',
    asset LowCardinality(String) COMMENT 'Asset that the window is of.',
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the first slot of the window begins.' CODEC(DoubleDelta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the last slot of the window ends.' CODEC(DoubleDelta, LZ4),
    value Float32 COMMENT 'What the model says, in its unit, as in scores.',
    risk Float32 COMMENT 'From 0, nothing to see, to 1, pull the cord. Nobody acts on it.',
    version LowCardinality(String) COMMENT 'Version of the shadow; beside a canary the champion is one. The version whose score counts is in scores.',
    latency_ns Int64 COMMENT 'From the arrival of the record that completed the window to when the verdict was taken in, in nanoseconds.' CODEC(LZ4),
    scored_at DateTime64(6, 'UTC') COMMENT 'When the verdict was taken in, by the clock of the machine that scored.' CODEC(Delta, LZ4),
    batch UInt32 COMMENT 'Number of windows in the run of the model that gave the score.' CODEC(LZ4),
    queue_ns Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    compute_ns Int64 COMMENT 'Time of that run, all its windows together, in nanoseconds.' CODEC(LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record that completed the window.',
    _partition Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What a shadow said of a window, once or, where there was no time for it, not at all.';

CREATE OR REPLACE VIEW shadows_beside AS
SELECT pipeline, version, shadow, count() AS windows, avg(shadow_risk - risk) AS risk_difference, avg(abs(shadow_risk - risk)) AS risk_distance,
    avg(abs(shadow_value - value)) AS value_distance, corr(shadow_value, value) AS correlation
FROM
(
    SELECT s.pipeline AS pipeline, s.version AS version, h.version AS shadow, s.risk AS risk, h.risk AS shadow_risk, s.value AS value, h.value AS shadow_value
    FROM shadow_scores AS h
    INNER JOIN scores AS s ON s.pipeline = h.pipeline AND s.asset = h.asset AND s.end = h.end AND s._topic = h._topic AND s._partition = h._partition AND s._offset = h._offset
)
GROUP BY pipeline, version, shadow
COMMENT 'Each shadow beside the model whose scores counted for the same windows: how far apart they are.';
