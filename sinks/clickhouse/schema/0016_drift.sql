-- What the windows that a model scores look like beside what it was made from: what the line counts, what the panel says of it, what the model is expected to be worth, and what was raised.

CREATE TABLE IF NOT EXISTS drift
(
    pipeline LowCardinality(String) COMMENT 'Pipeline whose windows, or frames, they are.',
    version LowCardinality(String) COMMENT 'Model that scored them.',
    group LowCardinality(String) COMMENT 'Asset group; fleet are those of no group. The counts and sums of groups, pieces and partitions add up.',
    piece Int64 COMMENT 'Number of the piece in its partition.' CODEC(Delta, LZ4),
    feature LowCardinality(String) COMMENT 'Channel of the windows, prediction, risk, together (how badly the channels fit together as they used to) or loss (what the model is expected to lose).',
    role LowCardinality(String) COMMENT 'input, together, prediction or loss.',
    reference LowCardinality(String) COMMENT 'model: it came with the model; line: it is of the first windows that the model scored here.',
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the first of the windows ended.' CODEC(Delta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the last of the windows ended.' CODEC(Delta, LZ4),
    windows UInt32 COMMENT 'Number of windows.' CODEC(LZ4),
    assets UInt32 COMMENT 'Number of assets that they are of, at most 64 a partition.' CODEC(LZ4),
    counts Array(UInt32) COMMENT 'Windows in each bin of the reference; the last bin is of what lies beyond its greatest value.' CODEC(LZ4),
    expected Array(Float32) COMMENT 'What the reference leads to expect in each bin, of as many windows of the same strata.' CODEC(LZ4),
    missing UInt32 COMMENT 'Windows without a value.' CODEC(LZ4),
    sum Float64 COMMENT 'Sum of the values, in the unit of the feature.' CODEC(LZ4),
    expected_sum Float64 COMMENT 'What the reference leads to expect of that.' CODEC(LZ4),
    squared_sum Float64 COMMENT 'Sum over windows of the variance of the reference.' CODEC(LZ4),
    place_sum Float64 COMMENT 'Sum of the ranks in the reference less one half: 0 on average where nothing has changed.' CODEC(LZ4),
    spread_sum Float64 COMMENT 'Sum of the squares of those ranks less what is expected of them.' CODEC(LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record that completed the last of the windows.',
    _partition Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, version, feature, group, end)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Histograms of what a model is fed and says, piece by piece, beside its reference.';

CREATE TABLE IF NOT EXISTS drift_findings
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that it is of.',
    version LowCardinality(String) COMMENT 'Model that it is of.',
    reference LowCardinality(String) COMMENT 'model or line, as in drift.',
    round Int64 COMMENT 'Number of the round of the version: a piece of each partition.' CODEC(Delta, LZ4),
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the first window of the round ended.' CODEC(Delta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the last window of the round ended.' CODEC(Delta, LZ4),
    feature LowCardinality(String) COMMENT 'Feature, as in drift.',
    role LowCardinality(String) COMMENT 'Role, as in drift.',
    group LowCardinality(String) COMMENT 'Asset group; fleet are all assets.',
    windows UInt32 COMMENT 'Number of windows.' CODEC(LZ4),
    assets UInt32 COMMENT 'Number of assets.' CODEC(LZ4),
    effective Float64 COMMENT 'As how many independent windows they count.' CODEC(LZ4),
    before Float64 COMMENT 'Mean that the reference leads to expect, in the unit of the feature.' CODEC(LZ4),
    now Float64 COMMENT 'Mean that there is.' CODEC(LZ4),
    deviation Float64 COMMENT 'Standard deviation of the reference.' CODEC(LZ4),
    place Float64 COMMENT 'How far ranks have moved on average, from -0.5 to 0.5.' CODEC(LZ4),
    ks Float64 COMMENT 'Greatest difference of the distribution functions, from 0 to 1.' CODEC(LZ4),
    psi Float64 COMMENT 'Population stability index, less what chance alone leads to.' CODEC(LZ4),
    js Float64 COMMENT 'Distance of Jensen and Shannon, from 0 to 1.' CODEC(LZ4),
    hellinger Float64 COMMENT 'Distance of Hellinger, from 0 to 1.' CODEC(LZ4),
    missing Float64 COMMENT 'Share of windows without a value above that of the reference.' CODEC(LZ4),
    p Float64 COMMENT 'Chance of as large a difference where nothing has changed, corrected for the number of tests of the feature.' CODEC(LZ4),
    q Float64 COMMENT 'The same, corrected for all features and groups of the round (false discovery rate).' CODEC(LZ4),
    measure LowCardinality(String) COMMENT 'Test that p is of: place, spread, ks, missing, mean or adwin.',
    votes UInt8 COMMENT 'How many of ks, psi, js and place are beyond their limits.' CODEC(LZ4),
    drifted Bool COMMENT 'It counts as a change.',
    streak UInt32 COMMENT 'For how many rounds in a row it does.' CODEC(LZ4),
    furthest Array(String) COMMENT 'Assets that are furthest off.' CODEC(LZ4),
    counts Array(UInt32) COMMENT 'Histogram, in bins of the reference.' CODEC(LZ4),
    expected Array(Float32) COMMENT 'What the reference leads to expect in each bin.' CODEC(LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4)
)
ENGINE = MergeTree
PARTITION BY pipeline
ORDER BY (pipeline, version, feature, group, round)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'How far each feature of each asset group is from the reference of the model, round by round.';

CREATE TABLE IF NOT EXISTS estimates
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that it is of.',
    version LowCardinality(String) COMMENT 'Model that it is of.',
    round Int64 COMMENT 'Round, as in drift_findings.' CODEC(Delta, LZ4),
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the first window of the round ended.' CODEC(Delta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the last window of the round ended.' CODEC(Delta, LZ4),
    metric LowCardinality(String) COMMENT 'loss (from 0 to 1, the smaller the better, as outcomes are measured), accuracy, f1, roc_auc or brier (of the risk).',
    windows UInt32 COMMENT 'Number of windows.' CODEC(LZ4),
    value Float64 COMMENT 'What the model is expected to be worth on them, before the truth is known.' CODEC(LZ4),
    before Float64 COMMENT 'What its reference leads to expect of such windows; NaN where it does not tell.' CODEC(LZ4),
    error Float64 COMMENT 'Standard deviation of value, by assets and parts of time; NaN where it is not known.' CODEC(LZ4),
    p Float64 COMMENT 'Chance of as high a loss where nothing has changed; NaN for what is no loss.' CODEC(LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4)
)
ENGINE = MergeTree
PARTITION BY pipeline
ORDER BY (pipeline, version, metric, round)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What models are expected to be worth before the truth is known.';

CREATE TABLE IF NOT EXISTS alarms
(
    id String COMMENT 'Names the alarm: all rows of one id are one matter.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that it is of.',
    kind LowCardinality(String) COMMENT 'input-drift, prediction-drift, estimated-loss or realised-loss.',
    version LowCardinality(String) COMMENT 'Model that it is of.',
    since DateTime64(6, 'UTC') COMMENT 'Event time at which the change began, as far as is known.' CODEC(Delta, LZ4),
    at DateTime64(6, 'UTC') COMMENT 'Event time of what settled it, let it grow, or ended it.' CODEC(Delta, LZ4),
    over Bool COMMENT 'It has ended.',
    metric LowCardinality(String) COMMENT 'Metric that loss and before are of; empty where none is known.',
    loss Float64 COMMENT 'Loss that is estimated or was measured; NaN where it is not known.' CODEC(LZ4),
    before Float64 COMMENT 'Loss that was to be expected; NaN where it is not known.' CODEC(LZ4),
    causes Nested(feature String, group String, assets String, measure String, size Float64, p Float64, before Float64, now Float64) COMMENT 'What has changed, the largest first; assets are separated by commas.',
    detail String COMMENT 'For people.',
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4)
)
ENGINE = MergeTree
PARTITION BY tuple()
ORDER BY (pipeline, since, id, at)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Changes that were raised: one row when an alarm begins, when it grows, and when it ends.';

CREATE OR REPLACE VIEW alarms_now AS
SELECT id, pipeline, kind, version, any(since) AS began, max(at) AS last, max(over) AS ended, argMax(detail, at) AS last_detail, argMax(loss, at) AS last_loss, argMax(before, at) AS last_before
FROM alarms
GROUP BY id, pipeline, kind, version
COMMENT 'Each alarm in one row, with its last word.';
