-- What windows of event time held, for pipelines that end there.

CREATE TABLE IF NOT EXISTS features
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that the window is of.',
    asset LowCardinality(String) COMMENT 'Asset that the window is of.',
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the window begins.' CODEC(DoubleDelta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the window ends: the first instant after it.' CODEC(DoubleDelta, LZ4),
    names LowCardinality(String) COMMENT 'Names of the values, <signal>_<function>, joined by commas, in the order of the values.',
    values Array(Float64) COMMENT 'One value a name; nan where the function has none, as without readings of the signal. Slopes are in units a second.' CODEC(LZ4),
    _topic LowCardinality(String) COMMENT 'Kafka topic of the record that closed the window.',
    _partition Int32 COMMENT 'Kafka partition of that record.' CODEC(LZ4),
    _offset Int64 COMMENT 'Kafka offset of that record.' CODEC(Delta, LZ4),
    _stored DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was stored, by the clock of the ClickHouse server.' CODEC(Delta, LZ4),
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY (pipeline, intDiv(_offset, 100000000))
ORDER BY (pipeline, asset, end)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'What windows of event time held: one row an asset and window with readings.';

CREATE OR REPLACE VIEW features_long AS
SELECT pipeline, asset, start, end, name, arrayStringConcat(arrayPopBack(splitByChar('_', name)), '_') AS signal,
    arrayElement(splitByChar('_', name), -1) AS function, value, _topic, _partition, _offset
FROM features
ARRAY JOIN splitByChar(',', names) AS name, values AS value
WHERE NOT isNaN(value)
COMMENT 'One row a value of a window: asset, end, signal, function, value.';

CREATE OR REPLACE VIEW features_map AS
SELECT pipeline, asset, start, end, mapFromArrays(splitByChar(',', names), values) AS values, _topic, _partition, _offset
FROM features
COMMENT 'One row a window, with the values by name: values[''s_2_mean''].';
