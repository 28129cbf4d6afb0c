-- Registry of cameras: written by the gateway together with the outbox.
CREATE TABLE results.cameras (
    camera_id          text PRIMARY KEY,
    name               text NOT NULL,
    location           jsonb,
    node               text,
    stream             jsonb NOT NULL,
    password_encrypted bytea,
    detection          jsonb NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    revision           bigint NOT NULL DEFAULT 1,
    deleted_at         timestamptz
);

-- What is to be published; the relay sends it in the order of `id`.
CREATE TABLE results.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text NOT NULL,
    key        text NOT NULL,
    event_type text,
    payload    bytea,
    headers    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at    timestamptz,
    refused    text -- why the broker will never take it; `sent_at` is when it said so
);
CREATE INDEX outbox_unsent ON results.outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON results.outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE FUNCTION results.notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('results_outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_notify AFTER INSERT ON results.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION results.notify_outbox();

-- Frame identifiers that clients sent within the last seconds; shared by the gateways only.
CREATE UNLOGGED TABLE results.frame_dedup (
    camera_id  text NOT NULL,
    frame_id   text NOT NULL,
    request_id text,
    frame_key  text,
    expires_at timestamptz NOT NULL,
    response   jsonb,
    PRIMARY KEY (camera_id, frame_id)
);
CREATE INDEX frame_dedup_expires ON results.frame_dedup (expires_at);

CREATE TABLE results.persons (
    person_id   text PRIMARY KEY,
    collection  text NOT NULL,
    name        text NOT NULL,
    employee_id text,
    department  text,
    status      text NOT NULL,
    consent     jsonb,
    faces       jsonb NOT NULL DEFAULT '[]',
    face_count  integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    revision    bigint NOT NULL,
    -- Place of the record in its partition: what is read again changes nothing.
    record_offset bigint NOT NULL DEFAULT 0
);

-- Persons whose tombstone was seen, and where in the topic; nothing may be linked to them again.
CREATE TABLE results.erased_persons (
    person_id        text PRIMARY KEY,
    tombstone_offset bigint NOT NULL,
    erased_at        timestamptz NOT NULL DEFAULT now(),
    swept_at         timestamptz
);

CREATE TABLE results.detections (
    detection_id     text NOT NULL,
    received_at      timestamptz NOT NULL,
    frame_key        uuid NOT NULL,
    camera_id        text NOT NULL,
    camera_name      text NOT NULL,
    epoch            bigint NOT NULL,
    sequence_number  bigint NOT NULL,
    frame_id         text,
    camera_timestamp timestamptz NOT NULL,
    purpose          text NOT NULL,
    detection_type   text NOT NULL,
    class_name       text,
    index            integer NOT NULL,
    x1               real NOT NULL,
    y1               real NOT NULL,
    x2               real NOT NULL,
    y2               real NOT NULL,
    frame_width      integer NOT NULL,
    frame_height     integer NOT NULL,
    confidence       real NOT NULL,
    person_id        text,
    similarity       real,
    threshold        real,
    decision         jsonb,
    quality          jsonb,
    pose             jsonb,
    landmarks        jsonb NOT NULL DEFAULT '[]',
    rejections       jsonb NOT NULL DEFAULT '[]',
    track_id         text,
    sighting_id      text,
    models           jsonb NOT NULL DEFAULT '[]',
    stages           jsonb NOT NULL DEFAULT '[]',
    revision         integer NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (detection_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX detections_time ON results.detections (received_at DESC);
CREATE INDEX detections_camera ON results.detections (camera_id, received_at DESC);
CREATE INDEX detections_person ON results.detections (person_id, received_at DESC)
    WHERE person_id IS NOT NULL;
CREATE INDEX detections_frame ON results.detections (frame_key);

-- The highest revision of a frame that was deliberately corrected.
CREATE TABLE results.corrections (
    frame_key    uuid PRIMARY KEY,
    revision     integer NOT NULL,
    received_at  timestamptz NOT NULL
);

CREATE TABLE results.sightings (
    sighting_id       text PRIMARY KEY,
    camera_id         text NOT NULL,
    camera_name       text NOT NULL,
    epoch             bigint NOT NULL,
    person_id         text,
    track_ids         jsonb NOT NULL DEFAULT '[]',
    started_at        timestamptz NOT NULL,
    ended_at          timestamptz NOT NULL,
    first_frame_key   uuid NOT NULL,
    last_frame_key    uuid NOT NULL,
    frame_count       integer NOT NULL,
    best_detection_id text NOT NULL,
    best_quality      real NOT NULL,
    best_similarity   real,
    closed            boolean NOT NULL,
    revision          integer NOT NULL
);
CREATE INDEX sightings_camera ON results.sightings (camera_id, ended_at DESC);
CREATE INDEX sightings_person ON results.sightings (person_id, ended_at DESC)
    WHERE person_id IS NOT NULL;
CREATE INDEX sightings_time ON results.sightings (ended_at DESC);

-- Links to stored pictures; a row exists only once its object does.
CREATE TABLE results.snapshots (
    detection_id text PRIMARY KEY,
    sha256       text NOT NULL,
    camera_id    text NOT NULL,
    frame_key    uuid NOT NULL,
    sighting_id  text,
    reason       text NOT NULL,
    image_format text NOT NULL,
    width        integer NOT NULL,
    height       integer NOT NULL,
    size_bytes   integer NOT NULL,
    taken_at     timestamptz NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX snapshots_object ON results.snapshots (sha256);
CREATE INDEX snapshots_taken ON results.snapshots (taken_at);
CREATE INDEX snapshots_sighting ON results.snapshots (sighting_id) WHERE sighting_id IS NOT NULL;

-- The frame ledger: sets of sequence numbers per block of 4,096 (docs: design, section 4).
CREATE TABLE results.ledger (
    camera_id  text NOT NULL,
    epoch      bigint NOT NULL,
    block      bigint NOT NULL,
    outcome    text NOT NULL
        CHECK (outcome IN ('captured', 'processed', 'failed', 'shed', 'lost')),
    reason     text NOT NULL DEFAULT '',
    numbers    int8multirange NOT NULL,
    lane       text NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (camera_id, epoch, block, outcome, reason)
);
CREATE INDEX ledger_time ON results.ledger (camera_id, last_at);
CREATE INDEX ledger_last ON results.ledger (last_at);

CREATE TABLE results.epochs (
    camera_id text NOT NULL,
    epoch     bigint NOT NULL,
    lane      text NOT NULL,
    opened_at timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL,
    closed_at timestamptz,
    highest   bigint NOT NULL,
    PRIMARY KEY (camera_id, epoch)
);
CREATE INDEX epochs_seen ON results.epochs (seen_at);

-- The next offset to apply, per partition: moves in the transaction of the rows, and fences them.
CREATE TABLE results.writer_offsets (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

CREATE TABLE results.alerts (
    alert_id    text PRIMARY KEY,
    alert_type  text NOT NULL,
    severity    text NOT NULL,
    camera_id   text NOT NULL,
    person_id   text,
    frame_key   uuid,
    sighting_id text,
    raised_at   timestamptz NOT NULL,
    message     text NOT NULL,
    attributes  jsonb NOT NULL DEFAULT '{}',
    revision    integer NOT NULL
);
CREATE INDEX alerts_camera ON results.alerts (camera_id, raised_at DESC);
CREATE INDEX alerts_time ON results.alerts (raised_at DESC);
CREATE INDEX alerts_person ON results.alerts (person_id) WHERE person_id IS NOT NULL;

CREATE TABLE results.attendance (
    mark_id     text PRIMARY KEY,
    person_id   text NOT NULL,
    camera_id   text NOT NULL,
    kind        text NOT NULL,
    marked_at   timestamptz NOT NULL,
    sighting_id text,
    frame_key   uuid,
    similarity  real,
    revision    integer NOT NULL
);
CREATE INDEX attendance_person ON results.attendance (person_id, marked_at DESC);
CREATE INDEX attendance_time ON results.attendance (marked_at DESC);

CREATE TABLE results.events (
    event_id    text PRIMARY KEY,
    event_type  text NOT NULL,
    occurred_at timestamptz NOT NULL,
    severity    text NOT NULL,
    service     text NOT NULL,
    instance_id text NOT NULL,
    camera_id   text,
    camera_name text,
    frame_id    text,
    message     text NOT NULL,
    attributes  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_time ON results.events (occurred_at DESC);
CREATE INDEX events_camera ON results.events (camera_id, occurred_at DESC)
    WHERE camera_id IS NOT NULL;

CREATE TABLE results.audit (
    audit_id    text PRIMARY KEY,
    audit_type  text NOT NULL,
    occurred_at timestamptz NOT NULL,
    user_id     text NOT NULL,
    action      text NOT NULL,
    resource    text NOT NULL,
    person_id   text,
    ip_address  text,
    result      text NOT NULL,
    reason      text,
    attributes  jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_time ON results.audit (occurred_at DESC);
CREATE INDEX audit_person ON results.audit (person_id, occurred_at DESC)
    WHERE person_id IS NOT NULL;

-- Creates the monthly partition (UTC) that holds `moment`, if absent. ATTACH keeps the parent
-- readable and writable, which PARTITION OF would not.
CREATE FUNCTION results.ensure_month(parent text, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    month     timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    starts    timestamptz := month AT TIME ZONE 'UTC';
    ends      timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
    partition text := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
BEGIN
    IF to_regclass(format('results.%I', partition)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('results.ensure_month'), hashtext(partition));
    IF to_regclass(format('results.%I', partition)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE results.%I (LIKE results.%I INCLUDING ALL)', partition, parent);
    EXECUTE format('ALTER TABLE results.%I ATTACH PARTITION results.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, partition, starts, ends);
    RETURN true;
END
$$;

-- A decision without any trace of one person.
CREATE FUNCTION results.without_person(decision jsonb, person text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN decision IS NULL THEN NULL ELSE
        decision
        || CASE WHEN decision ->> 'person_id' = person
                THEN '{"person_id": null, "identified": false, "reason": "erased"}'::jsonb
                ELSE '{}'::jsonb END
        || jsonb_build_object('candidates', coalesce(
               (SELECT jsonb_agg(c ORDER BY n) FROM jsonb_array_elements(decision -> 'candidates')
                    WITH ORDINALITY AS t(c, n) WHERE c ->> 'person_id' <> person), '[]'::jsonb))
    END
$$;
