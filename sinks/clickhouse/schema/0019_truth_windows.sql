-- Accuracy and coverage of all days are views of their own; those that people look at end with a pipeline's newest day and are 30 days long, however large the tables.

CREATE OR REPLACE VIEW accuracy_days AS
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
COMMENT 'Realised accuracy of all time by version and the day of event time that was spoken of. Name the pipeline and a least day: the key finds them. auc is of at most 10,000 outcomes drawn from the day.';

-- The least day of all pipelines is found by the key, that of each is left to the filter.
CREATE OR REPLACE VIEW accuracy AS
WITH (SELECT mapFromArrays(groupArray(toString(pipeline)), groupArray(newest)) FROM (SELECT pipeline, max(end) AS newest FROM outcomes GROUP BY pipeline)) AS newest
SELECT *
FROM accuracy_days
WHERE day >= toStartOfDay(arrayMin(mapValues(newest))) - INTERVAL 29 DAY AND day >= toStartOfDay(newest[toString(pipeline)]) - INTERVAL 29 DAY
COMMENT 'Realised accuracy by version and the day of event time that was spoken of, of the newest 30 days of each pipeline; accuracy_days has all. auc is of at most 10,000 outcomes drawn from the day.';

CREATE OR REPLACE VIEW label_coverage_days AS
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
COMMENT 'How many of all predictions that counted are settled, and by a label, by version and the day of event time that was spoken of. Name the pipeline and a least day: the key finds them.';

-- The newest score of an asset is in the projection of scores.
CREATE OR REPLACE VIEW label_coverage AS
WITH
    (
        SELECT mapFromArrays(groupArray(of), groupArray(newest))
        FROM
        (
            SELECT of, max(newest) AS newest
            FROM
            (
                SELECT toString(pipeline) AS of, last AS newest FROM (SELECT pipeline, asset, max(end) AS last FROM scores GROUP BY pipeline, asset)
                UNION ALL
                SELECT toString(pipeline) AS of, max(captured) AS newest FROM frames WHERE status = 'scored' GROUP BY of
            )
            GROUP BY of
        )
    ) AS newest
SELECT *
FROM label_coverage_days
WHERE day >= toStartOfDay(arrayMin(mapValues(newest))) - INTERVAL 29 DAY AND day >= toStartOfDay(newest[toString(pipeline)]) - INTERVAL 29 DAY
COMMENT 'How many of the predictions that counted are settled, and by a label, by version and the day of event time that was spoken of, of the newest 30 days of each pipeline; label_coverage_days has all.';
