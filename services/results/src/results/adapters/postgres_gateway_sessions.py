"""The counts of stream sessions: from the ledger and the counters, never by a scan."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from mesh.clock import Clock
from mesh.events import CameraStatus
from mesh.identity import first_epoch
from results.adapters.postgres_gateway import Database
from results.domain.camera_report import SessionCounts
from results.domain.statistics import HOUR, MINUTE

_MINUTES = timedelta(hours=2)
"""Slots of minutes are kept a little longer than that, those of hours for eight days."""
_LONGEST = timedelta(days=8)


class PostgresSessions:
    """Looks up the few rows of each session by their keys."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def counts(self, statuses: Sequence[CameraStatus]) -> Mapping[str, SessionCounts]:
        """The counts of these sessions by camera; of one that never had a picture none.

        A session has one epoch per connection and lane; all of them count, as they do in the
        statistics of its camera.
        """
        now = self._clock.now()
        known = [status for status in statuses if status.epoch is not None]
        starts = [status.started_at for status in known]
        if not known:
            return {}
        values = {
            "cameras": [status.camera_id for status in known],
            "epochs": [
                status.epoch if start is None else first_epoch(start)
                for status, start in zip(known, starts, strict=True)
            ],
            "since": [start and max(start, now - _LONGEST) for start in starts],
            "spans": [
                int((MINUTE if start and now - start < _MINUTES else HOUR).total_seconds())
                for start in starts
            ],
            "now": now,
        }
        return {
            row["camera_id"]: SessionCounts(row["processed"], row["detections"])
            for row in self._database.rows(_COUNTS, values)
        }


_COUNTS = """
SELECT w.camera_id, (
    SELECT coalesce(sum(coalesce(l.size, (
        SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(l.numbers) AS r))), 0)::bigint
    FROM results.ledger AS l
    WHERE l.camera_id = w.camera_id AND l.epoch >= w.epoch AND l.outcome = 'processed'
      AND l.lane <> 'request'
) AS processed, CASE WHEN w.since IS NOT NULL THEN (
    SELECT coalesce(sum(f.count), 0)::bigint
    FROM generate_series(
        to_timestamp(floor(extract(epoch FROM w.since) / w.span) * w.span),
        %(now)s::timestamptz, make_interval(secs => w.span)) AS slot(at),
    LATERAL (
        SELECT s.count FROM results.frame_statistics AS s
        WHERE s.span = w.span AND s.at = slot.at AND s.camera_id = w.camera_id
          AND s.measure = 'detections' AND s.bucket = 0
        OFFSET 0) AS f
) END AS detections
FROM unnest(%(cameras)s::text[], %(epochs)s::bigint[], %(since)s::timestamptz[], %(spans)s::int[])
    AS w(camera_id, epoch, since, span)
"""
