-- The schema of andon's ClickHouse database, as the migrations in schema/ make it. Written by go test ./sinks/clickhouse -run SchemaFile -update.
-- Retention (clickhouse.retention) adds a TTL on _stored, or on time, to readings, features, scores, frames, drift, drift_findings, estimates, replay_scores, deadletters, deadletter_replays and metrics.

CREATE TABLE andon.alarms
(
    `id` String COMMENT 'Names the alarm: all rows of one id are one matter.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that it is of.',
    `kind` LowCardinality(String) COMMENT 'input-drift, prediction-drift, estimated-loss or realised-loss.',
    `version` LowCardinality(String) COMMENT 'Model that it is of.',
    `since` DateTime64(6, 'UTC') COMMENT 'Event time at which the change began, as far as is known.' CODEC(Delta(8), LZ4),
    `at` DateTime64(6, 'UTC') COMMENT 'Event time of what settled it, let it grow, or ended it.' CODEC(Delta(8), LZ4),
    `over` Bool COMMENT 'It has ended.',
    `metric` LowCardinality(String) COMMENT 'Metric that loss and before are of; empty where none is known.',
    `loss` Float64 COMMENT 'Loss that is estimated or was measured; NaN where it is not known.' CODEC(LZ4),
    `before` Float64 COMMENT 'Loss that was to be expected; NaN where it is not known.' CODEC(LZ4),
    `causes.feature` Array(String) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.group` Array(String) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.assets` Array(String) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.measure` Array(String) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.size` Array(Float64) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.p` Array(Float64) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.before` Array(Float64) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `causes.now` Array(Float64) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    `detail` String COMMENT 'For people.',
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4)
)
ENGINE = MergeTree
PARTITION BY tuple()
ORDER BY (pipeline, since, id, at)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'Changes that were raised: one row when an alarm begins, when it grows, and when it ends.';

CREATE TABLE andon.alert_deliveries
(
    `time` DateTime64(6, 'UTC') COMMENT 'When the try ended.' CODEC(Delta(8), LZ4),
    `receiver` LowCardinality(String) COMMENT 'Name of the receiver in the configuration.',
    `group_key` String COMMENT 'The group of alerts that the notice was of.',
    `notice` String COMMENT 'Names the notice; all its tries have the same.',
    `ids` Array(String) COMMENT 'The alerts in it.',
    `try` UInt32 COMMENT 'Number of the try, from 1.' CODEC(LZ4),
    `state` LowCardinality(String) COMMENT 'delivered, pending (it is tried again) or dead (given up).',
    `latency_ns` Int64 COMMENT 'Time of the try, in nanoseconds.' CODEC(LZ4),
    `age_ns` Int64 COMMENT 'From when the oldest news in it was told to when the try ended, in nanoseconds.' CODEC(LZ4),
    `error` String COMMENT 'Why it was not delivered.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, receiver)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'Each try to tell a receiver of alerts.';

CREATE TABLE andon.alerts
(
    `time` DateTime64(6, 'UTC') COMMENT 'When the change was made, by the clock of the replica that made it.' CODEC(Delta(8), LZ4),
    `what` LowCardinality(String) COMMENT 'What happened: fired, updated, resolved, acknowledged, released, snoozed, flapping, settled.',
    `id` String COMMENT 'The cause: alerts with one id are one matter.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that it is about; empty for the appliance.',
    `kind` LowCardinality(String) COMMENT 'rule, drift, error, training or bottleneck.',
    `severity` LowCardinality(String) COMMENT 'info, warning or critical.',
    `state` LowCardinality(String) COMMENT 'firing or resolved, after the change.',
    `title` String COMMENT 'One line for people.',
    `detail` String COMMENT 'What to do.',
    `asset` LowCardinality(String) COMMENT 'Machine or camera that it is about; empty for a whole pipeline.',
    `labels` Map(LowCardinality(String), String) COMMENT 'Further facts.',
    `evidence` String COMMENT 'Path on the console of what shows it.',
    `since` DateTime64(6, 'UTC') COMMENT 'When it began: event time where there is one.' CODEC(Delta(8), LZ4),
    `first` DateTime64(6, 'UTC') COMMENT 'When it fired, by the wall clock.' CODEC(Delta(8), LZ4),
    `who` String COMMENT 'Who made the change: a person, or andon.',
    `comment` String COMMENT 'What that person said.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (id, time)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'Each change of each alert. The topic of alerts has the newest state.';

CREATE TABLE andon.deadletter_replays
(
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the dead letter.',
    `_partition` Int32 COMMENT 'Kafka partition of the dead letter.',
    `_offset` Int64 COMMENT 'Kafka offset of the dead letter.',
    `run` String COMMENT 'The replay that did it.',
    `state` LowCardinality(String) COMMENT 'sending: begun. sent: acknowledged by the brokers. failed: refused by them. yielded: left to another replay of the same record.',
    `to_topic` LowCardinality(String) COMMENT 'Topic that it is sent to.',
    `to_partition` Int32 COMMENT 'Partition that it went to; -1 unless sent.',
    `to_offset` Int64 COMMENT 'Offset that it has there; -1 unless sent.',
    `who` String COMMENT 'Who asked for it, as they say.',
    `detail` String COMMENT 'Why it failed.',
    `_stored` DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the row was stored, by the clock of the ClickHouse server.'
)
ENGINE = MergeTree
ORDER BY (_topic, _partition, _offset, run)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'The memory of andon dlq replay: which dead letters were sent again, where to, by whom.';

CREATE TABLE andon.deadletters
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that could not use the record.',
    `reason` LowCardinality(String) COMMENT 'malformed, late, future, ancient or refused (by ClickHouse).',
    `detail` String COMMENT 'What was wrong, and what to do.' CODEC(ZSTD(1)),
    `time` DateTime64(6, 'UTC') COMMENT 'The record\'s own timestamp in Kafka.' CODEC(Delta(8), LZ4),
    `key` String COMMENT 'The record\'s key, as it was.' CODEC(ZSTD(1)),
    `value` String COMMENT 'The record\'s value, as it was.' CODEC(ZSTD(1)),
    `headers` Array(Tuple(
        key String,
        value String)) COMMENT 'The record\'s headers, in their order; a key may come twice.' CODEC(ZSTD(1)),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record.',
    `_partition` Int32 COMMENT 'Kafka partition of the record.',
    `_offset` Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    `key_null` Bool DEFAULT empty(key) COMMENT 'The record had no key at all, rather than an empty one.',
    `value_null` Bool DEFAULT empty(value) COMMENT 'The record had no value at all, rather than an empty one: a tombstone.'
)
ENGINE = MergeTree
ORDER BY (pipeline, reason, _topic, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'Records that could not be used, whole, with the reason. The topic andon.deadletter holds the same.';

CREATE TABLE andon.decisions
(
    `time` DateTime64(6, 'UTC') COMMENT 'When it was decided, by the clock of the machine that decided.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the model is for.',
    `campaign` String COMMENT 'The way of one challenger from trigger to end; all its decisions carry it. Empty for a trigger that was turned down or put off.',
    `stage` LowCardinality(String) COMMENT 'trigger, train, gate, shadow, canary, promote, watch or rollback.',
    `verdict` LowCardinality(String) COMMENT 'go, no, wait, ask (a person has to say) or failed.',
    `reason` String COMMENT 'Why, for people.',
    `champion` LowCardinality(String) COMMENT 'Version of the champion; empty where there is none.',
    `challenger` LowCardinality(String) COMMENT 'Version of the challenger; empty where there is none yet.',
    `facts` String COMMENT 'The numbers by which it was decided, JSON; a campaign that was cut off goes on from it.' CODEC(ZSTD(1)),
    `who` LowCardinality(String) COMMENT 'Who decided: policy, loop, or a person.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'Every step by which a pipeline came to its model, or did not, with its reason and numbers.';

CREATE TABLE andon.drift
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline whose windows, or frames, they are.',
    `version` LowCardinality(String) COMMENT 'Model that scored them.',
    `group` LowCardinality(String) COMMENT 'Asset group; fleet are those of no group. The counts and sums of groups, pieces and partitions add up.',
    `piece` Int64 COMMENT 'Number of the piece in its partition.' CODEC(Delta(8), LZ4),
    `feature` LowCardinality(String) COMMENT 'Channel of the windows, prediction, risk, together (how badly the channels fit together as they used to) or loss (what the model is expected to lose).',
    `role` LowCardinality(String) COMMENT 'input, together, prediction or loss.',
    `reference` LowCardinality(String) COMMENT 'model: it came with the model; line: it is of the first windows that the model scored here.',
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the first of the windows ended.' CODEC(Delta(8), LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the last of the windows ended.' CODEC(Delta(8), LZ4),
    `windows` UInt32 COMMENT 'Number of windows.' CODEC(LZ4),
    `assets` UInt32 COMMENT 'Number of assets that they are of, at most 64 a partition.' CODEC(LZ4),
    `counts` Array(UInt32) COMMENT 'Windows in each bin of the reference; the last bin is of what lies beyond its greatest value.' CODEC(LZ4),
    `expected` Array(Float32) COMMENT 'What the reference leads to expect in each bin, of as many windows of the same strata.' CODEC(LZ4),
    `missing` UInt32 COMMENT 'Windows without a value.' CODEC(LZ4),
    `sum` Float64 COMMENT 'Sum of the values, in the unit of the feature.' CODEC(LZ4),
    `expected_sum` Float64 COMMENT 'What the reference leads to expect of that.' CODEC(LZ4),
    `squared_sum` Float64 COMMENT 'Sum over windows of the variance of the reference.' CODEC(LZ4),
    `place_sum` Float64 COMMENT 'Sum of the ranks in the reference less one half: 0 on average where nothing has changed.' CODEC(LZ4),
    `spread_sum` Float64 COMMENT 'Sum of the squares of those ranks less what is expected of them.' CODEC(LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record that completed the last of the windows.',
    `_partition` Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, version, feature, group, end)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'Histograms of what a model is fed and says, piece by piece, beside its reference.';

CREATE TABLE andon.drift_findings
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that it is of.',
    `version` LowCardinality(String) COMMENT 'Model that it is of.',
    `reference` LowCardinality(String) COMMENT 'model or line, as in drift.',
    `round` Int64 COMMENT 'Number of the round of the version: a piece of each partition.' CODEC(Delta(8), LZ4),
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the first window of the round ended.' CODEC(Delta(8), LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the last window of the round ended.' CODEC(Delta(8), LZ4),
    `feature` LowCardinality(String) COMMENT 'Feature, as in drift.',
    `role` LowCardinality(String) COMMENT 'Role, as in drift.',
    `group` LowCardinality(String) COMMENT 'Asset group; fleet are all assets.',
    `windows` UInt32 COMMENT 'Number of windows.' CODEC(LZ4),
    `assets` UInt32 COMMENT 'Number of assets.' CODEC(LZ4),
    `effective` Float64 COMMENT 'As how many independent windows they count.' CODEC(LZ4),
    `before` Float64 COMMENT 'Mean that the reference leads to expect, in the unit of the feature.' CODEC(LZ4),
    `now` Float64 COMMENT 'Mean that there is.' CODEC(LZ4),
    `deviation` Float64 COMMENT 'Standard deviation of the reference.' CODEC(LZ4),
    `place` Float64 COMMENT 'How far ranks have moved on average, from -0.5 to 0.5.' CODEC(LZ4),
    `ks` Float64 COMMENT 'Greatest difference of the distribution functions, from 0 to 1.' CODEC(LZ4),
    `psi` Float64 COMMENT 'Population stability index, less what chance alone leads to.' CODEC(LZ4),
    `js` Float64 COMMENT 'Distance of Jensen and Shannon, from 0 to 1.' CODEC(LZ4),
    `hellinger` Float64 COMMENT 'Distance of Hellinger, from 0 to 1.' CODEC(LZ4),
    `missing` Float64 COMMENT 'Share of windows without a value above that of the reference.' CODEC(LZ4),
    `p` Float64 COMMENT 'Chance of as large a difference where nothing has changed, corrected for the number of tests of the feature.' CODEC(LZ4),
    `q` Float64 COMMENT 'The same, corrected for all features and groups of the round (false discovery rate).' CODEC(LZ4),
    `measure` LowCardinality(String) COMMENT 'Test that p is of: place, spread, ks, missing, mean or adwin.',
    `votes` UInt8 COMMENT 'How many of ks, psi, js and place are beyond their limits.' CODEC(LZ4),
    `drifted` Bool COMMENT 'It counts as a change.',
    `streak` UInt32 COMMENT 'For how many rounds in a row it does.' CODEC(LZ4),
    `furthest` Array(String) COMMENT 'Assets that are furthest off.' CODEC(LZ4),
    `counts` Array(UInt32) COMMENT 'Histogram, in bins of the reference.' CODEC(LZ4),
    `expected` Array(Float32) COMMENT 'What the reference leads to expect in each bin.' CODEC(LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4)
)
ENGINE = MergeTree
PARTITION BY pipeline
ORDER BY (pipeline, version, feature, group, round)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'How far each feature of each asset group is from the reference of the model, round by round.';

CREATE TABLE andon.estimates
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that it is of.',
    `version` LowCardinality(String) COMMENT 'Model that it is of.',
    `round` Int64 COMMENT 'Round, as in drift_findings.' CODEC(Delta(8), LZ4),
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the first window of the round ended.' CODEC(Delta(8), LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the last window of the round ended.' CODEC(Delta(8), LZ4),
    `metric` LowCardinality(String) COMMENT 'loss (from 0 to 1, the smaller the better, as outcomes are measured), accuracy, f1, roc_auc or brier (of the risk).',
    `windows` UInt32 COMMENT 'Number of windows.' CODEC(LZ4),
    `value` Float64 COMMENT 'What the model is expected to be worth on them, before the truth is known.' CODEC(LZ4),
    `before` Float64 COMMENT 'What its reference leads to expect of such windows; NaN where it does not tell.' CODEC(LZ4),
    `error` Float64 COMMENT 'Standard deviation of value, by assets and parts of time; NaN where it is not known.' CODEC(LZ4),
    `p` Float64 COMMENT 'Chance of as high a loss where nothing has changed; NaN for what is no loss.' CODEC(LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4)
)
ENGINE = MergeTree
PARTITION BY pipeline
ORDER BY (pipeline, version, metric, round)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'What models are expected to be worth before the truth is known.';

CREATE TABLE andon.evaluations
(
    `id` String COMMENT 'The table that the row is a cell of.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the models are for.',
    `task` LowCardinality(String) COMMENT 'What their outputs mean, as in models.task.',
    `time` DateTime64(6, 'UTC') COMMENT 'When it was found, by the wall clock.',
    `digest` String COMMENT 'SHA-256 of the rows and their truth by which it was found.',
    `metric` LowCardinality(String) COMMENT 'What value is: rmse, brier, error (of classes) or 1-f1 (of boxes), all the smaller the better.',
    `unit` LowCardinality(String) COMMENT 'Unit of value.',
    `level` Float64 COMMENT 'Level of the interval from low to high.',
    `place` UInt32 COMMENT 'Place of the scenario in the table, from 0.',
    `column` UInt32 COMMENT 'Place of the model in the table, from 0.',
    `scenario` LowCardinality(String) COMMENT 'Part of the data, or fault.',
    `detail` String COMMENT 'What the fault does, for people.',
    `judged` Bool COMMENT 'Whether the gate asks about the scenario.',
    `windows` UInt64 COMMENT 'Windows, or frames, of the scenario.',
    `assets` UInt64 COMMENT 'Assets, or cameras, that they are of.',
    `version` LowCardinality(String) COMMENT 'The model, as models.version.',
    `network` LowCardinality(String) COMMENT 'Its network.',
    `value` Float64 COMMENT 'The metric; nan where the scenario has nothing.',
    `low` Float64 COMMENT 'Lower end of its interval.',
    `high` Float64 COMMENT 'Upper end of its interval.',
    `loss` Float64 COMMENT 'Mean loss, from 0, right, to 1, as wrong as can be.',
    `p50_ns` Int64 COMMENT 'Median time of a run of one window, in nanoseconds.',
    `p99_ns` Int64 COMMENT '99th percentile of it.',
    `cpu_seconds_per_million` Float64 COMMENT 'CPU time of a million windows in runs of 32, or frames in runs of one, in seconds.',
    `joules_per_million` Float64 COMMENT 'Energy of the same; nan where nothing tells.',
    `bytes` UInt64 COMMENT 'Size of the ONNX file.',
    `training_seconds` Float64 COMMENT 'How long making the model took; nan where that is not known.',
    `training_cpu_seconds` Float64 COMMENT 'CPU time that it took.',
    `training_joules` Float64 DEFAULT nan COMMENT 'Energy that it took, of processors and devices; nan where nothing told.',
    `retrainings_a_week` Float64 COMMENT 'Trainings that were begun while it was champion, a week; nan where it never was.',
    `alarms_a_week` Float64 COMMENT 'Alarms about it while it was champion, a week.',
    `who` String COMMENT 'Who asked for the table.',
    `why` String COMMENT 'Why.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time, id, place, column)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'Models side by side in scenarios, and what each costs.';

CREATE TABLE andon.features
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the window is of.',
    `asset` LowCardinality(String) COMMENT 'Asset that the window is of.',
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the window begins.' CODEC(DoubleDelta, LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the window ends: the first instant after it.' CODEC(DoubleDelta, LZ4),
    `names` LowCardinality(String) COMMENT 'Names of the values, <signal>_<function>, joined by commas, in the order of the values.',
    `values` Array(Float64) COMMENT 'One value a name; nan where the function has none, as without readings of the signal. Slopes are in units a second.' CODEC(LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record that closed the window.',
    `_partition` Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'What windows of event time held: one row an asset and window with readings.';

CREATE TABLE andon.frames
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that took the frame.',
    `camera` LowCardinality(String) COMMENT 'Camera that it is of.',
    `captured` DateTime64(6, 'UTC') COMMENT 'Event time: when it was taken.' CODEC(DoubleDelta, LZ4),
    `sequence` Int64 COMMENT 'Number of the frame in one run of its producer; a gap is a frame that was not sent.' CODEC(Delta(8), LZ4),
    `width` UInt16 COMMENT 'Pixels across.' CODEC(LZ4),
    `height` UInt16 COMMENT 'Pixels down.' CODEC(LZ4),
    `bytes` UInt32 COMMENT 'Size of the JPEG.' CODEC(LZ4),
    `status` LowCardinality(String) COMMENT 'scored; or why not: late (older than vision.max_age), busy (newer frames of the camera were waiting), no-model, broken (its JPEG cannot be decoded; it is in deadletters, too), lost (its picture, kept apart for its size, is gone).',
    `version` LowCardinality(String) COMMENT 'Version of the model, as in models.version; empty where none scored it.',
    `label` LowCardinality(String) COMMENT 'Most probable class, of a classification; empty where none is.',
    `risk` Float32 COMMENT 'From 0, nothing to see, to 1: the probability of the label, or of the surest box.',
    `boxes.label` Array(String) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `boxes.score` Array(Float32) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `boxes.x0` Array(Float32) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `boxes.y0` Array(Float32) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `boxes.x1` Array(Float32) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `boxes.y1` Array(Float32) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `boxes.track` Array(Int64) COMMENT 'What was found, from 0 to 1 of the frame from its upper left corner. track names one object over the frames of its camera; 0: it is not followed.',
    `zones` Array(String) COMMENT 'Zones that hold something.',
    `fired` Array(String) COMMENT 'Rules that fired at the frame.',
    `evidence` String COMMENT 'Where the JPEG is kept, as GET /api/v1/evidence/ names it; empty where it is not.',
    `age_ns` Int64 COMMENT 'From the capture to the verdict, or to when the frame was given up, in nanoseconds.' CODEC(LZ4),
    `latency_ns` Int64 COMMENT 'From the arrival of the record to the verdict, in nanoseconds.' CODEC(LZ4),
    `scored_at` DateTime64(6, 'UTC') COMMENT 'When the verdict was given, or the frame given up, by the clock of the machine that did.' CODEC(Delta(8), LZ4),
    `batch` UInt32 COMMENT 'Number of pictures in the run of the model.' CODEC(LZ4),
    `queue_ns` Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    `compute_ns` Int64 COMMENT 'Time of that run, all its pictures together, in nanoseconds.' CODEC(LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record.',
    `_partition` Int32 COMMENT 'Kafka partition of the record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, camera, captured)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'Frames of cameras: one row for each that could be read, scored or not.';

CREATE TABLE andon.handled
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that handled the records.',
    `first` Int64 COMMENT 'First Kafka offset of the block.',
    `next` Int64 COMMENT 'First offset after the block.',
    `ok` UInt64 COMMENT 'Records that were taken.',
    `duplicate` UInt64 COMMENT 'Records of the same asset, time and signals as one taken before.',
    `filtered` UInt64 COMMENT 'Records that the rules of the source leave out.',
    `labels` UInt64 COMMENT 'Records that are in labels.',
    `dead` UInt64 COMMENT 'Records that are in deadletters instead. What ClickHouse refused of a record that was taken is not among them.',
    `newest` DateTime64(6, 'UTC') COMMENT 'Newest event time of the records that are rows; the first that ClickHouse holds where none is.',
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the records.',
    `_partition` Int32 COMMENT 'Kafka partition of the records.',
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.'
)
ENGINE = MergeTree
ORDER BY (pipeline, _topic, _partition, first)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'Blocks of pipelines that do not store their readings (readings.store: false): which offsets were handled, and what became of them.';

CREATE TABLE andon.labels
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the label is for.',
    `asset` LowCardinality(String) COMMENT 'Asset that it happened to.',
    `time` DateTime64(6, 'UTC') COMMENT 'Event time: when it happened.',
    `label` LowCardinality(String) COMMENT 'What happened: failure marks the end of a life; a task may know other words.',
    `value` Float64 COMMENT 'The number that belongs to the label; nan where it has none.',
    `until` DateTime64(6, 'UTC') COMMENT 'End of what lasted from time on; 1970 for what did not last.',
    `box` Array(Float64) COMMENT 'Corners in a frame, x0, y0, x1, y1 from 0 to 1; zeros, or nothing, for the whole of it.',
    `of` String COMMENT 'Record whose score it speaks of, topic/partition@offset, where it names no asset and time of its own.',
    `weight` Float64 COMMENT 'How much it counts in training; 0 is 1.',
    `golden` Bool COMMENT 'Every model to come is examined on it.',
    `withdrawn` Bool COMMENT 'It takes back what was told before of the same asset, time, label and box.',
    `who` LowCardinality(String) COMMENT 'Who told it: a person, or a system.',
    `note` String COMMENT 'Why, for people.',
    `told` DateTime64(6, 'UTC') DEFAULT toDateTime64(_stored, 6, 'UTC') COMMENT 'When it was told: the record\'s own timestamp in Kafka. The last that was told counts.',
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record.',
    `_partition` Int32 COMMENT 'Kafka partition of the record.',
    `_offset` Int64 COMMENT 'Kafka offset of the record.',
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.'
)
ENGINE = MergeTree
ORDER BY (pipeline, asset, time)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'The truth about assets, told after the fact.';

CREATE TABLE andon.metrics
(
    `time` DateTime64(3, 'UTC') COMMENT 'When the value was read.' CODEC(DoubleDelta, LZ4),
    `name` LowCardinality(String) COMMENT 'Name of the metric, as on /metrics; a histogram gives its _sum and _count.',
    `labels` Map(LowCardinality(String), String) COMMENT 'Its labels.',
    `value` Float64 COMMENT 'Its value.' CODEC(Gorilla(8), LZ4)
)
ENGINE = MergeTree
ORDER BY (name, time)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'andon\'s own metrics over time.';

CREATE TABLE andon.migrations
(
    `version` UInt32 COMMENT 'Number of the migration.',
    `name` String COMMENT 'Its file.',
    `applied` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied.'
)
ENGINE = MergeTree
ORDER BY version
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'Which changes of the schema were applied.';

CREATE TABLE andon.models
(
    `time` DateTime64(6, 'UTC') COMMENT 'When it happened.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the model is for.',
    `version` String COMMENT 'First 12 hexadecimal digits of the SHA-256 of the ONNX file.',
    `alias` LowCardinality(String) COMMENT 'What the version became: empty when it was registered, champion when it went live.',
    `task` LowCardinality(String) COMMENT 'What its outputs mean: remaining-life or anomaly.',
    `unit` LowCardinality(String) COMMENT 'Unit of scores.value.',
    `network` LowCardinality(String) COMMENT 'Kind of network.',
    `metrics` Map(String, Float64) COMMENT 'Quality, as measured at training.',
    `lineage` String COMMENT 'JSON: run, query and digest of the training rows, seed, code.',
    `who` String COMMENT 'Who did it: a person, or the part of andon that decided.',
    `why` String COMMENT 'Why, in words.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'What happened to models: registered, promoted, rolled back.';

CREATE TABLE andon.outcomes
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the window or frame is of.',
    `asset` LowCardinality(String) COMMENT 'Asset or camera.',
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the window begins; of a frame its capture.' CODEC(DoubleDelta, LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the window ends; of a frame its capture.' CODEC(DoubleDelta, LZ4),
    `version` LowCardinality(String) COMMENT 'Version of the model that said it.',
    `role` Enum8('score' = 1, 'shadow' = 2) COMMENT 'score: it counted. shadow: nobody acted on it.',
    `value` Float32 COMMENT 'What it said, in the unit of the model.',
    `risk` Float32 COMMENT 'The risk that it told.',
    `class` LowCardinality(String) COMMENT 'The class that it gave a frame.',
    `truth` Float64 COMMENT 'What the value should have been: remaining life, capped; 1 or 0 for an anomaly, or for a frame that was read right or wrong; nan where only happened is known.',
    `cap` Float32 COMMENT 'Cap of the remaining life, in grid steps; 0 of other tasks.',
    `happened` UInt8 COMMENT '1 where what the risk speaks of happened.',
    `loss` Float64 COMMENT 'From 0, right, to 1, as wrong as can be: |value - truth| / cap, (risk - truth)², or 0 and 1 for classes; nan where truth is.',
    `risk_loss` Float64 COMMENT '(risk - happened)², or 0 and 1 for classes.',
    `weight` Float64 COMMENT 'Weight of the label that told the truth.',
    `by` Enum8('label' = 1, 'time' = 2) COMMENT 'label: a label told the truth. time: nothing happened until it could not any more.',
    `label` LowCardinality(String) COMMENT 'What the label said, as the class of a frame; empty where time settled it.',
    `scored_at` DateTime64(6, 'UTC') COMMENT 'When it was said.' CODEC(Delta(8), LZ4),
    `settled` DateTime64(6, 'UTC') COMMENT 'When its truth was settled, by the clock of andon; the newest counts.' CODEC(Delta(8), LZ4),
    `gone` UInt8 COMMENT '1: it is not settled any more, since a label was withdrawn.',
    INDEX settled settled TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(settled, gone)
PARTITION BY pipeline
ORDER BY (pipeline, asset, end, version)
SETTINGS index_granularity = 8192
COMMENT 'What predictions came to, once it is settled: read it with FINAL.';

CREATE TABLE andon.readings
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that took the row.',
    `asset` LowCardinality(String) COMMENT 'What was measured: a machine, a compressor, a camera.',
    `time` DateTime64(6, 'UTC') COMMENT 'Event time: when it was measured, as the record says.' CODEC(DoubleDelta, LZ4),
    `signals` LowCardinality(String) COMMENT 'Names of the values, joined by commas, in the order of the values.',
    `values` Array(Float64) COMMENT 'One value a signal; nan where the record had none.' CODEC(LZ4),
    `status` Enum8('ok' = 1, 'duplicate' = 2, 'filtered' = 3) COMMENT 'ok: taken into windows. duplicate: same asset, time and signals as a row taken before. filtered: left out by the rules of its source. Late rows are in deadletters.',
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record.',
    `_partition` Int32 COMMENT 'Kafka partition of the record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    PROJECTION by_minute
    (
        SELECT
            pipeline,
            _topic,
            _partition,
            status,
            toStartOfMinute(_stored),
            count(),
            min(_offset),
            max(_offset),
            max(time),
            max(_stored)
        GROUP BY
            pipeline,
            _topic,
            _partition,
            status,
            toStartOfMinute(_stored)
    )
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, time)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192, materialize_projections_on_insert = 0, materialize_projections_on_merge = 1
COMMENT 'What was measured: one row an asset and instant, as decoded from the record.';

CREATE TABLE andon.replay_scores
(
    `run` LowCardinality(String) COMMENT 'Replay that gave the score, as in replays.run.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the window is of.',
    `asset` LowCardinality(String) COMMENT 'Asset that the window is of.',
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the first slot of the window begins.' CODEC(DoubleDelta, LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the last slot of the window ends.' CODEC(DoubleDelta, LZ4),
    `value` Float32 COMMENT 'What the model says, in its unit, as in scores.',
    `risk` Float32 COMMENT 'From 0, nothing to see, to 1, pull the cord.',
    `version` LowCardinality(String) COMMENT 'Version of the model, as in models.version.',
    `scored_at` DateTime64(6, 'UTC') COMMENT 'When the verdict was given, by the clock of the machine that scored.' CODEC(Delta(8), LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record that completed the window.',
    `_partition` Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4)
)
ENGINE = MergeTree
PARTITION BY run
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'What replays said of windows of the past. A replay that is of no use any more: ALTER TABLE replay_scores DROP PARTITION \'its run\'.';

CREATE TABLE andon.replays
(
    `time` DateTime64(6, 'UTC') COMMENT 'When it came to this state.',
    `run` String COMMENT 'Name of the replay, one of its pipeline.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline whose past was scored anew.',
    `state` LowCardinality(String) COMMENT 'started, resumed, stopped (by a signal), failed or finished.',
    `version` String COMMENT 'Version of the model that scores, as in models.version.',
    `asked_from` String COMMENT 'Where it was asked to begin, as it was written; empty for the begin of the log.',
    `asked_to` String COMMENT 'Where it was asked to end, as it was written; empty for the end of the log.',
    `from_time` DateTime64(6, 'UTC') COMMENT 'Windows that end at or after this event time are scored.',
    `to_time` DateTime64(6, 'UTC') COMMENT 'Windows that end before this event time are scored.',
    `topic` LowCardinality(String) COMMENT 'Kafka topic that is read.',
    `from_offsets` Map(Int32, Int64) COMMENT 'By partition, the first offset whose windows are scored; what is before it is only folded into the state.',
    `to_offsets` Map(Int32, Int64) COMMENT 'By partition, the offset before which it ends. Partitions that are not named are not read.',
    `settings` String COMMENT 'Digest of the settings that windows are made by: a replay goes on only under the same.',
    `rows` UInt64 COMMENT 'Rows read by the process that tells, those that are only folded included.',
    `scores` UInt64 COMMENT 'Scores stored by that process.',
    `refused` UInt64 COMMENT 'Scores that ClickHouse refused to store.',
    `elapsed_ns` Int64 COMMENT 'Since that process began, in nanoseconds.',
    `who` String COMMENT 'User and machine that started it.',
    `detail` String COMMENT 'For people: why it failed or where it stopped.'
)
ENGINE = MergeTree
ORDER BY (pipeline, run, time)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'What happened to each replay (andon replay --pipeline), state by state. Its first row says what it is.';

CREATE TABLE andon.scores
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that scored the window.',
    `asset` LowCardinality(String) COMMENT 'Asset that the window is of.',
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the first slot of the window begins.' CODEC(DoubleDelta, LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the last slot of the window ends.' CODEC(DoubleDelta, LZ4),
    `value` Float32 COMMENT 'What the model says, in its unit: remaining life in grid steps, or a forecast error in standard deviations. See models.unit.',
    `risk` Float32 COMMENT 'From 0, nothing to see, to 1, pull the cord. Assets are ranked by it.',
    `version` LowCardinality(String) COMMENT 'Version of the model, as in models.version.',
    `latency_ns` Int64 COMMENT 'From the arrival of the record that completed the window to the verdict, in nanoseconds.' CODEC(LZ4),
    `scored_at` DateTime64(6, 'UTC') COMMENT 'When the verdict was given, by the clock of the machine that scored.' CODEC(Delta(8), LZ4),
    `batch` UInt32 COMMENT 'Number of windows in the run of the model that gave the score; 0 where it was not kept yet.' CODEC(LZ4),
    `queue_ns` Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    `compute_ns` Int64 COMMENT 'Time of that run, all its windows together, in nanoseconds.' CODEC(LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record that completed the window.',
    `_partition` Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    PROJECTION latest
    (
        SELECT
            pipeline,
            asset,
            max(end),
            argMax((start, value, risk, version, latency_ns, scored_at, _topic, _partition, _offset), (end, _offset))
        GROUP BY
            pipeline,
            asset
    ),
    PROJECTION by_minute
    (
        SELECT
            pipeline,
            version,
            toStartOfMinute(scored_at),
            count(),
            min(scored_at),
            max(scored_at),
            max(latency_ns)
        GROUP BY
            pipeline,
            version,
            toStartOfMinute(scored_at)
    )
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192, materialize_projections_on_insert = 0, materialize_projections_on_merge = 1
COMMENT 'What a model said of each window.';

CREATE TABLE andon.shadow_frames
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that took the frame.',
    `camera` LowCardinality(String) COMMENT 'Camera that it is of.',
    `captured` DateTime64(6, 'UTC') COMMENT 'Event time: when it was taken.' CODEC(DoubleDelta, LZ4),
    `version` LowCardinality(String) COMMENT 'Version of the shadow. The version whose word counts is in frames.',
    `label` LowCardinality(String) COMMENT 'Most probable class, of a classification; empty where none is.',
    `risk` Float32 COMMENT 'From 0, nothing to see, to 1. Nobody acts on it.',
    `boxes.label` Array(String) COMMENT 'What it found, as in frames; it follows nothing.',
    `boxes.score` Array(Float32) COMMENT 'What it found, as in frames; it follows nothing.',
    `boxes.x0` Array(Float32) COMMENT 'What it found, as in frames; it follows nothing.',
    `boxes.y0` Array(Float32) COMMENT 'What it found, as in frames; it follows nothing.',
    `boxes.x1` Array(Float32) COMMENT 'What it found, as in frames; it follows nothing.',
    `boxes.y1` Array(Float32) COMMENT 'What it found, as in frames; it follows nothing.',
    `boxes.track` Array(Int64) COMMENT 'What it found, as in frames; it follows nothing.',
    `scored_at` DateTime64(6, 'UTC') COMMENT 'When the verdict was taken in.' CODEC(Delta(8), LZ4),
    `batch` UInt32 COMMENT 'Number of pictures in the run of the model.' CODEC(LZ4),
    `queue_ns` Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    `compute_ns` Int64 COMMENT 'Time of that run, all its pictures together, in nanoseconds.' CODEC(LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record.',
    `_partition` Int32 COMMENT 'Kafka partition of the record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of the record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, camera, captured)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'What a shadow said of a frame, once or, where there was no time for it, not at all.';

CREATE TABLE andon.shadow_scores
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the window is of.',
    `asset` LowCardinality(String) COMMENT 'Asset that the window is of.',
    `start` DateTime64(6, 'UTC') COMMENT 'Event time at which the first slot of the window begins.' CODEC(DoubleDelta, LZ4),
    `end` DateTime64(6, 'UTC') COMMENT 'Event time at which the last slot of the window ends.' CODEC(DoubleDelta, LZ4),
    `value` Float32 COMMENT 'What the model says, in its unit, as in scores.',
    `risk` Float32 COMMENT 'From 0, nothing to see, to 1, pull the cord. Nobody acts on it.',
    `version` LowCardinality(String) COMMENT 'Version of the shadow; beside a canary the champion is one. The version whose score counts is in scores.',
    `latency_ns` Int64 COMMENT 'From the arrival of the record that completed the window to when the verdict was taken in, in nanoseconds.' CODEC(LZ4),
    `scored_at` DateTime64(6, 'UTC') COMMENT 'When the verdict was taken in, by the clock of the machine that scored.' CODEC(Delta(8), LZ4),
    `batch` UInt32 COMMENT 'Number of windows in the run of the model that gave the score.' CODEC(LZ4),
    `queue_ns` Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4),
    `compute_ns` Int64 COMMENT 'Time of that run, all its windows together, in nanoseconds.' CODEC(LZ4),
    `_topic` LowCardinality(String) COMMENT 'Kafka topic of the record that completed the window.',
    `_partition` Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    `_offset` Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta(8), LZ4),
    `_stored` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta(8), LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192
COMMENT 'What a shadow said of a window, once or, where there was no time for it, not at all.';

CREATE TABLE andon.trainings
(
    `run` String COMMENT 'The training run.',
    `pipeline` LowCardinality(String) COMMENT 'Pipeline that the model is for.',
    `state` LowCardinality(String) COMMENT 'waiting (for a worker), started, epoch, finished (a model was made) or failed.',
    `epoch` UInt32 COMMENT 'Epoch that ended, counted from 1.',
    `epochs` UInt32 COMMENT 'Epochs that are planned.',
    `loss` Float64 COMMENT 'Mean loss of the epoch on the training windows, in the unit of the scaled target; nan before the first epoch ends.',
    `val_loss` Float64 COMMENT 'The same on the windows that were held back.',
    `rows_per_second` Float64 COMMENT 'Training windows taken per second.',
    `rows` UInt64 COMMENT 'Number of training windows.',
    `elapsed_ns` Int64 COMMENT 'Since the start of the run, in nanoseconds.',
    `time` DateTime64(6, 'UTC') COMMENT 'Wall clock of the step.',
    `version` LowCardinality(String) COMMENT 'Model that came of it, once there is one.',
    `detail` String COMMENT 'For people: why it started, was refused or failed.',
    `worker` LowCardinality(String) COMMENT 'Worker that trains; empty for the appliance itself.',
    `cpu_seconds` Float64 COMMENT 'What the process that trains has spent since the run began, all else that it did included.',
    `gpu_seconds` Float64 DEFAULT nan COMMENT 'How long kernels ran on its machine\'s NVIDIA devices meanwhile; nan where nothing measures.',
    `joules` Float64 DEFAULT nan COMMENT 'What its machine drew meanwhile, by the meters that energy names; nan where nothing measures.',
    `energy` LowCardinality(String) COMMENT 'What joules was measured on: processors (RAPL), NVIDIA devices, or both.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time, run)
SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192
COMMENT 'The life of each training run, step by step.';

CREATE TABLE andon.truth_marks
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline.',
    `asset` String COMMENT 'Asset; empty for how far the labels of all pipelines were read.',
    `looked` DateTime64(6, 'UTC') COMMENT 'Predictions up to this end were held against the labels.',
    `matured` DateTime64(6, 'UTC') COMMENT 'Predictions up to this end are settled, or only a label could settle them.',
    `time` DateTime64(6, 'UTC') COMMENT 'When that was so.'
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (pipeline, asset)
SETTINGS index_granularity = 8192
COMMENT 'How far the truth of each asset is settled: the watermark of maturity.';

CREATE TABLE andon.truth_places
(
    `pipeline` LowCardinality(String) COMMENT 'Pipeline.',
    `fed` DateTime64(6, 'UTC') COMMENT 'Outcomes that were settled up to then were told; the row that came furthest counts.',
    `time` DateTime64(6, 'UTC') COMMENT 'When that was so.',
    `state` String COMMENT 'What the watch of the realised error knows of them, for andon alone.'
)
ENGINE = ReplacingMergeTree(fed)
ORDER BY pipeline
SETTINGS index_granularity = 8192
COMMENT 'Up to where outcomes were told to what watches the realised error.';

CREATE VIEW andon.accuracy
(
    `pipeline` LowCardinality(String),
    `version` LowCardinality(String),
    `day` DateTime('UTC'),
    `outcomes` UInt64,
    `valued` UInt64,
    `positives` UInt64,
    `shadows` UInt64,
    `loss` Float64,
    `brier` Float64,
    `rmse` Float64,
    `mae` Float64,
    `accuracy` Float64,
    `precision` Float64,
    `recall` Float64,
    `f1` Float64,
    `auc` Float64
)
COMMENT 'Realised accuracy by version and the day of event time that was spoken of, of the newest 30 days of each pipeline; accuracy_days has all. auc is of at most 10,000 outcomes drawn from the day.'
AS WITH
    (
        SELECT mapFromArrays(groupArray(toString(pipeline)), groupArray(newest))
        FROM
        (
            SELECT
                pipeline,
                max(end) AS newest
            FROM andon.outcomes
            GROUP BY pipeline
        )
    ) AS newest
SELECT *
FROM andon.accuracy_days
WHERE (day >= (toStartOfDay(arrayMin(mapValues(newest))) - toIntervalDay(29))) AND (day >= (toStartOfDay(newest[toString(pipeline)]) - toIntervalDay(29)));

CREATE VIEW andon.accuracy_days
(
    `pipeline` LowCardinality(String),
    `version` LowCardinality(String),
    `day` DateTime('UTC'),
    `outcomes` UInt64,
    `valued` UInt64,
    `positives` UInt64,
    `shadows` UInt64,
    `loss` Float64,
    `brier` Float64,
    `rmse` Float64,
    `mae` Float64,
    `accuracy` Float64,
    `precision` Float64,
    `recall` Float64,
    `f1` Float64,
    `auc` Float64
)
COMMENT 'Realised accuracy of all time by version and the day of event time that was spoken of. Name the pipeline and a least day: the key finds them. auc is of at most 10,000 outcomes drawn from the day.'
AS SELECT
    pipeline,
    version,
    day,
    outcomes,
    valued,
    positives,
    shadows,
    loss,
    brier,
    rmse,
    mae,
    right / outcomes AS accuracy,
    if(said = 0, nan, hits / said) AS precision,
    if(positives = 0, nan, hits / positives) AS recall,
    if((said + positives) = 0, nan, (2 * hits) / (said + positives)) AS f1,
    if((positives = 0) OR (positives = outcomes), nan, arrayROCAUC(arrayMap(x -> (x.1), sample), arrayMap(x -> (x.2), sample))) AS auc
FROM
(
    SELECT
        pipeline,
        version,
        toStartOfDay(end) AS day,
        count() AS outcomes,
        countIf(NOT isNaN(o.loss)) AS valued,
        countIf(happened = 1) AS positives,
        countIf(role = 'shadow') AS shadows,
        avgIf(o.loss, NOT isNaN(o.loss)) AS loss,
        avg(o.risk_loss) AS brier,
        sqrt(avgIf(pow(o.loss * cap, 2), (cap > 0) AND (NOT isNaN(o.loss)))) AS rmse,
        avgIf(o.loss * cap, (cap > 0) AND (NOT isNaN(o.loss))) AS mae,
        countIf(if(class = '', (risk >= 0.5) = (happened = 1), o.truth = 1)) AS right,
        countIf(if(class = '', risk >= 0.5, (class NOT IN ('clear', 'normal')))) AS said,
        countIf((happened = 1) AND if(class = '', risk >= 0.5, (class NOT IN ('clear', 'normal')))) AS hits,
        groupArraySample(10000)((risk, happened)) AS sample
    FROM andon.outcomes AS o
    FINAL
    GROUP BY
        pipeline,
        version,
        day
);

CREATE VIEW andon.alarms_now
(
    `id` String,
    `pipeline` LowCardinality(String),
    `kind` LowCardinality(String),
    `version` LowCardinality(String),
    `began` DateTime64(6, 'UTC'),
    `last` DateTime64(6, 'UTC'),
    `ended` Bool,
    `last_detail` String,
    `last_loss` Float64,
    `last_before` Float64
)
COMMENT 'Each alarm in one row, with its last word.'
AS SELECT
    id,
    pipeline,
    kind,
    version,
    any(since) AS began,
    max(at) AS last,
    max(over) AS ended,
    argMax(detail, at) AS last_detail,
    argMax(loss, at) AS last_loss,
    argMax(before, at) AS last_before
FROM andon.alarms
GROUP BY
    id,
    pipeline,
    kind,
    version;

CREATE VIEW andon.campaigns
(
    `pipeline` LowCardinality(String),
    `campaign` String,
    `began` DateTime64(6, 'UTC'),
    `last` DateTime64(6, 'UTC'),
    `stage` String,
    `verdict` String,
    `reason` String,
    `champion` String,
    `challenger` String,
    `why` String,
    `decisions` UInt64,
    `over` UInt8
)
COMMENT 'The way of each challenger: why it began, where it is or how it ended.'
AS SELECT
    pipeline,
    campaign,
    began,
    at AS last,
    latest.1 AS stage,
    latest.2 AS verdict,
    latest.3 AS reason,
    latest.4 AS champion,
    latest.5 AS challenger,
    why,
    n AS decisions,
    ((latest.2) IN ('no', 'failed')) OR (((latest.2) = 'go') AND ((latest.1) IN ('watch', 'rollback'))) AS over
FROM
(
    SELECT
        pipeline,
        campaign,
        min(time) AS began,
        max(time) AS at,
        argMax((stage, verdict, reason, champion, challenger), time) AS latest,
        argMin(reason, time) AS why,
        count() AS n
    FROM andon.decisions
    WHERE campaign != ''
    GROUP BY
        pipeline,
        campaign
);

CREATE VIEW andon.deadletters_by_reason
(
    `pipeline` LowCardinality(String),
    `reason` LowCardinality(String),
    `records` UInt64,
    `first_stored` DateTime64(3, 'UTC'),
    `last_stored` DateTime64(3, 'UTC'),
    `last_detail` String,
    `last_record` Tuple(
        String,
        Int32,
        Int64)
)
COMMENT 'How many records could not be used, why, and the last example.'
AS SELECT
    pipeline,
    reason,
    count() AS records,
    min(_stored) AS first_stored,
    max(_stored) AS last_stored,
    argMax(detail, _stored) AS last_detail,
    argMax((_topic, _partition, _offset), _stored) AS last_record
FROM andon.deadletters
GROUP BY
    pipeline,
    reason;

CREATE VIEW andon.features_long
(
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `start` DateTime64(6, 'UTC'),
    `end` DateTime64(6, 'UTC'),
    `name` String,
    `signal` String,
    `function` String,
    `value` Float64,
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'One row a value of a window: asset, end, signal, function, value.'
AS SELECT
    pipeline,
    asset,
    start,
    end,
    name,
    arrayStringConcat(arrayPopBack(splitByChar('_', name)), '_') AS signal,
    arrayElement(splitByChar('_', name), -1) AS function,
    value,
    _topic,
    _partition,
    _offset
FROM andon.features
ARRAY JOIN
    splitByChar(',', names) AS name,
    `values` AS value
WHERE NOT isNaN(value);

CREATE VIEW andon.features_map
(
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `start` DateTime64(6, 'UTC'),
    `end` DateTime64(6, 'UTC'),
    `values` Map(String, Float64),
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'One row a window, with the values by name: values[\'s_2_mean\'].'
AS SELECT
    pipeline,
    asset,
    start,
    end,
    mapFromArrays(splitByChar(',', names), `values`) AS `values`,
    _topic,
    _partition,
    _offset
FROM andon.features;

CREATE VIEW andon.frame_boxes
(
    `pipeline` LowCardinality(String),
    `camera` LowCardinality(String),
    `captured` DateTime64(6, 'UTC'),
    `version` LowCardinality(String),
    `label` String,
    `score` Float32,
    `x0` Float32,
    `y0` Float32,
    `x1` Float32,
    `y1` Float32,
    `track` Int64,
    `evidence` String,
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'One row a box that was found in a frame.'
AS SELECT
    pipeline,
    camera,
    captured,
    version,
    box.1 AS label,
    box.2 AS score,
    box.3 AS x0,
    box.4 AS y0,
    box.5 AS x1,
    box.6 AS y1,
    box.7 AS track,
    evidence,
    _topic,
    _partition,
    _offset
FROM andon.frames
ARRAY JOIN arrayZip(boxes.label, boxes.score, boxes.x0, boxes.y0, boxes.x1, boxes.y1, boxes.track) AS box;

CREATE VIEW andon.frames_fired
(
    `pipeline` LowCardinality(String),
    `camera` LowCardinality(String),
    `captured` DateTime64(6, 'UTC'),
    `rule` String,
    `label` LowCardinality(String),
    `risk` Float32,
    `zones` Array(String),
    `evidence` String,
    `age_ms` Float64,
    `version` LowCardinality(String),
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'One row for each time that a rule fired: at which frame, what is kept of it, and how long after the capture.'
AS SELECT
    pipeline,
    camera,
    captured,
    rule,
    label,
    risk,
    zones,
    evidence,
    age_ns / 1000000. AS age_ms,
    version,
    _topic,
    _partition,
    _offset
FROM andon.frames
ARRAY JOIN fired AS rule;

CREATE VIEW andon.frames_per_minute
(
    `pipeline` LowCardinality(String),
    `camera` LowCardinality(String),
    `minute` DateTime('UTC'),
    `frames` UInt64,
    `scored` UInt64,
    `dropped` UInt64,
    `busy` UInt64,
    `late` UInt64,
    `no_model` UInt64,
    `broken` UInt64,
    `lost` UInt64,
    `fired` UInt64,
    `age_p50_ms` Float64,
    `age_p99_ms` Float64,
    `latency_p50_ms` Float64,
    `latency_p99_ms` Float64
)
COMMENT 'Each camera, minute by minute of wall-clock time: frames that came, were scored, were dropped and why; age is from the capture to the verdict, latency from the arrival.'
AS SELECT
    pipeline,
    camera,
    toStartOfMinute(scored_at) AS minute,
    count() AS frames,
    countIf(status = 'scored') AS scored,
    countIf(status != 'scored') AS dropped,
    countIf(status = 'busy') AS busy,
    countIf(status = 'late') AS late,
    countIf(status = 'no-model') AS no_model,
    countIf(status = 'broken') AS broken,
    countIf(status = 'lost') AS lost,
    countIf(notEmpty(fired)) AS fired,
    quantileIf(0.5)(age_ns, status = 'scored') / 1000000. AS age_p50_ms,
    quantileIf(0.99)(age_ns, status = 'scored') / 1000000. AS age_p99_ms,
    quantileIf(0.5)(latency_ns, status = 'scored') / 1000000. AS latency_p50_ms,
    quantileIf(0.99)(latency_ns, status = 'scored') / 1000000. AS latency_p99_ms
FROM andon.frames
GROUP BY
    pipeline,
    camera,
    minute;

CREATE VIEW andon.golden
(
    `pipeline` LowCardinality(String),
    `asset` String,
    `time` DateTime64(6, 'UTC'),
    `until` DateTime64(6, 'UTC'),
    `label` String,
    `value` Float64,
    `box` Array(Float64),
    `weight` Float64,
    `who` String,
    `note` String,
    `told` DateTime64(6, 'UTC'),
    `_topic` String,
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'The examples that every model to come is examined on.'
AS SELECT
    pipeline,
    asset,
    time,
    until,
    label,
    value,
    box,
    weight,
    who,
    note,
    told,
    _topic,
    _partition,
    _offset
FROM andon.truth_labels
WHERE golden;

CREATE VIEW andon.label_conflicts
(
    `pipeline` LowCardinality(String),
    `asset` String,
    `time` DateTime64(6, 'UTC'),
    `box` Array(Float64),
    `said` Array(Tuple(
        String,
        String,
        DateTime64(6, 'UTC'),
        String)),
    `last_told` DateTime64(6, 'UTC')
)
COMMENT 'Where two sources say the contrary of one asset and time: neither counts until one is withdrawn (andon label --withdraw).'
AS SELECT
    pipeline,
    asset,
    time,
    box,
    groupArray((label, who, told, note)) AS said,
    max(told) AS last_told
FROM andon.label_opinions
WHERE conflict
GROUP BY
    pipeline,
    asset,
    time,
    box;

CREATE VIEW andon.label_coverage
(
    `pipeline` LowCardinality(String),
    `version` LowCardinality(String),
    `day` DateTime('UTC'),
    `predictions` UInt64,
    `settled` UInt64,
    `labelled` UInt64,
    `coverage` Float64
)
COMMENT 'How many of the predictions that counted are settled, and by a label, by version and the day of event time that was spoken of, of the newest 30 days of each pipeline; label_coverage_days has all.'
AS WITH
    (
        SELECT mapFromArrays(groupArray(of), groupArray(newest))
        FROM
        (
            SELECT
                of,
                max(newest) AS newest
            FROM
            (
                SELECT
                    toString(pipeline) AS of,
                    last AS newest
                FROM
                (
                    SELECT
                        pipeline,
                        asset,
                        max(end) AS last
                    FROM andon.scores
                    GROUP BY
                        pipeline,
                        asset
                )
                UNION ALL
                SELECT
                    toString(pipeline) AS of,
                    max(captured) AS newest
                FROM andon.frames
                WHERE status = 'scored'
                GROUP BY of
            )
            GROUP BY of
        )
    ) AS newest
SELECT *
FROM andon.label_coverage_days
WHERE (day >= (toStartOfDay(arrayMin(mapValues(newest))) - toIntervalDay(29))) AND (day >= (toStartOfDay(newest[toString(pipeline)]) - toIntervalDay(29)));

CREATE VIEW andon.label_coverage_days
(
    `pipeline` LowCardinality(String),
    `version` LowCardinality(String),
    `day` DateTime('UTC'),
    `predictions` UInt64,
    `settled` UInt64,
    `labelled` UInt64,
    `coverage` Float64
)
COMMENT 'How many of all predictions that counted are settled, and by a label, by version and the day of event time that was spoken of. Name the pipeline and a least day: the key finds them.'
AS SELECT
    pipeline,
    version,
    day,
    sum(said) AS predictions,
    sum(settled) AS settled,
    sum(labelled) AS labelled,
    settled / predictions AS coverage
FROM
(
    SELECT
        pipeline,
        version,
        toStartOfDay(end) AS day,
        1 AS said,
        0 AS settled,
        0 AS labelled
    FROM andon.scores
    UNION ALL
    SELECT
        pipeline,
        version,
        toStartOfDay(captured) AS day,
        1 AS said,
        0 AS settled,
        0 AS labelled
    FROM andon.frames
    WHERE status = 'scored'
    UNION ALL
    SELECT
        pipeline,
        version,
        toStartOfDay(end) AS day,
        0 AS said,
        1 AS settled,
        by = 'label' AS labelled
    FROM andon.outcomes
    FINAL
    WHERE role = 'score'
)
GROUP BY
    pipeline,
    version,
    day;

CREATE VIEW andon.label_lag
(
    `pipeline` LowCardinality(String),
    `label` String,
    `labels` UInt64,
    `p50_seconds` Float64,
    `p95_seconds` Float64,
    `last_told` DateTime64(6, 'UTC')
)
COMMENT 'How long after it happened, by event time, a label is told.'
AS SELECT
    pipeline,
    label,
    count() AS labels,
    quantile(0.5)(dateDiff('millisecond', greatest(time, until), told)) / 1000 AS p50_seconds,
    quantile(0.95)(dateDiff('millisecond', greatest(time, until), told)) / 1000 AS p95_seconds,
    max(told) AS last_told
FROM andon.truth_labels
GROUP BY
    pipeline,
    label;

CREATE VIEW andon.label_opinions
(
    `pipeline` LowCardinality(String),
    `asset` String,
    `time` DateTime64(6, 'UTC'),
    `box` Array(Float64),
    `label` String,
    `who` String,
    `told` DateTime64(6, 'UTC'),
    `until` DateTime64(6, 'UTC'),
    `value` Float64,
    `weight` Float64,
    `golden` Bool,
    `note` String,
    `_topic` String,
    `_partition` Int32,
    `_offset` Int64,
    `_stored` DateTime64(3, 'UTC'),
    `conflict` UInt8
)
COMMENT 'What is told of each asset, time and box: corrected, not withdrawn, each once. conflict tells that somebody else says the contrary. A label of a score has the last microsecond of its window.'
AS SELECT
    pipeline,
    asset,
    time,
    box,
    opinion.1 AS label,
    opinion.2 AS who,
    opinion.3 AS told,
    (opinion.5).1 AS until,
    (opinion.5).2 AS value,
    (opinion.5).3 AS weight,
    (opinion.5).4 AS golden,
    (opinion.5).5 AS note,
    (opinion.5).6 AS _topic,
    (opinion.5).7 AS _partition,
    (opinion.5).8 AS _offset,
    (opinion.5).9 AS _stored,
    arrayExists(other -> (((other.2) != (opinion.2)) AND ((((other.4) = '-') != ((opinion.4) = '-')) OR (((other.4) != (opinion.4)) AND ((other.4) NOT IN ('-', '+')) AND ((opinion.4) NOT IN ('-', '+'))))), opinions) AS conflict
FROM
(
    SELECT
        pipeline,
        asset,
        time,
        box,
        arrayFilter(a -> (NOT arrayExists(b -> (((b.2) = (a.2)) AND ((b.3, (b.5).6, (b.5).7, (b.5).8) > (a.3, (a.5).6, (a.5).7, (a.5).8)) AND ((((b.4) = '-') != ((a.4) = '-')) OR (((b.4) != (a.4)) AND ((b.4) NOT IN ('-', '+')) AND ((a.4) NOT IN ('-', '+'))))), told_all)), told_all) AS opinions
    FROM
    (
        SELECT
            pipeline,
            asset,
            time,
            box,
            groupArray((label, who, told, multiIf((label IN ('normal', 'clear')), '-', (label IN ('failure', 'missed', 'anomaly')), '+', label), rest)) AS told_all
        FROM
        (
            SELECT
                pipeline,
                asset,
                time,
                box,
                label,
                last.1 AS who,
                last.2 AS told,
                last.4 AS rest
            FROM
            (
                SELECT
                    pipeline,
                    asset,
                    time,
                    box,
                    label,
                    argMax((who, told, withdrawn, (until, value, weight, golden, note, _topic, _partition, _offset, _stored)), (told, _topic, _partition, _offset)) AS last
                FROM andon.label_places
                GROUP BY
                    pipeline,
                    asset,
                    time,
                    box,
                    label
            )
            WHERE NOT (last.3)
        )
        GROUP BY
            pipeline,
            asset,
            time,
            box
    )
)
ARRAY JOIN opinions AS opinion;

CREATE VIEW andon.label_places
(
    `pipeline` LowCardinality(String),
    `asset` String,
    `time` DateTime64(6, 'UTC'),
    `box` Array(Float64),
    `label` LowCardinality(String),
    `who` LowCardinality(String),
    `told` DateTime64(6, 'UTC'),
    `withdrawn` Bool,
    `until` DateTime64(6, 'UTC'),
    `value` Float64,
    `weight` Float64,
    `golden` Bool,
    `note` String,
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64,
    `_stored` DateTime64(3, 'UTC')
)
COMMENT 'All labels that were ever told, at the asset and time that they speak of.'
AS SELECT
    pipeline,
    asset,
    time,
    if(empty(box), [0., 0., 0., 0.], box) AS box,
    toString(label) AS label,
    toString(who) AS who,
    told,
    withdrawn,
    until,
    value,
    if(weight = 0, 1, weight) AS weight,
    golden,
    note,
    toString(_topic) AS _topic,
    _partition,
    _offset,
    _stored
FROM andon.labels
WHERE NOT ((of != '') AND (asset = ''))
UNION ALL
SELECT
    l.pipeline AS pipeline,
    s.asset AS asset,
    s.at AS time,
    [0., 0., 0., 0.] AS box,
    toString(l.label) AS label,
    toString(l.who) AS who,
    l.told AS told,
    l.withdrawn AS withdrawn,
    l.until AS until,
    l.value AS value,
    if(l.weight = 0, 1, l.weight) AS weight,
    l.golden AS golden,
    l.note AS note,
    toString(l._topic) AS _topic,
    l._partition AS _partition,
    l._offset AS _offset,
    l._stored AS _stored
FROM andon.labels AS l
INNER JOIN
(
    SELECT
        pipeline,
        concat(_topic, '/', toString(_partition), '@', toString(_offset)) AS record,
        any(asset) AS asset,
        max(end) - toIntervalMicrosecond(1) AS at
    FROM andon.scores
    WHERE _offset IN (
        SELECT toInt64OrZero(splitByChar('@', of)[-1])
        FROM andon.labels
        WHERE (of != '') AND (asset = '')
    )
    GROUP BY
        pipeline,
        record
    UNION ALL
    SELECT
        pipeline,
        concat(_topic, '/', toString(_partition), '@', toString(_offset)) AS record,
        any(camera) AS asset,
        max(captured) AS at
    FROM andon.frames
    WHERE _offset IN (
        SELECT toInt64OrZero(splitByChar('@', of)[-1])
        FROM andon.labels
        WHERE (of != '') AND (asset = '')
    )
    GROUP BY
        pipeline,
        record
) AS s ON (s.pipeline = l.pipeline) AND (s.record = l.of)
WHERE (l.of != '') AND (l.asset = '');

CREATE VIEW andon.lag
(
    `pipeline` LowCardinality(String),
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `rows` UInt64,
    `last_offset` Int64,
    `newest` DateTime64(6, 'UTC'),
    `stored` DateTime64(3, 'UTC'),
    `idle_seconds` Int64,
    `event_lag_seconds` Int64
)
COMMENT 'How far each partition has come: last offset stored, how long ago, and how far its event time is behind the clock.'
AS SELECT
    pipeline,
    _topic,
    _partition,
    rows,
    last_offset,
    newest,
    stored,
    dateDiff('second', stored, now64(3)) AS idle_seconds,
    dateDiff('second', newest, toDateTime64(stored, 6, 'UTC')) AS event_lag_seconds
FROM
(
    SELECT
        pipeline,
        _topic,
        _partition,
        sum(n) AS rows,
        max(offset) AS last_offset,
        max(event_time) AS newest,
        max(stored_at) AS stored
    FROM
    (
        SELECT
            pipeline,
            _topic,
            _partition,
            (ok + duplicate) + filtered AS n,
            next - 1 AS offset,
            newest AS event_time,
            _stored AS stored_at
        FROM andon.handled
        UNION ALL
        SELECT
            pipeline,
            _topic,
            _partition,
            n,
            offset,
            event_time,
            stored_at
        FROM
        (
            SELECT
                pipeline,
                _topic,
                _partition,
                status,
                toStartOfMinute(_stored) AS minute,
                count() AS n,
                max(_offset) AS offset,
                max(time) AS event_time,
                max(_stored) AS stored_at
            FROM andon.readings
            GROUP BY
                pipeline,
                _topic,
                _partition,
                status,
                toStartOfMinute(_stored)
        )
    )
    GROUP BY
        pipeline,
        _topic,
        _partition
);

CREATE VIEW andon.latest_scores
(
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `end` DateTime64(6, 'UTC'),
    `start` DateTime64(6, 'UTC'),
    `value` Float32,
    `risk` Float32,
    `version` String,
    `latency_ms` Float64,
    `scored_at` DateTime64(6, 'UTC'),
    `_topic` String,
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'The newest score of each asset.'
AS SELECT
    pipeline,
    asset,
    last_end AS end,
    last.1 AS start,
    last.2 AS value,
    last.3 AS risk,
    last.4 AS version,
    (last.5) / 1000000. AS latency_ms,
    last.6 AS scored_at,
    last.7 AS _topic,
    last.8 AS _partition,
    last.9 AS _offset
FROM
(
    SELECT
        pipeline,
        asset,
        max(end) AS last_end,
        argMax((start, value, risk, version, latency_ns, scored_at, _topic, _partition, _offset), (end, _offset)) AS last
    FROM andon.scores
    GROUP BY
        pipeline,
        asset
);

CREATE VIEW andon.models_in_use
(
    `pipeline` LowCardinality(String),
    `version` String,
    `scores` UInt64,
    `first_scored` DateTime64(6, 'UTC'),
    `last_scored` DateTime64(6, 'UTC'),
    `max_latency_ms` Float64,
    `task` String,
    `unit` String,
    `network` String,
    `registered` DateTime64(6, 'UTC')
)
COMMENT 'Which model versions gave the scores, when, and how many.'
AS SELECT
    pipeline,
    version,
    scores,
    first_scored,
    last_scored,
    max_latency_ms,
    task,
    unit,
    network,
    registered
FROM
(
    SELECT
        pipeline,
        version,
        sum(n) AS scores,
        min(first) AS first_scored,
        max(last) AS last_scored,
        max(slowest) / 1000000. AS max_latency_ms
    FROM
    (
        SELECT
            pipeline,
            version,
            toStartOfMinute(scored_at) AS minute,
            count() AS n,
            min(scored_at) AS first,
            max(scored_at) AS last,
            max(latency_ns) AS slowest
        FROM andon.scores
        GROUP BY
            pipeline,
            version,
            toStartOfMinute(scored_at)
    )
    GROUP BY
        pipeline,
        version
) AS s
LEFT JOIN
(
    SELECT
        pipeline,
        version,
        any(task) AS task,
        any(unit) AS unit,
        any(network) AS network,
        min(time) AS registered
    FROM andon.models
    GROUP BY
        pipeline,
        version
) AS m USING (pipeline, version);

CREATE VIEW andon.open_alerts
(
    `id` String,
    `pipeline` String,
    `kind` String,
    `severity` String,
    `title` String,
    `detail` String,
    `asset` String,
    `since` DateTime64(6, 'UTC'),
    `first` DateTime64(6, 'UTC'),
    `last_change` DateTime64(6, 'UTC'),
    `what` String,
    `who` String,
    `comment` String
)
COMMENT 'Alerts that are open, as they were stored last.'
AS SELECT
    id,
    pipeline,
    kind,
    severity,
    title,
    detail,
    asset,
    since,
    first,
    last_change,
    what,
    who,
    comment
FROM
(
    SELECT
        id,
        argMax(pipeline, time) AS pipeline,
        argMax(kind, time) AS kind,
        argMax(severity, time) AS severity,
        argMax(state, time) AS state,
        argMax(title, time) AS title,
        argMax(detail, time) AS detail,
        argMax(asset, time) AS asset,
        argMax(since, time) AS since,
        argMax(first, time) AS first,
        max(time) AS last_change,
        argMax(what, time) AS what,
        argMax(who, time) AS who,
        argMax(comment, time) AS comment
    FROM andon.alerts
    GROUP BY id
)
WHERE state = 'firing'
ORDER BY
    severity = 'critical' DESC,
    first DESC;

CREATE VIEW andon.readings_long
(
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `signal` String,
    `value` Float64,
    `status` Enum8('ok' = 1, 'duplicate' = 2),
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'One row a value: asset, time, signal, value.'
AS SELECT
    pipeline,
    asset,
    time,
    signal,
    value,
    status,
    _topic,
    _partition,
    _offset
FROM andon.readings
ARRAY JOIN
    splitByChar(',', signals) AS signal,
    `values` AS value
WHERE NOT isNaN(value);

CREATE VIEW andon.readings_map
(
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `values` Map(String, Float64),
    `status` Enum8('ok' = 1, 'duplicate' = 2),
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'One row an instant, with the values by name: values[\'s_2\'].'
AS SELECT
    pipeline,
    asset,
    time,
    mapFromArrays(splitByChar(',', signals), `values`) AS `values`,
    status,
    _topic,
    _partition,
    _offset
FROM andon.readings;

CREATE VIEW andon.replay_comparison
(
    `run` String,
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `end` DateTime64(6, 'UTC'),
    `old_value` Nullable(Float32),
    `old_risk` Nullable(Float32),
    `old_version` Nullable(String),
    `new_value` Nullable(Float32),
    `new_risk` Nullable(Float32),
    `new_version` Nullable(String),
    `value_change` Nullable(Float64),
    `risk_change` Nullable(Float64),
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64
)
COMMENT 'The windows of each replay\'s range: what the live line said (old) and what the replay says (new), NULL where one of them said nothing. Filter by run and pipeline.'
AS SELECT
    run,
    pipeline,
    asset,
    end,
    anyOrNullIf(score, NOT replayed) AS old_value,
    anyOrNullIf(danger, NOT replayed) AS old_risk,
    anyOrNullIf(model, NOT replayed) AS old_version,
    anyOrNullIf(score, replayed) AS new_value,
    anyOrNullIf(danger, replayed) AS new_risk,
    anyOrNullIf(model, replayed) AS new_version,
    new_value - old_value AS value_change,
    new_risk - old_risk AS risk_change,
    _topic,
    _partition,
    _offset
FROM
(
    SELECT
        r.run AS run,
        s.pipeline AS pipeline,
        s.asset AS asset,
        s.end AS end,
        s.value AS score,
        s.risk AS danger,
        toString(s.version) AS model,
        false AS replayed,
        s._topic AS _topic,
        s._partition AS _partition,
        s._offset AS _offset
    FROM andon.scores AS s
    INNER JOIN
    (
        SELECT
            run,
            pipeline,
            argMin(topic, time) AS topic,
            argMin(from_time, time) AS from_time,
            argMin(to_time, time) AS to_time,
            argMin(from_offsets, time) AS from_offsets,
            argMin(to_offsets, time) AS to_offsets
        FROM andon.replays
        GROUP BY
            run,
            pipeline
    ) AS r ON s.pipeline = r.pipeline
    WHERE (s.end >= r.from_time) AND (s.end < r.to_time) AND (s._topic = r.topic) AND (s._offset >= (r.from_offsets[s._partition])) AND (s._offset < (r.to_offsets[s._partition]))
    UNION ALL
    SELECT
        toString(run) AS run,
        pipeline,
        asset,
        end,
        value AS score,
        risk AS danger,
        toString(version) AS model,
        true AS replayed,
        _topic,
        _partition,
        _offset
    FROM andon.replay_scores
)
GROUP BY
    run,
    pipeline,
    asset,
    end,
    _topic,
    _partition,
    _offset;

CREATE VIEW andon.replay_runs
(
    `pipeline` LowCardinality(String),
    `run` String,
    `state` String,
    `version` String,
    `asked_from` String,
    `asked_to` String,
    `windows_from` DateTime64(6, 'UTC'),
    `windows_to` DateTime64(6, 'UTC'),
    `started` DateTime64(6, 'UTC'),
    `changed` DateTime64(6, 'UTC'),
    `rows` UInt64,
    `scores` UInt64,
    `who` String,
    `detail` String
)
COMMENT 'Each replay with its newest state. rows and scores are those that its processes told of; one that was killed told none.'
AS SELECT
    pipeline,
    run,
    argMax(r.state, (r.time, r.state = 'finished')) AS state,
    argMin(r.version, r.time) AS version,
    argMin(r.asked_from, r.time) AS asked_from,
    argMin(r.asked_to, r.time) AS asked_to,
    argMin(r.from_time, r.time) AS windows_from,
    argMin(r.to_time, r.time) AS windows_to,
    min(r.time) AS started,
    max(r.time) AS changed,
    sumIf(r.rows, (r.state IN ('stopped', 'failed', 'finished'))) AS rows,
    sumIf(r.scores, (r.state IN ('stopped', 'failed', 'finished'))) AS scores,
    argMin(r.who, r.time) AS who,
    argMax(r.detail, (r.time, r.state = 'finished')) AS detail
FROM andon.replays AS r
GROUP BY
    pipeline,
    run;

CREATE VIEW andon.replay_summary
(
    `run` String,
    `pipeline` LowCardinality(String),
    `old_versions` Array(String),
    `new_version` Nullable(String),
    `windows` UInt64,
    `both` UInt64,
    `only_old` UInt64,
    `only_new` UInt64,
    `mean_abs_value_change` Nullable(Float64),
    `max_abs_value_change` Nullable(Float64),
    `value_correlation` Nullable(Float32),
    `mean_abs_risk_change` Nullable(Float64),
    `risk_raised` UInt64,
    `risk_lowered` UInt64
)
COMMENT 'Each replay beside the live line in one row: how many windows both scored, how far they differ, and how many cross a risk of 0.5, upwards (raised) or down (lowered).'
AS SELECT
    run,
    pipeline,
    arraySort(groupUniqArray(old_version)) AS old_versions,
    any(new_version) AS new_version,
    count() AS windows,
    countIf((old_value IS NOT NULL) AND (new_value IS NOT NULL)) AS both,
    countIf(new_value IS NULL) AS only_old,
    countIf(old_value IS NULL) AS only_new,
    avg(abs(value_change)) AS mean_abs_value_change,
    max(abs(value_change)) AS max_abs_value_change,
    corr(old_value, new_value) AS value_correlation,
    avg(abs(risk_change)) AS mean_abs_risk_change,
    countIf((old_risk < 0.5) AND (new_risk >= 0.5)) AS risk_raised,
    countIf((old_risk >= 0.5) AND (new_risk < 0.5)) AS risk_lowered
FROM andon.replay_comparison
GROUP BY
    run,
    pipeline;

CREATE VIEW andon.replayed_deadletters
(
    `_topic` LowCardinality(String),
    `_partition` Int32,
    `_offset` Int64,
    `sent` UInt64,
    `in_doubt` UInt64,
    `last_to` Tuple(
        String,
        Int32,
        Int64),
    `last_who` String,
    `last_sent` DateTime64(6, 'UTC')
)
COMMENT 'How often each dead letter was sent again, where it went last, and how many replays ended without saying whether they had sent it.'
AS SELECT
    _topic,
    _partition,
    _offset,
    countIf(was = 'sent') AS sent,
    countIf(was = '') AS in_doubt,
    argMaxIf((to_topic, to_partition, to_offset), at, was = 'sent') AS last_to,
    argMaxIf(who, at, was = 'sent') AS last_who,
    maxIf(at, was = 'sent') AS last_sent
FROM
(
    SELECT
        _topic,
        _partition,
        _offset,
        run,
        maxIf(toString(state), state != 'sending') AS was,
        max(_stored) AS at,
        argMax(to_topic, _stored) AS to_topic,
        max(to_partition) AS to_partition,
        max(to_offset) AS to_offset,
        any(who) AS who
    FROM andon.deadletter_replays
    GROUP BY
        _topic,
        _partition,
        _offset,
        run
)
GROUP BY
    _topic,
    _partition,
    _offset;

CREATE VIEW andon.rows_per_minute
(
    `pipeline` LowCardinality(String),
    `minute` DateTime('UTC'),
    `rows` UInt64,
    `duplicates` UInt64,
    `filtered` UInt64
)
COMMENT 'Rows handled in each minute of wall-clock time.'
AS SELECT
    pipeline,
    minute,
    sum(n) AS rows,
    sum(twice) AS duplicates,
    sum(out) AS filtered
FROM
(
    SELECT
        pipeline,
        toStartOfMinute(_stored) AS minute,
        (ok + duplicate) + filtered AS n,
        duplicate AS twice,
        filtered AS out
    FROM andon.handled
    UNION ALL
    SELECT
        pipeline,
        minute,
        n,
        if(status = 'duplicate', n, 0),
        if(status = 'filtered', n, 0)
    FROM
    (
        SELECT
            pipeline,
            _topic,
            _partition,
            status,
            toStartOfMinute(_stored) AS minute,
            count() AS n
        FROM andon.readings
        GROUP BY
            pipeline,
            _topic,
            _partition,
            status,
            toStartOfMinute(_stored)
    )
)
GROUP BY
    pipeline,
    minute;

CREATE VIEW andon.score_history
(
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `risk` Float32,
    `value` Float32,
    `version` LowCardinality(String),
    `latency_ms` Float64,
    `scored_at` DateTime64(6, 'UTC')
)
COMMENT 'Every score of an asset over event time: filter by pipeline and asset, order by time.'
AS SELECT
    pipeline,
    asset,
    end AS time,
    risk,
    value,
    version,
    latency_ns / 1000000. AS latency_ms,
    scored_at
FROM andon.scores;

CREATE VIEW andon.score_latency
(
    `pipeline` LowCardinality(String),
    `minute` DateTime('UTC'),
    `scores` UInt64,
    `p50_ms` Float64,
    `p99_ms` Float64,
    `max_ms` Float64
)
COMMENT 'From the arrival of a record to its verdict, minute by minute of the last hour.'
AS SELECT
    pipeline,
    toStartOfMinute(scored_at) AS minute,
    count() AS scores,
    quantile(0.5)(latency_ns) / 1000000. AS p50_ms,
    quantile(0.99)(latency_ns) / 1000000. AS p99_ms,
    max(latency_ns) / 1000000. AS max_ms
FROM andon.scores
WHERE scored_at > (now64(6) - toIntervalHour(1))
GROUP BY
    pipeline,
    minute;

CREATE VIEW andon.shadows_beside
(
    `pipeline` LowCardinality(String),
    `version` LowCardinality(String),
    `shadow` LowCardinality(String),
    `windows` UInt64,
    `risk_difference` Float64,
    `risk_distance` Float64,
    `value_distance` Float64,
    `correlation` Float32
)
COMMENT 'Each shadow beside the model whose scores counted for the same windows: how far apart they are.'
AS SELECT
    pipeline,
    version,
    shadow,
    count() AS windows,
    avg(shadow_risk - risk) AS risk_difference,
    avg(abs(shadow_risk - risk)) AS risk_distance,
    avg(abs(shadow_value - value)) AS value_distance,
    corr(shadow_value, value) AS correlation
FROM
(
    SELECT
        s.pipeline AS pipeline,
        s.version AS version,
        h.version AS shadow,
        s.risk AS risk,
        h.risk AS shadow_risk,
        s.value AS value,
        h.value AS shadow_value
    FROM andon.shadow_scores AS h
    INNER JOIN andon.scores AS s ON (s.pipeline = h.pipeline) AND (s.asset = h.asset) AND (s.end = h.end) AND (s._topic = h._topic) AND (s._partition = h._partition) AND (s._offset = h._offset)
)
GROUP BY
    pipeline,
    version,
    shadow;

CREATE VIEW andon.top_assets
(
    `rank` UInt64,
    `pipeline` LowCardinality(String),
    `asset` LowCardinality(String),
    `risk` Float32,
    `value` Float32,
    `end` DateTime64(6, 'UTC'),
    `version` String
)
COMMENT 'Assets by their newest risk; rank 1 is the worst of its pipeline.'
AS SELECT
    row_number() OVER (PARTITION BY pipeline ORDER BY risk DESC, asset ASC) AS rank,
    pipeline,
    asset,
    risk,
    value,
    end,
    version
FROM andon.latest_scores;

CREATE VIEW andon.truth_labels
(
    `pipeline` LowCardinality(String),
    `asset` String,
    `time` DateTime64(6, 'UTC'),
    `until` DateTime64(6, 'UTC'),
    `label` String,
    `value` Float64,
    `box` Array(Float64),
    `weight` Float64,
    `golden` Bool,
    `who` String,
    `note` String,
    `told` DateTime64(6, 'UTC'),
    `_topic` String,
    `_partition` Int32,
    `_offset` Int64,
    `_stored` DateTime64(3, 'UTC')
)
COMMENT 'The labels that count: what is settled of each asset and time. Training and accuracy go by them.'
AS SELECT
    pipeline,
    asset,
    time,
    until,
    label,
    value,
    box,
    weight,
    golden,
    who,
    note,
    told,
    _topic,
    _partition,
    _offset,
    _stored
FROM andon.label_opinions
WHERE NOT conflict;
