-- The tables. Every table that andon inserts into remembers the tokens of its last inserts, so that an insert that is sent again is dropped.
-- The window counts inserts, of all partitions of all pipelines: 64 partitions that flush once a second fill 10000 in two and a half minutes,
-- which is longer than a Kafka session's time-out and a rebalance, after which somebody else sends the insert again.
--
-- Tables are not partitioned by time: a token is remembered per partition, so the partition must follow from the block and not from the clock.
-- A pipeline's offsets serve as its age instead.
--
-- Projections are built when parts are merged, not when they are inserted, and small new parts are read without them.

CREATE TABLE IF NOT EXISTS readings
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that took the row.',
    asset LowCardinality(String) COMMENT 'What was measured: a machine, a compressor, a camera.',
    time DateTime64(6, 'UTC') COMMENT 'Event time: when it was measured, as the record says.' CODEC(DoubleDelta, LZ4),
    signals LowCardinality(String) COMMENT 'Names of the values, joined by commas, in the order of the values.',
    values Array(Float64) COMMENT 'One value a signal; nan where the record had none.' CODEC(LZ4),
    status Enum8('ok' = 1, 'duplicate' = 2) COMMENT 'ok: taken into windows. duplicate: same asset, time and signals as a row taken before. Late rows are in deadletters.',
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record.',
    _partition Int32 COMMENT 'Kafka partition of the record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    PROJECTION by_minute
    (
        SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored), count(), min(_offset), max(_offset), max(time), max(_stored)
        GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
    )
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, time)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What was measured: one row an asset and instant, as decoded from the record.';

CREATE TABLE IF NOT EXISTS scores
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that scored the window.',
    asset LowCardinality(String) COMMENT 'Asset that the window is of.',
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the first slot of the window begins.' CODEC(DoubleDelta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the last slot of the window ends.' CODEC(DoubleDelta, LZ4),
    value Float32 COMMENT 'What the model says, in its unit: remaining life in grid steps, or a forecast error in standard deviations. See models.unit.',
    risk Float32 COMMENT 'From 0, nothing to see, to 1, pull the cord. Assets are ranked by it.',
    version LowCardinality(String) COMMENT 'Version of the model, as in models.version.',
    latency_ns Int64 COMMENT 'From the arrival of the record that completed the window to the verdict, in nanoseconds.' CODEC(LZ4),
    scored_at DateTime64(6, 'UTC') COMMENT 'When the verdict was given, by the clock of the machine that scored.' CODEC(Delta, LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record that completed the window.',
    _partition Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    PROJECTION latest
    (
        SELECT pipeline, asset, max(end), argMax((start, value, risk, version, latency_ns, scored_at, _topic, _partition, _offset), (end, _offset))
        GROUP BY pipeline, asset
    ),
    PROJECTION by_minute
    (
        SELECT pipeline, version, toStartOfMinute(scored_at), count(), min(scored_at), max(scored_at), max(latency_ns)
        GROUP BY pipeline, version, toStartOfMinute(scored_at)
    )
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What a model said of each window.';

CREATE TABLE IF NOT EXISTS labels
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that the label is for.',
    asset LowCardinality(String) COMMENT 'Asset that it happened to.',
    time DateTime64(6, 'UTC') COMMENT 'Event time: when it happened.',
    label LowCardinality(String) COMMENT 'What happened: failure marks the end of a life; a task may know other words.',
    value Float64 COMMENT 'The number that belongs to the label; nan where it has none.',
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record.',
    _partition Int32 COMMENT 'Kafka partition of the record.',
    _offset Int64 COMMENT 'Kafka offset of the record.',
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.'
)
ENGINE = MergeTree
ORDER BY (pipeline, asset, time)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'The truth about assets, told after the fact.';

CREATE TABLE IF NOT EXISTS deadletters
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that could not use the record.',
    reason LowCardinality(String) COMMENT 'malformed, late, future, ancient or refused (by ClickHouse).',
    detail String COMMENT 'What was wrong, and what to do.' CODEC(ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'The record''s own timestamp in Kafka.' CODEC(Delta, LZ4),
    key String COMMENT 'The record''s key, as it was.' CODEC(ZSTD(1)),
    value String COMMENT 'The record''s value, as it was.' CODEC(ZSTD(1)),
    headers Array(Tuple(key String, value String)) COMMENT 'The record''s headers, in their order; a key may come twice.' CODEC(ZSTD(1)),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record.',
    _partition Int32 COMMENT 'Kafka partition of the record.',
    _offset Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4)
)
ENGINE = MergeTree
ORDER BY (pipeline, reason, _topic, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Records that could not be used, whole, with the reason. The topic andon.deadletter holds the same.';

CREATE TABLE IF NOT EXISTS trainings
(
    run String COMMENT 'The training run.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that the model is for.',
    state LowCardinality(String) COMMENT 'started, epoch, finished (a model was made) or failed.',
    epoch UInt32 COMMENT 'Epoch that ended, counted from 1.',
    epochs UInt32 COMMENT 'Epochs that are planned.',
    loss Float64 COMMENT 'Mean loss of the epoch on the training windows, in the unit of the scaled target; nan before the first epoch ends.',
    val_loss Float64 COMMENT 'The same on the windows that were held back.',
    rows_per_second Float64 COMMENT 'Training windows taken per second.',
    rows UInt64 COMMENT 'Number of training windows.',
    elapsed_ns Int64 COMMENT 'Since the start of the run, in nanoseconds.',
    time DateTime64(6, 'UTC') COMMENT 'Wall clock of the step.',
    version LowCardinality(String) COMMENT 'Model that came of it, once there is one.',
    detail String COMMENT 'For people: why it started, was refused or failed.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time, run)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'The life of each training run, step by step.';

CREATE TABLE IF NOT EXISTS models
(
    time DateTime64(6, 'UTC') COMMENT 'When it happened.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that the model is for.',
    version String COMMENT 'First 12 hexadecimal digits of the SHA-256 of the ONNX file.',
    alias LowCardinality(String) COMMENT 'What the version became: empty when it was registered, champion when it went live.',
    task LowCardinality(String) COMMENT 'What its outputs mean: remaining-life or anomaly.',
    unit LowCardinality(String) COMMENT 'Unit of scores.value.',
    network LowCardinality(String) COMMENT 'Kind of network.',
    metrics Map(String, Float64) COMMENT 'Quality, as measured at training.',
    lineage String COMMENT 'JSON: run, query and digest of the training rows, seed, code.',
    who String COMMENT 'Who did it: a person, or the part of andon that decided.',
    why String COMMENT 'Why, in words.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What happened to models: registered, promoted, rolled back.';

CREATE TABLE IF NOT EXISTS metrics
(
    time DateTime64(3, 'UTC') COMMENT 'When the value was read.' CODEC(DoubleDelta, LZ4),
    name LowCardinality(String) COMMENT 'Name of the metric, as on /metrics; a histogram gives its _sum and _count.',
    labels Map(LowCardinality(String), String) COMMENT 'Its labels.',
    value Float64 COMMENT 'Its value.' CODEC(Gorilla, LZ4)
)
ENGINE = MergeTree
ORDER BY (name, time)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'andon''s own metrics over time.';
