"""Deletes the stored pictures of erased persons: first the row, then the object."""

from typing import Any

import psycopg

from results.adapters.keeper import Job
from results.adapters.objects import ObjectStore

_BATCH = 500


def erase_pictures(objects: ObjectStore) -> Job:
    """Delete the pictures of erased persons; returns how many.

    A picture that is no longer linked is listed until its object is gone, so that a crash leaves
    neither a link without a picture nor a picture that nobody knows of; each is counted once. One
    that comes late, or again, is found in the next round.
    """

    def job(connection: psycopg.Connection[Any]) -> int:
        connection.execute(_UNLINK)
        deleted = 0
        while found := connection.execute(_DOOMED, (_BATCH,)).fetchall():
            for sha256, linked in found:
                if not linked:
                    objects.delete(sha256)
                connection.execute(_DONE, {"sha256": sha256})
            deleted += len(found)
        return deleted

    return job


_UNLINK = """
WITH gone AS (
    DELETE FROM results.snapshots AS s USING results.erased_pictures AS e
    WHERE e.shown_by = s.detection_id OR e.shown_by = s.sighting_id
    RETURNING s.sha256, e.person_id
)
INSERT INTO results.doomed_objects (sha256, person_id)
SELECT sha256, min(person_id) FROM gone GROUP BY sha256 ON CONFLICT DO NOTHING
"""
_DOOMED = """
SELECT sha256, EXISTS (SELECT FROM results.snapshots AS s WHERE s.sha256 = d.sha256)
FROM results.doomed_objects AS d ORDER BY doomed_at, sha256 LIMIT %s
"""
_DONE = """
WITH gone AS (DELETE FROM results.doomed_objects WHERE sha256 = %(sha256)s RETURNING person_id)
UPDATE results.erased_persons AS p SET pictures = pictures + 1
FROM gone WHERE p.person_id = gone.person_id
"""
