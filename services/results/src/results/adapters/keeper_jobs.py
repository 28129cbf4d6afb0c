"""What the keeper does: each job may run at any time, twice, or be cut off."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from mesh.clock import Clock
from results.adapters.forgetting import forget
from results.adapters.keeper import Job
from results.adapters.keeper_pictures import erase_pictures
from results.adapters.keeper_statistics import ROLLED_DAYS, expire_statistics, roll_up
from results.adapters.objects import ObjectStore, StoredObject
from results.domain.retention import RetentionPolicy

PARTITIONED = ("detections",)
MONTHS_AHEAD = 3
ORPHAN_AGE = timedelta(hours=1)
"""A picture this old has its link, or never gets one."""
ORPHAN_INTERVAL = timedelta(hours=1)
ROLL_UP_INTERVAL = timedelta(hours=1)
ERASURE_DELAY = timedelta(minutes=1)
"""By then every transaction that did not see the erasure has ended."""
ERASED_PICTURES_AGE = timedelta(days=8)
"""Longer than the topic of snapshots keeps any."""
_CHUNK = 5000

Connection = psycopg.Connection[Any]


def all_jobs(policy: RetentionPolicy, objects: ObjectStore, clock: Clock) -> list[tuple[str, Job]]:
    """Every job with its name, in the order of a round."""
    expiring = (
        ("sightings", "ended_at", policy.sightings),
        ("alerts", "raised_at", policy.sightings),
        ("attendance", "marked_at", policy.sightings),
        ("snapshots", "taken_at", policy.snapshots),
        ("events", "occurred_at", policy.events),
        ("audit", "occurred_at", policy.audit),
        ("ledger", "last_at", policy.ledger),
        ("epochs", "seen_at", policy.ledger),
        ("corrections", "received_at", policy.ledger),
        ("outbox", "sent_at", policy.outbox),
        ("jobs", "created_at", policy.jobs),
        ("frame_dedup", "expires_at", timedelta(0)),
        ("erased_pictures", "erased_at", ERASED_PICTURES_AGE),
    )
    return [
        ("months_ahead", months_ahead(clock)),
        ("months_past", months_past(policy.detections, clock)),
        *((f"expire_{t}", expire(t, column, age, clock)) for t, column, age in expiring),
        ("job_embeddings", forget_embeddings(policy.job_embeddings, clock)),
        ("roll_up_yesterday", roll_up(clock, days=1)),
        ("roll_up_days", _seldom(roll_up(clock, days=ROLLED_DAYS), clock, ROLL_UP_INTERVAL)),
        ("expire_statistics", expire_statistics(clock)),
        ("erased_persons", sweep_erased(clock)),
        ("erased_pictures", erase_pictures(objects)),
        ("orphans", _seldom(orphans(objects, clock), clock, ORPHAN_INTERVAL)),
    ]


def forget_embeddings(age: timedelta, clock: Clock) -> Job:
    """Forget the embeddings of jobs that ended longer ago."""

    def job(connection: Connection) -> int:
        return connection.execute(
            "UPDATE results.jobs SET embeddings = NULL"
            " WHERE embeddings IS NOT NULL AND finished_at < %s",
            (clock.now() - age,),
        ).rowcount

    return job


def months_ahead(clock: Clock) -> Job:
    """Create the partitions of this month and the next ones."""

    def job(connection: Connection) -> int:
        created = 0
        for table in PARTITIONED:
            for months in range(MONTHS_AHEAD + 1):
                row = connection.execute(
                    "SELECT results.ensure_month(%s, %s + make_interval(months => %s))::int",
                    (table, clock.now(), months),
                ).fetchone()
                created += row[0] if row is not None else 0
        return created

    return job


def months_past(age: timedelta, clock: Clock) -> Job:
    """Drop the partitions whose last moment is older than `age`."""

    def job(connection: Connection) -> int:
        limit = clock.now() - age
        dropped = 0
        for table in PARTITIONED:
            for name in _months(connection, table):
                year, month = (int(part) for part in name.rsplit("_", 2)[1:])
                end = limit.replace(
                    year=year + month // 12, month=month % 12 + 1, day=1,
                    hour=0, minute=0, second=0, microsecond=0,
                )  # fmt: skip
                if end <= limit:
                    drop = sql.SQL("DROP TABLE {}").format(sql.Identifier("results", name))
                    connection.execute(drop)
                    dropped += 1
        return dropped

    return job


def _months(connection: Connection, table: str) -> list[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass ORDER BY 1",
        (f"results.{table}",),
    )
    return [name for (name,) in rows]


def expire(table: str, column: str, age: timedelta, clock: Clock) -> Job:
    """Delete rows older than `age`, a few thousand per transaction."""
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM {table} WHERE {column} < %s LIMIT %s))"
    ).format(table=sql.Identifier("results", table), column=sql.Identifier(column))

    def job(connection: Connection) -> int:
        deleted = 0
        while True:
            count = connection.execute(statement, (clock.now() - age, _CHUNK)).rowcount
            deleted += count
            if count < _CHUNK:
                return deleted

    return job


def sweep_erased(clock: Clock) -> Job:
    """Remove what still names an erased person: late rows, and places among the candidates."""

    def job(connection: Connection) -> int:
        rows = connection.execute(
            "SELECT person_id FROM results.erased_persons"
            " WHERE swept_at IS NULL AND erased_at < %s",
            (clock.now() - ERASURE_DELAY,),
        ).fetchall()
        for (person_id,) in rows:
            with connection.transaction():
                forget(connection, person_id, {"candidates": _FORGET_CANDIDATES})
                connection.execute(_SWEPT, {"person": person_id})
        return len(rows)

    return job


_FORGET_CANDIDATES = """
UPDATE results.detections SET decision = results.without_person(decision, %(person)s)
WHERE decision -> 'candidates'
    @> jsonb_build_array(jsonb_build_object('person_id', %(person)s::text))
"""
_SWEPT = "UPDATE results.erased_persons SET swept_at = now() WHERE person_id = %(person)s"


def orphans(objects: ObjectStore, clock: Clock) -> Job:
    """Delete pictures that no row links to, or that were never finished, once an hour old."""

    def job(connection: Connection) -> int:
        limit = clock.now() - ORPHAN_AGE
        old = (found for found in objects if found.modified_at < limit)
        return objects.sweep(limit) + sum(
            _delete_orphans(connection, objects, chunk, limit) for chunk in _chunks(old)
        )

    return job


def _delete_orphans(
    connection: Connection, objects: ObjectStore, found: Sequence[StoredObject], limit: datetime
) -> int:
    rows = connection.execute(
        "SELECT sha256 FROM unnest(%s::text[]) AS o(sha256)"
        " WHERE NOT EXISTS (SELECT FROM results.snapshots AS s WHERE s.sha256 = o.sha256)",
        ([item.sha256 for item in found],),
    ).fetchall()
    deleted = 0
    for (sha256,) in rows:
        modified = objects.modified_at(sha256)  # once more: the writer may just have uploaded it
        if modified is not None and modified < limit:
            objects.delete(sha256)
            deleted += 1
    return deleted


def _chunks(found: Iterable[StoredObject]) -> Iterable[list[StoredObject]]:
    iterator = iter(found)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _seldom(job: Job, clock: Clock, interval: timedelta) -> Job:
    """The job at most once per interval."""
    due = clock.monotonic()

    def run(connection: Connection) -> int:
        nonlocal due
        if clock.monotonic() < due:
            return 0
        count = job(connection)
        due = clock.monotonic() + interval.total_seconds()
        return count

    return run
