-- A replay gives the windows of a past range new scores, beside the live line, under a run of its own. Its scores are kept apart: no view of the live line sees them.

CREATE TABLE IF NOT EXISTS replays
(
    time DateTime64(6, 'UTC') COMMENT 'When it came to this state.',
    run String COMMENT 'Name of the replay, one of its pipeline.',
    pipeline LowCardinality(String) COMMENT 'Pipeline whose past was scored anew.',
    state LowCardinality(String) COMMENT 'started, resumed, stopped (by a signal), failed or finished.',
    version String COMMENT 'Version of the model that scores, as in models.version.',
    asked_from String COMMENT 'Where it was asked to begin, as it was written; empty for the begin of the log.',
    asked_to String COMMENT 'Where it was asked to end, as it was written; empty for the end of the log.',
    from_time DateTime64(6, 'UTC') COMMENT 'Windows that end at or after this event time are scored.',
    to_time DateTime64(6, 'UTC') COMMENT 'Windows that end before this event time are scored.',
    topic LowCardinality(String) COMMENT 'Kafka topic that is read.',
    from_offsets Map(Int32, Int64) COMMENT 'By partition, the first offset whose windows are scored; what is before it is only folded into the state.',
    to_offsets Map(Int32, Int64) COMMENT 'By partition, the offset before which it ends. Partitions that are not named are not read.',
    settings String COMMENT 'Digest of the settings that windows are made by: a replay goes on only under the same.',
    rows UInt64 COMMENT 'Rows read by the process that tells, those that are only folded included.',
    scores UInt64 COMMENT 'Scores stored by that process.',
    refused UInt64 COMMENT 'Scores that ClickHouse refused to store.',
    elapsed_ns Int64 COMMENT 'Since that process began, in nanoseconds.',
    who String COMMENT 'User and machine that started it.',
    detail String COMMENT 'For people: why it failed or where it stopped.'
)
ENGINE = MergeTree
ORDER BY (pipeline, run, time)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What happened to each replay (andon replay --pipeline), state by state. Its first row says what it is.';

CREATE TABLE IF NOT EXISTS replay_scores
(
    run LowCardinality(String) COMMENT 'Replay that gave the score, as in replays.run.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that the window is of.',
    asset LowCardinality(String) COMMENT 'Asset that the window is of.',
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the first slot of the window begins.' CODEC(DoubleDelta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the last slot of the window ends.' CODEC(DoubleDelta, LZ4),
    value Float32 COMMENT 'What the model says, in its unit, as in scores.',
    risk Float32 COMMENT 'From 0, nothing to see, to 1, pull the cord.',
    version LowCardinality(String) COMMENT 'Version of the model, as in models.version.',
    scored_at DateTime64(6, 'UTC') COMMENT 'When the verdict was given, by the clock of the machine that scored.' CODEC(Delta, LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record that completed the window.',
    _partition Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4)
)
ENGINE = MergeTree
PARTITION BY run
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What replays said of windows of the past. A replay that is of no use any more: ALTER TABLE replay_scores DROP PARTITION ''its run''.';

CREATE OR REPLACE VIEW replay_runs AS
SELECT
    pipeline, run,
    argMax(r.state, (r.time, r.state = 'finished')) AS state,
    argMin(r.version, r.time) AS version,
    argMin(r.asked_from, r.time) AS asked_from,
    argMin(r.asked_to, r.time) AS asked_to,
    argMin(r.from_time, r.time) AS windows_from,
    argMin(r.to_time, r.time) AS windows_to,
    min(r.time) AS started,
    max(r.time) AS changed,
    sumIf(r.rows, r.state IN ('stopped', 'failed', 'finished')) AS rows,
    sumIf(r.scores, r.state IN ('stopped', 'failed', 'finished')) AS scores,
    argMin(r.who, r.time) AS who,
    argMax(r.detail, (r.time, r.state = 'finished')) AS detail
FROM replays AS r
GROUP BY pipeline, run
COMMENT 'Each replay with its newest state. rows and scores are those that its processes told of; one that was killed told none.';

CREATE OR REPLACE VIEW replay_comparison AS
SELECT
    run, pipeline, asset, end,
    anyOrNullIf(score, NOT replayed) AS old_value,
    anyOrNullIf(danger, NOT replayed) AS old_risk,
    anyOrNullIf(model, NOT replayed) AS old_version,
    anyOrNullIf(score, replayed) AS new_value,
    anyOrNullIf(danger, replayed) AS new_risk,
    anyOrNullIf(model, replayed) AS new_version,
    new_value - old_value AS value_change,
    new_risk - old_risk AS risk_change,
    _topic, _partition, _offset
FROM
(
    SELECT r.run AS run, s.pipeline AS pipeline, s.asset AS asset, s.end AS end, s.value AS score, s.risk AS danger, toString(s.version) AS model, false AS replayed,
        s._topic AS _topic, s._partition AS _partition, s._offset AS _offset
    FROM scores AS s
    INNER JOIN
    (
        SELECT run, pipeline, argMin(topic, time) AS topic, argMin(from_time, time) AS from_time, argMin(to_time, time) AS to_time,
            argMin(from_offsets, time) AS from_offsets, argMin(to_offsets, time) AS to_offsets
        FROM replays
        GROUP BY run, pipeline
    ) AS r ON s.pipeline = r.pipeline
    WHERE s.end >= r.from_time AND s.end < r.to_time AND s._topic = r.topic AND s._offset >= r.from_offsets[s._partition] AND s._offset < r.to_offsets[s._partition]
    UNION ALL
    SELECT toString(run) AS run, pipeline, asset, end, value AS score, risk AS danger, toString(version) AS model, true AS replayed, _topic, _partition, _offset
    FROM replay_scores
)
GROUP BY run, pipeline, asset, end, _topic, _partition, _offset
COMMENT 'The windows of each replay''s range: what the live line said (old) and what the replay says (new), NULL where one of them said nothing. Filter by run and pipeline.';

CREATE OR REPLACE VIEW replay_summary AS
SELECT
    run, pipeline,
    arraySort(groupUniqArray(old_version)) AS old_versions,
    any(new_version) AS new_version,
    count() AS windows,
    countIf(old_value IS NOT NULL AND new_value IS NOT NULL) AS both,
    countIf(new_value IS NULL) AS only_old,
    countIf(old_value IS NULL) AS only_new,
    avg(abs(value_change)) AS mean_abs_value_change,
    max(abs(value_change)) AS max_abs_value_change,
    corr(old_value, new_value) AS value_correlation,
    avg(abs(risk_change)) AS mean_abs_risk_change,
    countIf(old_risk < 0.5 AND new_risk >= 0.5) AS risk_raised,
    countIf(old_risk >= 0.5 AND new_risk < 0.5) AS risk_lowered
FROM replay_comparison
GROUP BY run, pipeline
COMMENT 'Each replay beside the live line in one row: how many windows both scored, how far they differ, and how many cross a risk of 0.5, upwards (raised) or down (lowered).';
