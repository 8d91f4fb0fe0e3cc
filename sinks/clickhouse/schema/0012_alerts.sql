-- What people and other systems were told of, and how that went.

CREATE TABLE IF NOT EXISTS alerts
(
    time DateTime64(6, 'UTC') COMMENT 'When the change was made, by the clock of the replica that made it.' CODEC(Delta, LZ4),
    what LowCardinality(String) COMMENT 'What happened: fired, updated, resolved, acknowledged, released, snoozed, flapping, settled.',
    id String COMMENT 'The cause: alerts with one id are one matter.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that it is about; empty for the appliance.',
    kind LowCardinality(String) COMMENT 'rule, drift, error, training or bottleneck.',
    severity LowCardinality(String) COMMENT 'info, warning or critical.',
    state LowCardinality(String) COMMENT 'firing or resolved, after the change.',
    title String COMMENT 'One line for people.',
    detail String COMMENT 'What to do.',
    asset LowCardinality(String) COMMENT 'Machine or camera that it is about; empty for a whole pipeline.',
    labels Map(LowCardinality(String), String) COMMENT 'Further facts.',
    evidence String COMMENT 'Path on the console of what shows it.',
    since DateTime64(6, 'UTC') COMMENT 'When it began: event time where there is one.' CODEC(Delta, LZ4),
    first DateTime64(6, 'UTC') COMMENT 'When it fired, by the wall clock.' CODEC(Delta, LZ4),
    who String COMMENT 'Who made the change: a person, or andon.',
    comment String COMMENT 'What that person said.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (id, time)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Each change of each alert. The topic of alerts has the newest state.';

CREATE TABLE IF NOT EXISTS alert_deliveries
(
    time DateTime64(6, 'UTC') COMMENT 'When the try ended.' CODEC(Delta, LZ4),
    receiver LowCardinality(String) COMMENT 'Name of the receiver in the configuration.',
    group_key String COMMENT 'The group of alerts that the notice was of.',
    notice String COMMENT 'Names the notice; all its tries have the same.',
    ids Array(String) COMMENT 'The alerts in it.',
    try UInt32 COMMENT 'Number of the try, from 1.' CODEC(LZ4),
    state LowCardinality(String) COMMENT 'delivered, pending (it is tried again) or dead (given up).',
    latency_ns Int64 COMMENT 'Time of the try, in nanoseconds.' CODEC(LZ4),
    age_ns Int64 COMMENT 'From when the oldest news in it was told to when the try ended, in nanoseconds.' CODEC(LZ4),
    error String COMMENT 'Why it was not delivered.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, receiver)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Each try to tell a receiver of alerts.';

CREATE OR REPLACE VIEW open_alerts AS
SELECT id, pipeline, kind, severity, title, detail, asset, since, first, last_change, what, who, comment
FROM
(
    SELECT id, argMax(pipeline, time) AS pipeline, argMax(kind, time) AS kind, argMax(severity, time) AS severity, argMax(state, time) AS state, argMax(title, time) AS title,
        argMax(detail, time) AS detail, argMax(asset, time) AS asset, argMax(since, time) AS since, argMax(first, time) AS first, max(time) AS last_change,
        argMax(what, time) AS what, argMax(who, time) AS who, argMax(comment, time) AS comment
    FROM alerts
    GROUP BY id
)
WHERE state = 'firing'
ORDER BY severity = 'critical' DESC, first DESC
COMMENT 'Alerts that are open, as they were stored last.';
