"""The figures of frames, added up from their slots."""

from datetime import datetime, timedelta

from results.adapters.postgres_gateway import Database
from results.domain.slots import parts_of
from results.domain.statistics import CameraFigures, Figures


class PostgresStatistics:
    """Adds up minutes or hours; the tables of detections and of the ledger are not touched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(
        self, span: timedelta, since: datetime, camera_id: str | None
    ) -> list[CameraFigures]:
        """The figures of every camera, or of one, from the slots of this length; blocks.

        A day that the keeper has rolled up stands for its hours.
        """
        starts, ends, days = zip(*parts_of(since, span), strict=True)
        values = {
            "span": int(span.total_seconds()),
            "since": since,
            "starts": list(starts),
            "ends": list(ends),
            "days": list(days),
            "camera_id": camera_id,
        }
        found: dict[str, CameraFigures] = {}
        for row in self._database.rows(_WITH_DAYS if any(days) else _PLAIN, values):
            key = row["camera_id"]
            if key not in found:
                found[key] = CameraFigures(
                    camera_id=key, camera_name=row["name"], figures=Figures()
                )
            found[key].figures.add(row["measure"], row["bucket"], row["count"])
        return list(found.values())


_FIGURES = """
{before}
SELECT s.camera_id, c.name, s.measure, s.bucket, s.count FROM (
    SELECT f.camera_id, f.measure, f.bucket, sum(f.count)::bigint AS count FROM {slots}
    GROUP BY f.camera_id, f.measure, f.bucket) AS s
LEFT JOIN results.cameras AS c USING (camera_id)
ORDER BY s.camera_id
"""
_PLAIN = _FIGURES.format(
    before="",
    slots="""results.frame_statistics AS f
    WHERE f.span = %(span)s AND f.at >= %(since)s
      AND (%(camera_id)s::text IS NULL OR f.camera_id = %(camera_id)s)""",
)
# OFFSET 0 keeps the planner from one scan of the whole table for all parts.
_WITH_DAYS = _FIGURES.format(
    before="""
WITH parts AS MATERIALIZED (
    SELECT starts, ends, CASE WHEN day AND EXISTS (
        SELECT FROM results.frame_statistics AS d WHERE d.span = 86400 AND d.at = p.starts)
        THEN 86400 ELSE %(span)s END AS span
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[], %(days)s::boolean[])
        AS p(starts, ends, day))""",
    slots="""parts AS p, LATERAL (
        SELECT f.* FROM results.frame_statistics AS f
        WHERE f.span = p.span AND f.at >= p.starts AND f.at < coalesce(p.ends, 'infinity')
          AND (%(camera_id)s::text IS NULL OR f.camera_id = %(camera_id)s)
        OFFSET 0) AS f""",
)
