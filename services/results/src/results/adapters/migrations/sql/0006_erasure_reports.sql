-- What was erased of a person on whose request, until it has been reported.
ALTER TABLE results.erased_persons
    ALTER COLUMN tombstone_offset DROP NOT NULL,
    ADD COLUMN request_id text,
    ADD COLUMN counts jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN reported_at timestamptz;
COMMENT ON COLUMN results.erased_persons.tombstone_offset IS 'Null until the tombstone was read.';
COMMENT ON COLUMN results.erased_persons.counts IS 'Rows deleted or unlinked, by kind.';

-- What went before this version was not counted: a report would tell too little.
UPDATE results.erased_persons SET reported_at = now();
CREATE INDEX erased_persons_unreported ON results.erased_persons (erased_at)
    WHERE reported_at IS NULL;
