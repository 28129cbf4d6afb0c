-- Requests that are answered later. The accepting gateway writes a row before it publishes, the
-- writer completes it in the transaction that takes the answer, so any gateway can tell.
CREATE TABLE results.jobs (
    job_id            text PRIMARY KEY,
    request_id        text NOT NULL UNIQUE,
    kind              text NOT NULL CHECK (kind IN ('process_frame', 'enrollment', 'command')),
    state             text NOT NULL CHECK (state IN ('queued', 'processing', 'completed', 'failed')),
    camera_id         text,
    frame_id          text,
    with_snapshots    boolean NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL,
    deadline          timestamptz NOT NULL,
    finished_at       timestamptz,
    http_status       integer, -- what the same request would have been answered with at once
    body              jsonb,   -- and its body, without names: they are joined when it is read
    embeddings        jsonb,   -- by detection_id; kept apart, because they are kept for an hour
    person_ids        text[] NOT NULL DEFAULT '{}',
    callback_url      text,
    callback_state    text CHECK (callback_state IN ('pending', 'delivered', 'failed')),
    callback_attempts integer NOT NULL DEFAULT 0,
    callback_due_at   timestamptz,
    callback_error    text
);
CREATE INDEX jobs_open ON results.jobs (deadline) WHERE state IN ('queued', 'processing');
CREATE INDEX jobs_callbacks ON results.jobs (callback_due_at)
    WHERE callback_state = 'pending' AND state IN ('completed', 'failed');
CREATE INDEX jobs_created ON results.jobs (created_at);
CREATE INDEX jobs_embeddings ON results.jobs (finished_at) WHERE embeddings IS NOT NULL;
CREATE INDEX jobs_persons ON results.jobs USING gin (person_ids) WHERE person_ids <> '{}';

-- A job's body without any trace of one person.
CREATE FUNCTION results.job_without_person(body jsonb, person text) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(body -> 'detections') IS DISTINCT FROM 'array' THEN body ELSE
        jsonb_set(body, '{detections}', coalesce((
            SELECT jsonb_agg(
                d
                || CASE WHEN d #>> '{person,person_id}' = person
                        THEN '{"person": null}'::jsonb ELSE '{}'::jsonb END
                || jsonb_build_object('metadata', (d -> 'metadata')
                    || CASE WHEN jsonb_typeof(d #> '{metadata,decision}') = 'object'
                            THEN jsonb_build_object('decision',
                                results.without_person(d #> '{metadata,decision}', person)
                                || CASE WHEN d #>> '{person,person_id}' = person
                                        THEN '{"identified": false, "reason": "erased"}'::jsonb
                                        ELSE '{}'::jsonb END)
                            ELSE '{}'::jsonb END)
                ORDER BY n)
            FROM jsonb_array_elements(body -> 'detections') WITH ORDINALITY AS t(d, n)
        ), '[]'::jsonb))
    END
$$;
