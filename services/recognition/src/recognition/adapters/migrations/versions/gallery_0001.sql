-- Persons who may be recognised, their consent, their pictures, and what models make of them.
-- Biometric data: rows of a person are removed together (ON DELETE CASCADE).

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE gallery.persons (
    person_id    text PRIMARY KEY,
    collection   text NOT NULL,
    name         text NOT NULL,
    employee_id  text,
    department   text,
    status       text NOT NULL CHECK (status IN ('active', 'inactive')),
    retain_until timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    revision     bigint NOT NULL
);
COMMENT ON COLUMN gallery.persons.retain_until IS 'Erase the person after this time; null keeps.';

-- Every consent that was ever given or withdrawn; the one with the highest id is in force.
CREATE TABLE gallery.consents (
    consent_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id        text NOT NULL REFERENCES gallery.persons ON DELETE CASCADE,
    consent_type     text NOT NULL,
    status           text NOT NULL,
    granted_at       timestamptz NOT NULL,
    expires_at       timestamptz,
    document_version text,
    recorded_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX consents_person ON gallery.consents (person_id, consent_id DESC);

CREATE TABLE gallery.samples (
    face_id       text PRIMARY KEY,
    person_id     text NOT NULL REFERENCES gallery.persons ON DELETE CASCADE,
    frame_key     text NOT NULL,
    chip          bytea NOT NULL,
    chip_width    integer NOT NULL,
    chip_height   integer NOT NULL,
    landmarks     double precision[] NOT NULL,
    sha256        text NOT NULL,
    quality       double precision NOT NULL,
    sharpness     double precision NOT NULL,
    brightness    double precision NOT NULL,
    enrolled_at   timestamptz NOT NULL,
    enrolled_by   text NOT NULL
);
COMMENT ON COLUMN gallery.samples.chip IS 'JPEG from which a later model embeds again.';
COMMENT ON COLUMN gallery.samples.landmarks IS 'x1, y1, x2, y2, … in chip pixels.';
CREATE INDEX samples_person ON gallery.samples (person_id, enrolled_at);
CREATE INDEX samples_sha256 ON gallery.samples (sha256);

-- Models that were ever used here; the length of their vectors is known nowhere else.
CREATE TABLE gallery.models (
    model_id      text PRIMARY KEY,
    dim           integer NOT NULL,
    first_used_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE gallery.embeddings (
    face_id    text NOT NULL REFERENCES gallery.samples ON DELETE CASCADE,
    model_id   text NOT NULL REFERENCES gallery.models,
    embedding  halfvec NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (face_id, model_id)
);

-- What is searched: the mean of a person's embeddings, only of persons who may be recognised.
-- When a model is first used, it gets a partial index of its own on this table.
CREATE TABLE gallery.templates (
    person_id     text NOT NULL REFERENCES gallery.persons ON DELETE CASCADE,
    model_id      text NOT NULL REFERENCES gallery.models,
    collection    text NOT NULL,
    embedding     halfvec NOT NULL,
    concentration double precision NOT NULL,
    samples       integer NOT NULL,
    expires_at    timestamptz,
    PRIMARY KEY (person_id, model_id)
);
COMMENT ON COLUMN gallery.templates.concentration IS
    'Length of the mean before it was normalised, 0 to 1: how alike the samples are.';
COMMENT ON COLUMN gallery.templates.expires_at IS 'End of the consent; not searched from then on.';
CREATE INDEX templates_collection ON gallery.templates (model_id, collection);

-- One row; updating it is the lock under which versions are allocated, so that they become
-- visible in order.
CREATE TABLE gallery.head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO gallery.head (version) VALUES (0);

-- What changed in which version; search mirrors follow it.
CREATE TABLE gallery.changes (
    version    bigint NOT NULL,
    person_id  text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, person_id)
);
CREATE INDEX changes_person ON gallery.changes (person_id);

-- Who was erased, so that a photo or command still under way does not bring them back.
CREATE TABLE gallery.erasures (
    person_id text PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

-- What was answered, by frame_key or request_id; the same record gets the same answer again.
CREATE TABLE gallery.answers (
    key         text PRIMARY KEY,
    answer      bytea NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN gallery.answers.answer IS 'Answer as on the topic: ids and measures, no names.';
CREATE INDEX answers_age ON gallery.answers (answered_at);

-- Events to publish, in order; removed once the broker has acknowledged them.
CREATE TABLE gallery.outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text NOT NULL,
    key        text NOT NULL,
    value      bytea,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN gallery.outbox.value IS 'Avro as on the topic; null is a tombstone.';
