-- What predictions came to. Rows are settled in batches by the keeper of truth, from scores and labels; one that is settled anew, because a label was corrected, replaces the one before.

CREATE TABLE IF NOT EXISTS outcomes
(
    pipeline LowCardinality(String) COMMENT 'Pipeline that the window or frame is of.',
    asset LowCardinality(String) COMMENT 'Asset or camera.',
    start DateTime64(6, 'UTC') COMMENT 'Event time at which the window begins; of a frame its capture.' CODEC(DoubleDelta, LZ4),
    end DateTime64(6, 'UTC') COMMENT 'Event time at which the window ends; of a frame its capture.' CODEC(DoubleDelta, LZ4),
    version LowCardinality(String) COMMENT 'Version of the model that said it.',
    role Enum8('score' = 1, 'shadow' = 2) COMMENT 'score: it counted. shadow: nobody acted on it.',
    value Float32 COMMENT 'What it said, in the unit of the model.',
    risk Float32 COMMENT 'The risk that it told.',
    class LowCardinality(String) COMMENT 'The class that it gave a frame.',
    truth Float64 COMMENT 'What the value should have been: remaining life, capped; 1 or 0 for an anomaly, or for a frame that was read right or wrong; nan where only happened is known.',
    cap Float32 COMMENT 'Cap of the remaining life, in grid steps; 0 of other tasks.',
    happened UInt8 COMMENT '1 where what the risk speaks of happened.',
    loss Float64 COMMENT 'From 0, right, to 1, as wrong as can be: |value - truth| / cap, (risk - truth)², or 0 and 1 for classes; nan where truth is.',
    risk_loss Float64 COMMENT '(risk - happened)², or 0 and 1 for classes.',
    weight Float64 COMMENT 'Weight of the label that told the truth.',
    by Enum8('label' = 1, 'time' = 2) COMMENT 'label: a label told the truth. time: nothing happened until it could not any more.',
    scored_at DateTime64(6, 'UTC') COMMENT 'When it was said.' CODEC(Delta, LZ4),
    settled DateTime64(6, 'UTC') COMMENT 'When its truth was settled, by the clock of andon; the newest counts.' CODEC(Delta, LZ4),
    gone UInt8 COMMENT '1: it is not settled any more, since a label was withdrawn.',
    INDEX settled settled TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(settled, gone)
PARTITION BY pipeline
ORDER BY (pipeline, asset, end, version)
COMMENT 'What predictions came to, once it is settled: read it with FINAL.';

-- How far the keeper has come with each asset; the row without an asset is of the labels.
CREATE TABLE IF NOT EXISTS truth_marks
(
    pipeline LowCardinality(String) COMMENT 'Pipeline.',
    asset String COMMENT 'Asset; empty for how far the labels of all pipelines were read.',
    looked DateTime64(6, 'UTC') COMMENT 'Predictions up to this end were held against the labels.',
    matured DateTime64(6, 'UTC') COMMENT 'Predictions up to this end are settled, or only a label could settle them.',
    time DateTime64(6, 'UTC') COMMENT 'When that was so.'
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (pipeline, asset)
COMMENT 'How far the truth of each asset is settled: the watermark of maturity.';

-- Labels of a score or a frame have the last microsecond of its window, or its capture.
CREATE OR REPLACE VIEW label_places AS
SELECT pipeline, asset, time, if(empty(box), [0., 0., 0., 0.], box) AS box, toString(label) AS label, toString(who) AS who, told, withdrawn, until, value, if(weight = 0, 1, weight) AS weight, golden,
    note, toString(_topic) AS _topic, _partition, _offset, _stored
FROM labels
WHERE NOT (of != '' AND asset = '')
UNION ALL
SELECT l.pipeline AS pipeline, s.asset AS asset, s.at AS time, [0., 0., 0., 0.] AS box, toString(l.label) AS label, toString(l.who) AS who, l.told AS told, l.withdrawn AS withdrawn, l.until AS until,
    l.value AS value, if(l.weight = 0, 1, l.weight) AS weight, l.golden AS golden, l.note AS note, toString(l._topic) AS _topic, l._partition AS _partition, l._offset AS _offset, l._stored AS _stored
FROM labels AS l
INNER JOIN
(
    SELECT pipeline, concat(_topic, '/', toString(_partition), '@', toString(_offset)) AS record, any(asset) AS asset, max(end) - INTERVAL 1 MICROSECOND AS at
    FROM scores
    WHERE _offset IN (SELECT toInt64OrZero(splitByChar('@', of)[-1]) FROM labels WHERE of != '' AND asset = '')
    GROUP BY pipeline, record
    UNION ALL
    SELECT pipeline, concat(_topic, '/', toString(_partition), '@', toString(_offset)) AS record, any(camera) AS asset, max(captured) AS at
    FROM frames
    WHERE _offset IN (SELECT toInt64OrZero(splitByChar('@', of)[-1]) FROM labels WHERE of != '' AND asset = '')
    GROUP BY pipeline, record
) AS s ON s.pipeline = l.pipeline AND s.record = l.of
WHERE l.of != '' AND l.asset = ''
COMMENT 'All labels that were ever told, at the asset and time that they speak of.';

-- As before, on label_places: see 0011_labels.sql.
CREATE OR REPLACE VIEW label_opinions AS
SELECT pipeline, asset, time, box, opinion.1 AS label, opinion.2 AS who, opinion.3 AS told, opinion.5.1 AS until, opinion.5.2 AS value, opinion.5.3 AS weight, opinion.5.4 AS golden,
    opinion.5.5 AS note, opinion.5.6 AS _topic, opinion.5.7 AS _partition, opinion.5.8 AS _offset, opinion.5.9 AS _stored,
    arrayExists(other -> other.2 != opinion.2 AND ((other.4 = '-') != (opinion.4 = '-') OR other.4 != opinion.4 AND other.4 NOT IN ('-', '+') AND opinion.4 NOT IN ('-', '+')), opinions) AS conflict
FROM
(
    SELECT pipeline, asset, time, box,
        arrayFilter(a -> NOT arrayExists(b -> b.2 = a.2 AND (b.3, b.5.6, b.5.7, b.5.8) > (a.3, a.5.6, a.5.7, a.5.8)
            AND ((b.4 = '-') != (a.4 = '-') OR b.4 != a.4 AND b.4 NOT IN ('-', '+') AND a.4 NOT IN ('-', '+')), told_all), told_all) AS opinions
    FROM
    (
        SELECT pipeline, asset, time, box,
            groupArray((label, who, told, multiIf(label IN ('normal', 'clear'), '-', label IN ('failure', 'missed', 'anomaly'), '+', label), rest)) AS told_all
        FROM
        (
            SELECT pipeline, asset, time, box, label, last.1 AS who, last.2 AS told, last.4 AS rest
            FROM
            (
                SELECT pipeline, asset, time, box, label,
                    argMax((who, told, withdrawn, (until, value, weight, golden, note, _topic, _partition, _offset, _stored)), (told, _topic, _partition, _offset)) AS last
                FROM label_places
                GROUP BY pipeline, asset, time, box, label
            )
            WHERE NOT last.3
        )
        GROUP BY pipeline, asset, time, box
    )
)
ARRAY JOIN opinions AS opinion
COMMENT 'What is told of each asset, time and box: corrected, not withdrawn, each once. conflict tells that somebody else says the contrary. A label of a score has the last microsecond of its window.';

-- One definition of what is told of many outcomes, for days and for versions.
CREATE OR REPLACE VIEW accuracy AS
SELECT pipeline, version, day, outcomes, valued, positives, shadows, loss, brier, rmse, mae, right / outcomes AS accuracy, if(said = 0, nan, hits / said) AS precision,
    if(positives = 0, nan, hits / positives) AS recall, if(said + positives = 0, nan, 2 * hits / (said + positives)) AS f1,
    if(positives = 0 OR positives = outcomes, nan, arrayROCAUC(arrayMap(x -> x.1, sample), arrayMap(x -> x.2, sample))) AS auc
FROM
(
    SELECT pipeline, version, toStartOfDay(end) AS day, count() AS outcomes, countIf(NOT isNaN(o.loss)) AS valued, countIf(happened = 1) AS positives, countIf(role = 'shadow') AS shadows,
        avgIf(o.loss, NOT isNaN(o.loss)) AS loss, avg(o.risk_loss) AS brier,
        sqrt(avgIf(pow(o.loss * cap, 2), cap > 0 AND NOT isNaN(o.loss))) AS rmse, avgIf(o.loss * cap, cap > 0 AND NOT isNaN(o.loss)) AS mae,
        countIf(if(class = '', (risk >= 0.5) = (happened = 1), o.truth = 1)) AS right,
        countIf(if(class = '', risk >= 0.5, class NOT IN ('clear', 'normal'))) AS said,
        countIf(happened = 1 AND if(class = '', risk >= 0.5, class NOT IN ('clear', 'normal'))) AS hits,
        groupArraySample(10000)((risk, happened)) AS sample
    FROM outcomes AS o FINAL
    GROUP BY pipeline, version, day
)
COMMENT 'Realised accuracy by version and the day of event time that was spoken of. auc is of at most 10,000 outcomes drawn from the day.';

CREATE OR REPLACE VIEW label_lag AS
SELECT pipeline, label, count() AS labels, quantile(0.5)(dateDiff('millisecond', greatest(time, until), told)) / 1000 AS p50_seconds,
    quantile(0.95)(dateDiff('millisecond', greatest(time, until), told)) / 1000 AS p95_seconds, max(told) AS last_told
FROM truth_labels
GROUP BY pipeline, label
COMMENT 'How long after it happened, by event time, a label is told.';

CREATE OR REPLACE VIEW label_coverage AS
SELECT pipeline, version, day, sum(said) AS predictions, sum(settled) AS settled, sum(labelled) AS labelled, settled / predictions AS coverage
FROM
(
    SELECT pipeline, version, toStartOfDay(end) AS day, 1 AS said, 0 AS settled, 0 AS labelled FROM scores
    UNION ALL
    SELECT pipeline, version, toStartOfDay(captured) AS day, 1 AS said, 0 AS settled, 0 AS labelled FROM frames WHERE status = 'scored'
    UNION ALL
    SELECT pipeline, version, toStartOfDay(end) AS day, 0 AS said, 1 AS settled, by = 'label' AS labelled FROM outcomes FINAL WHERE role = 'score'
)
GROUP BY pipeline, version, day
COMMENT 'How many of the predictions that counted are settled, and by a label, by version and the day of event time that was spoken of.';
