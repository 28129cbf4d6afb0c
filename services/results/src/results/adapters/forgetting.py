"""Forgets an erased person in every table, and counts what went."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from results.adapters.writer_jobs import FORGET_IN_JOBS

_NOTE_PICTURES = """
INSERT INTO results.erased_pictures (shown_by, person_id)
SELECT detection_id, person_id FROM results.detections AS d WHERE person_id = %(person)s
    AND (received_at > now() - interval '8 days' OR EXISTS (
        SELECT FROM results.snapshots AS s WHERE s.detection_id = d.detection_id))
UNION SELECT sighting_id, person_id FROM results.sightings WHERE person_id = %(person)s
ON CONFLICT DO NOTHING
"""
_FORGET = {
    "persons": "DELETE FROM results.persons WHERE person_id = %(person)s",
    "detections": "UPDATE results.detections SET person_id = NULL, similarity = NULL,"
    " decision = results.without_person(decision, %(person)s) WHERE person_id = %(person)s",
    "sightings": "UPDATE results.sightings SET person_id = NULL WHERE person_id = %(person)s",
    "alerts": "UPDATE results.alerts SET person_id = NULL WHERE person_id = %(person)s",
    "attendance": "DELETE FROM results.attendance WHERE person_id = %(person)s",
    "jobs": FORGET_IN_JOBS,
}
_COUNT = """
UPDATE results.erased_persons AS p SET counts = (
    SELECT jsonb_object_agg(key, total) FROM (
        SELECT key, sum(value::bigint) AS total FROM (
            SELECT key, value FROM jsonb_each_text(p.counts)
            UNION ALL SELECT key, value FROM jsonb_each_text(%(gone)s)
        ) AS every GROUP BY key
    ) AS totals
) WHERE person_id = %(person)s
"""
_NOTHING: Mapping[str, str] = MappingProxyType({})


def forget(
    database: psycopg.Connection[Any] | psycopg.Cursor[Any],
    person_id: str,
    further: Mapping[str, str] = _NOTHING,
) -> None:
    """Remove the person's entry and every link to them; to be called inside a transaction.

    Args:
        database: Where `erased_persons` has a row of the person, which takes the counts.
        person_id: The person.
        further: Statements by what they count, besides those of every erasure.
    """
    person = {"person": person_id}
    database.execute(_NOTE_PICTURES, person)
    statements = {**_FORGET, **further}
    counts = {kind: database.execute(sql, person).rowcount for kind, sql in statements.items()}
    gone = {kind: count for kind, count in counts.items() if count}
    if gone:
        database.execute(_COUNT, {**person, "gone": Jsonb(gone)})
