-- What the loop decides about models, and by which numbers; also when it decides to do nothing.

CREATE TABLE IF NOT EXISTS decisions
(
    time DateTime64(6, 'UTC') COMMENT 'When it was decided, by the clock of the machine that decided.',
    pipeline LowCardinality(String) COMMENT 'Pipeline that the model is for.',
    campaign String COMMENT 'The way of one challenger from trigger to end; all its decisions carry it. Empty for a trigger that was turned down or put off.',
    stage LowCardinality(String) COMMENT 'trigger, train, gate, shadow, canary, promote, watch or rollback.',
    verdict LowCardinality(String) COMMENT 'go, no, wait, ask (a person has to say) or failed.',
    reason String COMMENT 'Why, for people.',
    champion LowCardinality(String) COMMENT 'Version of the champion; empty where there is none.',
    challenger LowCardinality(String) COMMENT 'Version of the challenger; empty where there is none yet.',
    facts String COMMENT 'The numbers by which it was decided, JSON; a campaign that was cut off goes on from it.' CODEC(ZSTD(1)),
    who LowCardinality(String) COMMENT 'Who decided: policy, loop, or a person.'
)
ENGINE = MergeTree
ORDER BY (pipeline, time)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every step by which a pipeline came to its model, or did not, with its reason and numbers.';

CREATE OR REPLACE VIEW campaigns AS
SELECT pipeline, campaign, began, at AS last, latest.1 AS stage, latest.2 AS verdict, latest.3 AS reason, latest.4 AS champion, latest.5 AS challenger, why, n AS decisions,
    latest.2 IN ('no', 'failed') OR latest.2 = 'go' AND latest.1 IN ('watch', 'rollback') AS over
FROM
(
    SELECT pipeline, campaign, min(time) AS began, max(time) AS at, argMax((stage, verdict, reason, champion, challenger), time) AS latest, argMin(reason, time) AS why, count() AS n
    FROM decisions
    WHERE campaign != ''
    GROUP BY pipeline, campaign
)
COMMENT 'The way of each challenger: why it began, where it is or how it ended.';
