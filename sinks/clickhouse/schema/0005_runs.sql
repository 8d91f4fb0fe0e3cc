-- How each score came about. Scores of before have zeros.
ALTER TABLE scores ADD COLUMN IF NOT EXISTS batch UInt32 COMMENT 'Number of windows in the run of the model that gave the score; 0 where it was not kept yet.' CODEC(LZ4) AFTER scored_at;

ALTER TABLE scores ADD COLUMN IF NOT EXISTS queue_ns Int64 COMMENT 'From the call of the scorer to the start of that run, in nanoseconds.' CODEC(LZ4) AFTER batch;

ALTER TABLE scores ADD COLUMN IF NOT EXISTS compute_ns Int64 COMMENT 'Time of that run, all its windows together, in nanoseconds.' CODEC(LZ4) AFTER queue_ns;
