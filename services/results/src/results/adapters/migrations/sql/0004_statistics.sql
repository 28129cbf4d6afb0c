-- Counters of frames per minute and hour: what the statistics are added up from.
CREATE TABLE results.frame_statistics (
    span      integer NOT NULL,       -- seconds: 60 or 3600
    at        timestamptz NOT NULL,   -- when it starts
    camera_id text NOT NULL,
    measure   text NOT NULL,          -- frames, detections, …, drop:<outcome>:<reason>, time:<stage>
    bucket    smallint NOT NULL,      -- of a latency, else 0
    count     bigint NOT NULL,
    PRIMARY KEY (span, at, camera_id, measure, bucket)
) WITH (fillfactor = 70);             -- counters are updated in place
