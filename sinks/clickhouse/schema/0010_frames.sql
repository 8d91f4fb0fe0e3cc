-- Frames of cameras: one row for each that could be read, whatever became of it, so that the table accounts for all of them. What other models say of the same frames is apart.

CREATE TABLE IF NOT EXISTS frames
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that took the frame.',
    camera LowCardinality(String) COMMENT 'Camera that it is of.',
    captured DateTime64(6, 'UTC') COMMENT 'Event time: when it was taken.' CODEC(DoubleDelta, LZ4),
    sequence Int64 COMMENT 'Number of the frame in one run of its producer; a gap is a frame that was not sent.' CODEC(Delta, LZ4),
    width UInt16 COMMENT 'Pixels across.' CODEC(LZ4),
    height UInt16 COMMENT 'Pixels down.' CODEC(LZ4),
    bytes UInt32 COMMENT 'Size of the JPEG.' CODEC(LZ4),
    status LowCardinality(String) COMMENT 'scored; or why not: late (older than vision.max_age), busy (newer frames of the camera were waiting), no-model, broken (its JPEG cannot be decoded; it is in deadletters, too), lost (its picture, kept apart for its size, is gone).',
    version LowCardinality(String) COMMENT 'Version of the model, as in models.version; empty where none scored it.',
    label LowCardinality(String) COMMENT 'Most probable class, of a classification; empty where none is.',
    risk Float32 COMMENT 'From 0, nothing to see, to 1: the probability of the label, or of the surest box.',
    boxes Nested(label String, score Float32, x0 Float32, y0 Float32, x1 Float32, y1 Float32, track Int64) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    zones Array(String) COMMENT 'Zones that hold something.',
    fired Array(String) COMMENT 'Rules that fired at the frame.',
    evidence String COMMENT 'Where the JPEG is kept, as GET /api/v1/evidence/ names it; empty where it is not.',
    age_ns Int64 COMMENT 'From the capture to the verdict, or to when the frame was given up, in nanoseconds.' CODEC(LZ4),
    latency_ns Int64 COMMENT 'From the arrival of the record to the verdict, in nanoseconds.' CODEC(LZ4),
    scored_at DateTime64(6, 'UTC') COMMENT 'When the verdict was given, or the frame given up, by the clock of the machine that did.' CODEC(Delta, LZ4),
    batch UInt32 COMMENT 'Number of pictures in the run of the model.' CODEC(LZ4),
    queue_ns Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    compute_ns Int64 COMMENT 'Time of that run, all its pictures together, in nanoseconds.' CODEC(LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record.',
    _partition Int32 COMMENT 'Kafka partition of the record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, camera, captured)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Frames of cameras: one row for each that could be read, scored or not.';

CREATE TABLE IF NOT EXISTS shadow_frames
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that took the frame.',
    camera LowCardinality(String) COMMENT 'Camera that it is of.',
    captured DateTime64(6, 'UTC') COMMENT 'Event time: when it was taken.' CODEC(DoubleDelta, LZ4),
    version LowCardinality(String) COMMENT 'Version of the shadow. The version whose word counts is in frames.',
    label LowCardinality(String) COMMENT 'Most probable class, of a classification; empty where none is.',
    risk Float32 COMMENT 'From 0, nothing to see, to 1. Nobody acts on it.',
    boxes Nested(label String, score Float32, x0 Float32, y0 Float32, x1 Float32, y1 Float32, track Int64) COMMENT 'What it found, as in frames; it follows nothing.',
    scored_at DateTime64(6, 'UTC') COMMENT 'When the verdict was taken in.' CODEC(Delta, LZ4),
    batch UInt32 COMMENT 'Number of pictures in the run of the model.' CODEC(LZ4),
    queue_ns Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    compute_ns Int64 COMMENT 'Time of that run, all its pictures together, in nanoseconds.' CODEC(LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record.',
    _partition Int32 COMMENT 'Kafka partition of the record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, camera, captured)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What a shadow said of a frame, once or, where there was no time for it, not at all.';

CREATE OR REPLACE VIEW frames_per_minute AS
SELECT pipeline, camera, toStartOfMinute(scored_at) AS minute, count() AS frames, countIf(status = 'scored') AS scored, countIf(status != 'scored') AS dropped,
    countIf(status = 'busy') AS busy, countIf(status = 'late') AS late, countIf(status = 'no-model') AS no_model, countIf(status = 'broken') AS broken, countIf(status = 'lost') AS lost,
    countIf(notEmpty(fired)) AS fired,
    quantileIf(0.5)(age_ns, status = 'scored') / 1e6 AS age_p50_ms, quantileIf(0.99)(age_ns, status = 'scored') / 1e6 AS age_p99_ms,
    quantileIf(0.5)(latency_ns, status = 'scored') / 1e6 AS latency_p50_ms, quantileIf(0.99)(latency_ns, status = 'scored') / 1e6 AS latency_p99_ms
FROM frames
GROUP BY pipeline, camera, minute
COMMENT 'Each camera, minute by minute of wall-clock time: frames that came, were scored, were dropped and why; age is from the capture to the verdict, latency from the arrival.';

CREATE OR REPLACE VIEW frame_boxes AS
SELECT pipeline, camera, captured, version, box.1 AS label, box.2 AS score, box.3 AS x0, box.4 AS y0, box.5 AS x1, box.6 AS y1, box.7 AS track, evidence, _topic, _partition, _offset
FROM frames
ARRAY JOIN arrayZip(boxes.label, boxes.score, boxes.x0, boxes.y0, boxes.x1, boxes.y1, boxes.track) AS box
COMMENT 'One row a box that was found in a frame.';

CREATE OR REPLACE VIEW frames_fired AS
SELECT pipeline, camera, captured, rule, label, risk, zones, evidence, age_ns / 1e6 AS age_ms, version, _topic, _partition, _offset
FROM frames
ARRAY JOIN fired AS rule
COMMENT 'One row for each time that a rule fired: at which frame, what is kept of it, and how long after the capture.';
