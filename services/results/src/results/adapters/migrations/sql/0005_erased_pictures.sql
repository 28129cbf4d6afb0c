-- Detections and sightings that showed an erased person: their pictures go, however late they come.
CREATE TABLE results.erased_pictures (
    shown_by  text PRIMARY KEY, -- detection_id or sighting_id
    person_id text NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- Objects whose rows are gone and that are to be deleted: what a crash leaves is found here.
CREATE TABLE results.doomed_objects (
    sha256    text PRIMARY KEY,
    person_id text NOT NULL,
    doomed_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE results.erased_persons ADD COLUMN pictures bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN results.erased_persons.pictures IS 'Stored pictures that were deleted.';
