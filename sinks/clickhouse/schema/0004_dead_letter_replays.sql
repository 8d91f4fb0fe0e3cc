-- Dead letters are sent again as they were: a record without a key goes to another partition than one with an empty key, and one without a value is a tombstone.
-- Of records stored before, only whether they are empty is known.
ALTER TABLE deadletters
    ADD COLUMN IF NOT EXISTS key_null Bool DEFAULT empty(key) COMMENT 'The record had no key at all, rather than an empty one.',
    ADD COLUMN IF NOT EXISTS value_null Bool DEFAULT empty(value) COMMENT 'The record had no value at all, rather than an empty one: a tombstone.';

-- What became of each record that was to be sent again. A run says first that it is sending a record, and what came of it afterwards: a crash in between leaves the
-- first alone, and whether the record was sent is in doubt.
CREATE TABLE IF NOT EXISTS deadletter_replays
(
    _topic LowCardinality(String) COMMENT 'Kafka topic of the dead letter.',
    _partition Int32 COMMENT 'Kafka partition of the dead letter.',
    _offset Int64 COMMENT 'Kafka offset of the dead letter.',
    run String COMMENT 'The replay that did it.',
    state LowCardinality(String) COMMENT 'sending: begun. sent: acknowledged by the brokers. failed: refused by them. yielded: left to another replay of the same record.',
    to_topic LowCardinality(String) COMMENT 'Topic that it is sent to.',
    to_partition Int32 COMMENT 'Partition that it went to; -1 unless sent.',
    to_offset Int64 COMMENT 'Offset that it has there; -1 unless sent.',
    who String COMMENT 'Who asked for it, as they say.',
    detail String COMMENT 'Why it failed.',
    _stored DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When the row was stored, by the clock of the ClickHouse server.'
)
ENGINE = MergeTree
ORDER BY (_topic, _partition, _offset, run)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'The memory of andon dlq replay: which dead letters were sent again, where to, by whom.';

CREATE OR REPLACE VIEW replayed_deadletters AS
SELECT _topic, _partition, _offset, countIf(was = 'sent') AS sent, countIf(was = '') AS in_doubt,
    argMaxIf((to_topic, to_partition, to_offset), at, was = 'sent') AS last_to, argMaxIf(who, at, was = 'sent') AS last_who, maxIf(at, was = 'sent') AS last_sent
FROM
(
    SELECT _topic, _partition, _offset, run, maxIf(toString(state), state != 'sending') AS was, max(_stored) AS at,
        argMax(to_topic, _stored) AS to_topic, max(to_partition) AS to_partition, max(to_offset) AS to_offset, any(who) AS who
    FROM deadletter_replays
    GROUP BY _topic, _partition, _offset, run
)
GROUP BY _topic, _partition, _offset
COMMENT 'How often each dead letter was sent again, where it went last, and how many replays ended without saying whether they had sent it.';
