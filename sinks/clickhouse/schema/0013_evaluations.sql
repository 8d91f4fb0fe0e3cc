-- Models side by side: one row for each model and scenario of a table of models × scenarios.

CREATE TABLE IF NOT EXISTS evaluations
(
    id String COMMENT 'The table that the row is a cell of.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that the models are for.',
    task LowCardinality(String) COMMENT 'What their outputs mean, as in models.task.',
    time DateTime64(6, 'UTC') COMMENT 'When it was found, by the wall clock.',
    digest String COMMENT 'SHA-256 of the rows and their truth by which it was found.',
    metric LowCardinality(String) COMMENT 'What value is: rmse, brier, error (of classes) or 1-f1 (of boxes), all the smaller the better.',
    unit LowCardinality(String) COMMENT 'Unit of value.',
    level Float64 COMMENT 'Level of the interval from low to high.',
    place UInt32 COMMENT 'Place of the scenario in the table, from 0.',
    column UInt32 COMMENT 'Place of the model in the table, from 0.',
    scenario LowCardinality(String) COMMENT 'Part of the data, or fault.',
    detail String COMMENT 'What the fault does, for people.',
    judged Bool COMMENT 'Whether the gate asks about the scenario.',
    windows UInt64 COMMENT 'Windows, or frames, of the scenario.',
    assets UInt64 COMMENT 'Assets, or cameras, that they are of.',
    version LowCardinality(String) COMMENT 'The model, as models.version.',
    network LowCardinality(String) COMMENT 'Its network.',
    value Float64 COMMENT 'The metric; nan where the scenario has nothing.',
    low Float64 COMMENT 'Lower end of its interval.',
    high Float64 COMMENT 'Upper end of its interval.',
    loss Float64 COMMENT 'Mean loss, from 0, right, to 1, as wrong as can be.',
    p50_ns Int64 COMMENT 'Median time of a run of one window, in nanoseconds.',
    p99_ns Int64 COMMENT '99th percentile of it.',
    cpu_seconds_per_million Float64 COMMENT 'CPU time of a million windows in runs of 32, or frames in runs of one, in seconds.',
    joules_per_million Float64 COMMENT 'Energy of the same; nan where nothing tells.',
    bytes UInt64 COMMENT 'Size of the ONNX file.',
    training_seconds Float64 COMMENT 'How long making the model took; nan where that is not known.',
    training_cpu_seconds Float64 COMMENT 'CPU time that it took.',
    retrainings_a_week Float64 COMMENT 'Trainings that were begun while it was champion, a week; nan where it never was.',
    alarms_a_week Float64 COMMENT 'Alarms about it while it was champion, a week.',
    who String COMMENT 'Who asked for the table.',
    why String COMMENT 'Why.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time, id, place, column)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Models side by side in scenarios, and what each costs.';
