-- What more a label may say. Labels of before have none of it; they were told when they were stored.
ALTER TABLE labels ADD COLUMN IF NOT EXISTS until DateTime64(6, 'UTC') COMMENT 'End of what lasted from time on; 1970 for what did not last.' AFTER value;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS box Array(Float64) COMMENT 'Corners in a frame, x0, y0, x1, y1 from 0 to 1; zeros, or nothing, for the whole of it.' AFTER until;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS of String COMMENT 'Record whose score it speaks of, topic/partition@offset, where it names no asset and time of its own.' AFTER box;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS weight Float64 COMMENT 'How much it counts in training; 0 is 1.' AFTER of;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS golden Bool COMMENT 'Every model to come is examined on it.' AFTER weight;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS withdrawn Bool COMMENT 'It takes back what was told before of the same asset, time, label and box.' AFTER golden;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS who LowCardinality(String) COMMENT 'Who told it: a person, or a system.' AFTER withdrawn;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS note String COMMENT 'Why, for people.' AFTER who;

ALTER TABLE labels ADD COLUMN IF NOT EXISTS told DateTime64(6, 'UTC') DEFAULT toDateTime64(_stored, 6, 'UTC') COMMENT 'When it was told: the record''s own timestamp in Kafka. The last that was told counts.' AFTER note;

-- Labels of one asset, time, label and box are one, however often they were sent: the last counts. What several people say of one asset, time and box either goes together, or is a conflict:
-- what happened (failure, missed, anomaly) and that nothing did (normal, clear), or two classes. Of what one person said the last counts; of what two said neither does, until one of them, or
-- somebody else, withdraws one. There is no order of persons that would settle it unseen: a sensor that overrules an inspector is a decision for the inspector.
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
                FROM
                (
                    SELECT pipeline, asset, time, if(empty(box), [0., 0., 0., 0.], box) AS box, toString(label) AS label, toString(who) AS who, told, withdrawn, until, value,
                        if(weight = 0, 1, weight) AS weight, golden, note, toString(_topic) AS _topic, _partition, _offset, _stored
                    FROM labels
                    WHERE NOT (of != '' AND asset = '')
                    UNION ALL
                    SELECT l.pipeline AS pipeline, s.asset AS asset, s.at AS time, [0., 0., 0., 0.] AS box, toString(l.label) AS label, toString(l.who) AS who, l.told AS told, l.withdrawn AS withdrawn,
                        l.until AS until, l.value AS value, if(l.weight = 0, 1, l.weight) AS weight, l.golden AS golden, l.note AS note, toString(l._topic) AS _topic, l._partition AS _partition,
                        l._offset AS _offset, l._stored AS _stored
                    FROM labels AS l
                    INNER JOIN
                    (
                        SELECT pipeline, concat(_topic, '/', toString(_partition), '@', toString(_offset)) AS record, any(asset) AS asset, max(end) - INTERVAL 1 MICROSECOND AS at
                        FROM scores
                        WHERE _offset IN (SELECT toInt64OrZero(splitByChar('@', of)[-1]) FROM labels WHERE of != '' AND asset = '')
                        GROUP BY pipeline, record
                    ) AS s ON s.pipeline = l.pipeline AND s.record = l.of
                    WHERE l.of != '' AND l.asset = ''
                )
                GROUP BY pipeline, asset, time, box, label
            )
            WHERE NOT last.3
        )
        GROUP BY pipeline, asset, time, box
    )
)
ARRAY JOIN opinions AS opinion
COMMENT 'What is told of each asset, time and box: corrected, not withdrawn, each once. conflict tells that somebody else says the contrary. A label of a score has the last microsecond of its window.';

CREATE OR REPLACE VIEW truth_labels AS
SELECT pipeline, asset, time, until, label, value, box, weight, golden, who, note, told, _topic, _partition, _offset, _stored
FROM label_opinions
WHERE NOT conflict
COMMENT 'The labels that count: what is settled of each asset and time. Training and accuracy go by them.';

CREATE OR REPLACE VIEW label_conflicts AS
SELECT pipeline, asset, time, box, groupArray((label, who, told, note)) AS said, max(told) AS last_told
FROM label_opinions
WHERE conflict
GROUP BY pipeline, asset, time, box
COMMENT 'Where two sources say the contrary of one asset and time: neither counts until one is withdrawn (andon label --withdraw).';

CREATE OR REPLACE VIEW golden AS
SELECT pipeline, asset, time, until, label, value, box, weight, who, note, told, _topic, _partition, _offset
FROM truth_labels
WHERE golden
COMMENT 'The examples that every model to come is examined on.';
