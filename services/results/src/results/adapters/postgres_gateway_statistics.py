"""The figures of frames, added up from their slots."""

from datetime import datetime, timedelta

from results.adapters.postgres_gateway import Database
from results.domain.statistics import CameraFigures, Figures


class PostgresStatistics:
    """Adds up minutes or hours; the tables of detections and of the ledger are not touched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(
        self, span: timedelta, since: datetime, camera_id: str | None
    ) -> list[CameraFigures]:
        """The figures of every camera, or of one, from the slots of this length; blocks."""
        values = {"span": int(span.total_seconds()), "since": since, "camera_id": camera_id}
        found: dict[str, CameraFigures] = {}
        for row in self._database.rows(_FIGURES, values):
            key = row["camera_id"]
            if key not in found:
                found[key] = CameraFigures(
                    camera_id=key, camera_name=row["name"], figures=Figures()
                )
            found[key].figures.add(row["measure"], row["bucket"], row["count"])
        return list(found.values())


_FIGURES = """
SELECT s.camera_id, c.name, s.measure, s.bucket, s.count FROM (
    SELECT camera_id, measure, bucket, sum(count)::bigint AS count FROM results.frame_statistics
    WHERE span = %(span)s AND at >= %(since)s
      AND (%(camera_id)s::text IS NULL OR camera_id = %(camera_id)s)
    GROUP BY camera_id, measure, bucket) AS s
LEFT JOIN results.cameras AS c USING (camera_id)
ORDER BY s.camera_id
"""
