"""The keeper creates months ahead, forgets what is old, and cleans up after others."""

import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typing_extensions import override

from mesh.claims import ClaimChecks, ClaimError
from mesh.clock import ManualClock, SystemClock
from mesh.errors import TransientError
from mesh.events import Lane
from mesh.record import TopicPartition
from mesh.retry import RetryPolicy
from mesh.testing import PERSON_ID, a_candidate, a_decision, a_result_detection
from results.adapters.keeper import Job, Keeper
from results.adapters.keeper_frames import expired_frames
from results.adapters.keeper_jobs import (
    ERASURE_DELAY,
    all_jobs,
    expire,
    months_ahead,
    months_past,
    orphans,
    sweep_erased,
)
from results.adapters.objects import ObjectStore
from results.adapters.writer_store import Move, PostgresStore
from results.domain.changes import Changes
from results.domain.rows import snapshot_row
from results.settings import ResultsSettings

from .stored_events import a_result, a_snapshot

pytestmark = pytest.mark.integration

JUNE = datetime(2026, 6, 15, tzinfo=UTC)


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as made:
        yield made


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"file://{tmp_path / 'objects'}")


def months(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        "SELECT relid::regclass::text FROM pg_partition_tree('results.detections')"
        " WHERE isleaf ORDER BY 1"
    )
    return [name.rpartition("detections_")[2] for (name,) in rows]


class Beats:
    """Counts the turns."""

    count = 0

    def beat(self) -> None:
        self.count += 1


class Hurried(threading.Event):
    """Nobody waits for it."""

    @override
    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def a_keeper(database: str, *jobs: Job, attempts: int | None = None) -> Keeper:
    return Keeper(
        database,
        [(f"job_{number}", job) for number, job in enumerate(jobs)],
        interval=timedelta(milliseconds=10),
        retry=RetryPolicy(initial=timedelta(milliseconds=1), attempts=attempts),
        clock=SystemClock(),
        heartbeat=Beats(),
    )


def test_months_come_and_go_with_the_clock(connection: psycopg.Connection[Any]) -> None:
    clock = ManualClock(JUNE)
    assert months_ahead(clock)(connection) == 4
    assert months_ahead(clock)(connection) == 0
    assert months(connection) == ["2026_06", "2026_07", "2026_08", "2026_09"]
    clock.advance(timedelta(days=75).total_seconds())  # 29 August
    assert months_past(timedelta(days=28), clock)(connection) == 2
    assert months(connection) == ["2026_08", "2026_09"]
    clock.advance(timedelta(days=150).total_seconds())
    assert months_past(timedelta(days=28), clock)(connection) == 2


def test_the_month_of_the_retention_limit_stays_until_its_end(
    connection: psycopg.Connection[Any],
) -> None:
    december = ManualClock(datetime(2025, 12, 20, tzinfo=UTC))
    months_ahead(december)(connection)
    january = ManualClock(datetime(2026, 1, 30, 23, 59, tzinfo=UTC))
    assert months_past(timedelta(days=30), january)(connection) == 0
    january.advance(60)
    assert months_past(timedelta(days=30), january)(connection) == 1


def test_rows_past_their_retention_are_deleted(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO results.events (event_id, event_type, occurred_at, severity, service,"
        " instance_id, message) SELECT n::text, 'x', %s - make_interval(days => n), 'info', 's',"
        " 'i', 'm' FROM generate_series(0, 5001) n",
        (JUNE,),
    )
    job = expire("events", "occurred_at", timedelta(days=1), ManualClock(JUNE))
    assert job(connection) == 5000
    assert job(connection) == 0


def test_unsent_rows_of_the_outbox_never_expire(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO results.outbox (topic, key, created_at, sent_at) VALUES"
        " ('cameras', 'old and sent', %(at)s, %(at)s), ('cameras', 'old', %(at)s, NULL)",
        {"at": JUNE - timedelta(days=9)},
    )
    assert expire("outbox", "sent_at", timedelta(days=1), ManualClock(JUNE))(connection) == 1
    assert connection.execute("SELECT key FROM results.outbox").fetchall() == [("old",)]


def test_orphans_are_deleted_after_an_hour_and_linked_pictures_stay(
    connection: psycopg.Connection[Any], database: str, objects: ObjectStore, tmp_path: Path
) -> None:
    linked = a_snapshot(a_result(0))
    names = {"linked": linked.sha256}
    objects.write(linked.sha256, linked.image)
    for name in ("old", "new"):
        names[name] = hashlib.sha256(name.encode()).hexdigest()
        objects.write(names[name], name.encode())
    for name in ("linked", "old"):
        path = tmp_path / "objects" / "snapshots" / names[name][:2] / names[name]
        os.utime(path, (0, 0))
    store = PostgresStore(database)
    source = TopicPartition("snapshots", 0)
    store.positions([source])
    store.apply([Move(source, 0, 1)], Changes(snapshots=[snapshot_row(linked)]))
    store.close()
    assert orphans(objects, SystemClock())(connection) == 1
    assert {found.sha256 for found in objects} == {names["linked"], names["new"]}


def test_late_rows_and_candidates_forget_an_erased_person(
    connection: psycopg.Connection[Any], database: str
) -> None:
    near = a_result_detection(
        detection_id="det_near",
        decision=a_decision(identified=False, person_id=None, candidates=(a_candidate(),)),
    )
    store = PostgresStore(database)
    source = TopicPartition("results", 0)
    store.positions([source])
    late = a_result(0)
    frame = a_result(1)
    store.apply(
        [Move(source, 0, 2)],
        Changes(
            results=[
                late,
                type(frame)(frame=frame.frame, outcome=frame.outcome, detections=(near,)),
            ]
        ),
    )
    store.close()
    connection.execute(
        "INSERT INTO results.erased_persons (person_id, tombstone_offset) VALUES (%s, 1)",
        (PERSON_ID,),
    )
    clock = ManualClock(datetime.now(UTC))
    assert sweep_erased(clock)(connection) == 0
    clock.advance(ERASURE_DELAY.total_seconds() + 5)
    assert sweep_erased(clock)(connection) == 1
    assert sweep_erased(clock)(connection) == 0
    rows = connection.execute("SELECT to_jsonb(d)::text FROM results.detections d").fetchall()
    assert len(rows) == 2
    assert not [row for row in rows if PERSON_ID in row[0]]


def test_one_keeper_is_active_at_a_time(database: str) -> None:
    others: list[bool] = []

    def inner(_: psycopg.Connection[Any]) -> int:
        others.append(a_keeper(database).round())
        return 1

    assert a_keeper(database, inner).round() is True
    assert others == [False]


def test_a_job_that_must_wait_does_not_stop_the_others(database: str) -> None:
    ran: list[int] = []

    def away(_: psycopg.Connection[Any]) -> int:
        raise TransientError("the object store is away")

    def locked(_: psycopg.Connection[Any]) -> int:
        raise psycopg.errors.LockNotAvailable("busy")

    def last(_: psycopg.Connection[Any]) -> int:
        ran.append(1)
        return 0

    assert a_keeper(database, away, locked, last).round() is True
    assert ran == [1]


def test_readiness_names_what_a_job_waits_for_until_it_is_back(database: str) -> None:
    stop = threading.Event()
    said: list[str | None] = []

    def job(_: psycopg.Connection[Any]) -> int:
        said.append(keeper.check())
        if len(said) < 3:
            raise TransientError("the broker is away")
        if len(said) == 4:
            stop.set()
        return 0

    keeper = a_keeper(database, job)
    keeper.run(stop)
    waits = "job_0 waits: the broker is away"
    assert said == ["no round finished yet", waits, waits, None]
    assert keeper.check() is None


def test_the_next_round_comes_soon_while_a_job_waits(database: str) -> None:
    stop, clock = Hurried(), ManualClock(JUNE)
    rounds: list[float] = []

    class Turns(Beats):
        @override
        def beat(self) -> None:
            clock.advance(1)

    def job(_: psycopg.Connection[Any]) -> int:
        rounds.append(clock.monotonic())
        if len(rounds) == 2:
            stop.set()
        raise TransientError("the object store is away")

    Keeper(
        database,
        [("job", job)],
        interval=timedelta(hours=1),
        retry=RetryPolicy(),
        clock=clock,
        heartbeat=Turns(),
    ).run(stop)
    assert rounds[1] - rounds[0] < 60


def test_the_keeper_goes_round_until_it_is_told_to_stop(
    database: str, objects: ObjectStore
) -> None:
    stop = threading.Event()
    rounds: list[int] = []

    def job(_: psycopg.Connection[Any]) -> int:
        rounds.append(1)
        if len(rounds) == 2:
            stop.set()
        return 0

    every = all_jobs(ResultsSettings().retention, objects, SystemClock())
    keeper = a_keeper(database, *(each for _, each in every), job)
    assert keeper.check() == "no round finished yet"
    keeper.run(stop)
    assert len(rounds) == 2
    assert keeper.check() is None


def test_a_keeper_without_a_database_gives_up_by_its_policy() -> None:
    keeper = a_keeper("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1", attempts=2)
    with pytest.raises(TransientError, match="database is away"):
        keeper.run(threading.Event())


def test_large_pictures_of_frames_are_deleted_once_no_record_names_them(
    connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    url = f"file://{tmp_path / 'objects'}"
    claims = ClaimChecks(url)
    old = claims.put(b"old", Lane.REQUEST, JUNE - timedelta(hours=3))
    new = claims.put(b"new", Lane.REQUEST, JUNE)
    name, job = expired_frames(url, ManualClock(JUNE))
    assert name == "expire_frames"
    assert (job(connection), job(connection)) == (1, 0)
    assert claims.load(new) == b"new"
    with pytest.raises(ClaimError, match="gone"):
        claims.load(old)
