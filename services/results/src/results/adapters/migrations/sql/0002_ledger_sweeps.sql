-- How far the frames of an epoch went, and what the last sweep made of it (docs/delivery.md).
ALTER TABLE results.epochs
    ADD COLUMN through        bigint NOT NULL DEFAULT -1, -- highest number that a result claimed
    ADD COLUMN through_at     timestamptz,                -- its frame was received then
    ADD COLUMN balanced_below bigint NOT NULL DEFAULT 0,  -- every number below has an outcome
    ADD COLUMN mark           bigint,                     -- the numbers below were due …
    ADD COLUMN marked_at      timestamptz,                -- … at this moment
    ADD COLUMN ended_at       timestamptz,                -- over, although its source did not say so
    ADD COLUMN settled_at     timestamptz;                -- over, and every number has an outcome
-- Only what is not settled is ever swept.
CREATE INDEX epochs_unsettled ON results.epochs (camera_id, epoch) WHERE settled_at IS NULL;

-- How many numbers a row holds, once its block is balanced; adding to the set makes it unknown.
-- Where the rows of a balanced block add up to its numbers, they do not overlap, and a balance needs
-- no sets.
ALTER TABLE results.ledger ADD COLUMN size bigint;

-- Ends of the writer's partitions at one moment: once the writer is past all of them, everything
-- that was published before `taken_at` is in the tables.
CREATE TABLE results.ledger_barrier (
    topic     text NOT NULL,
    partition integer NOT NULL,
    ends      bigint NOT NULL,
    taken_at  timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);

CREATE INDEX events_gaps ON results.events (occurred_at) WHERE event_type = 'offset_gap';
