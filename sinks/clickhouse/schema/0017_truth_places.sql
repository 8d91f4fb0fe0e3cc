-- What a label said, so that the classes that are read wrongly can be told.
ALTER TABLE outcomes ADD COLUMN IF NOT EXISTS label LowCardinality(String) COMMENT 'What the label said, as the class of a frame; empty where time settled it.' AFTER by;

-- Up to where outcomes were told to what watches the realised error, and what that knows there: one row says both, so that no outcome counts twice or never.
CREATE TABLE IF NOT EXISTS truth_places
(
    pipeline LowCardinality(String) COMMENT 'Pipeline.',
    fed DateTime64(6, 'UTC') COMMENT 'Outcomes that were settled up to then were told; the row that came furthest counts.',
    time DateTime64(6, 'UTC') COMMENT 'When that was so.',
    state String COMMENT 'What the watch of the realised error knows of them, for andon alone.'
)
ENGINE = ReplacingMergeTree(fed)
ORDER BY pipeline
COMMENT 'Up to where outcomes were told to what watches the realised error.';
