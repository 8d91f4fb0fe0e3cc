-- Rows that a pipeline's rules leave out are readings, too: each offset is accounted for. They are in no window, and no model is trained from them.

-- A column cannot be changed under a projection, which so is made again.
ALTER TABLE readings DROP PROJECTION IF EXISTS by_minute;

ALTER TABLE readings MODIFY COLUMN status Enum8('ok' = 1, 'duplicate' = 2, 'filtered' = 3)
    COMMENT 'ok: taken into windows. duplicate: same asset, time and signals as a row taken before. filtered: left out by the rules of its source. Late rows are in deadletters.';

ALTER TABLE readings ADD PROJECTION IF NOT EXISTS by_minute
(
    SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored), count(), min(_offset), max(_offset), max(time), max(_stored)
    GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
);

ALTER TABLE readings MATERIALIZE PROJECTION by_minute;

CREATE OR REPLACE VIEW rows_per_minute AS
SELECT pipeline, minute, sum(n) AS rows, sumIf(n, status = 'duplicate') AS duplicates, sumIf(n, status = 'filtered') AS filtered
FROM
(
    SELECT pipeline, _topic, _partition, status, toStartOfMinute(_stored) AS minute, count() AS n
    FROM readings
    GROUP BY pipeline, _topic, _partition, status, toStartOfMinute(_stored)
)
GROUP BY pipeline, minute
COMMENT 'Readings stored in each minute of wall-clock time.';
