-- What became of the records of a pipeline that does not store its readings: one row a block. It is stored after all else of its block, so a row here says that the
-- block is whole. PARTITION BY is left out: see 0001_tables.sql.

CREATE TABLE IF NOT EXISTS handled
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that handled the records.',
    first Int64 COMMENT 'First Kafka offset of the block.',
    next Int64 COMMENT 'First offset after the block.',
    ok UInt64 COMMENT 'Records that were taken.',
    duplicate UInt64 COMMENT 'Records of the same asset, time and signals as one taken before.',
    filtered UInt64 COMMENT 'Records that the rules of the source leave out.',
    labels UInt64 COMMENT 'Records that are in labels.',
    dead UInt64 COMMENT 'Records that are in deadletters instead. What ClickHouse refused of a record that was taken is not among them.',
    newest DateTime64(6, 'UTC') COMMENT 'Newest event time of the records that are rows; the first that ClickHouse holds where none is.',
    _topic LowCardinality(String) COMMENT 'Kafka topic of the records.',
    _partition Int32 COMMENT 'Kafka partition of the records.',
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.'
)
ENGINE = MergeTree
ORDER BY (pipeline, _topic, _partition, first)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Blocks of pipelines that do not store their readings (readings.store: false): which offsets were handled, and what became of them.';

CREATE OR REPLACE VIEW rows_per_minute AS
SELECT pipeline, minute, sum(n) AS rows, sum(twice) AS duplicates, sum(out) AS filtered
FROM
(
    SELECT pipeline, toStartOfMinute(_stored) AS minute, ok + duplicate + filtered AS n, duplicate AS twice, filtered AS out
    FROM handled
    UNION ALL
    SELECT pipeline, minute, n, if(status = 'duplicate', n, 0), if(status = 'filtered', n, 0)
    FROM
    (
        SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored) AS minute, count() AS n
        FROM readings
        GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
    )
)
GROUP BY pipeline, minute
COMMENT 'Rows handled in each minute of wall-clock time.';

CREATE OR REPLACE VIEW lag AS
SELECT pipeline, _topic, _partition, rows, last_offset, newest, stored, dateDiff('second', stored, now64(3)) AS idle_seconds,
    dateDiff('second', newest, toDateTime64(stored, 6, 'UTC')) AS event_lag_seconds
FROM
(
    SELECT pipeline, _topic, _partition, sum(n) AS rows, max(offset) AS last_offset, max(event_time) AS newest, max(stored_at) AS stored
    FROM
    (
        SELECT pipeline, _topic, _partition, ok + duplicate + filtered AS n, next - 1 AS offset, newest AS event_time, _stored AS stored_at
        FROM handled
        UNION ALL
        SELECT pipeline, _topic, _partition, n, offset, event_time, stored_at
        FROM
        (
            SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored) AS minute, count() AS n, max(_offset) AS offset, max(time) AS event_time,
                max(_stored) AS stored_at
            FROM readings
            GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
        )
    )
    GROUP BY pipeline, _topic, _partition
)
COMMENT 'How far each partition has come: last offset stored, how long ago, and how far its event time is behind the clock.';
