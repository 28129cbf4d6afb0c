"""Reports what results erased of a person, once rows and pictures are gone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg

from mesh.clock import Clock
from mesh.codec import AvroCodec
from mesh.events import ErasureReport
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.topics import Topics
from results.adapters.keeper import Job
from results.adapters.outbox_sql import LEAVE, outbox_row

Encode = Callable[[ErasureReport], bytes]
_CARRIED = {
    "database": ("results", "sightings", "alerts", "attendance"),
    "objects": ("snapshots",),
}
"""Topics that brought what a store held of a person."""


def erasure_reports(settings: MeshSettings, clock: Clock) -> tuple[str, Job]:
    """The job with its name; it encodes with the schemas of the registry."""
    topics = settings.topics
    registry = ConfluentRegistry(settings.registry_url)
    codec = AvroCodec(registry, topics, SchemaLibrary.packaged())
    encode = partial(codec.encode, topics("erasures"))
    return "erasure_reports", report_erasures(encode, topics, clock)


def report_erasures(encode: Encode, topics: Topics, clock: Clock) -> Job:
    """Leave a report per store in the outbox for each erasure that is done; returns how many."""

    def job(connection: psycopg.Connection[Any]) -> int:
        finished = connection.execute(_FINISHED).fetchall()
        for person_id, request_id, rows, pictures in finished:
            counts = {"database": rows, "objects": {"pictures": pictures}}
            with connection.transaction():
                for report in _reports(person_id, request_id, counts):
                    row = outbox_row(
                        "erasures", person_id, encode(report), event_type="ErasureReport"
                    )
                    connection.execute(LEAVE, row)
                connection.execute(_REPORTED, (person_id,))
        return len(finished)

    def _reports(
        person_id: str, request_id: str, counts: Mapping[str, Mapping[str, int]]
    ) -> Sequence[ErasureReport]:
        now = clock.now()
        return [
            ErasureReport(
                person_id=person_id,
                request_id=request_id,
                service="results",
                store=store,
                counts=found,
                completed_at=now,
                unreadable_after=now + _longest(topics, _CARRIED[store]),
            )
            for store, found in counts.items()
        ]

    return job


def _longest(topics: Topics, names: Sequence[str]) -> timedelta:
    kept = (topics.spec(topics(name)).retention for name in names)
    return max((retention for retention in kept if retention is not None), default=timedelta(0))


_FINISHED = """
SELECT person_id, request_id, counts, pictures FROM results.erased_persons AS p
WHERE reported_at IS NULL AND swept_at IS NOT NULL AND request_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM results.doomed_objects AS d WHERE d.person_id = p.person_id)
    AND NOT EXISTS (
        SELECT FROM results.erased_pictures AS e
        WHERE e.person_id = p.person_id AND EXISTS (
            SELECT FROM results.snapshots AS s
            WHERE s.detection_id = e.shown_by OR s.sighting_id = e.shown_by))
ORDER BY erased_at LIMIT 500
"""
_REPORTED = "UPDATE results.erased_persons SET reported_at = now() WHERE person_id = %s"
