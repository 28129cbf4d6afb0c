"""Figures are counted in the writer's transaction, once, and added up for whoever asks."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.clock import ManualClock
from mesh.events import Outcome
from mesh.record import TopicPartition
from mesh.testing import CAMERA_ID, NOON, a_record
from results.adapters.keeper_statistics import ROLLED_DAYS, expire_statistics, roll_up
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_statistics import PostgresStatistics
from results.adapters.writer_store import Move, PostgresStore
from results.domain.changes import changes_of
from results.domain.slots import DAY, day_of
from results.domain.statistics import HOUR, MINUTE, Figures

from .stored_events import a_result, an_entry

pytestmark = pytest.mark.integration

SOURCE = TopicPartition("sightline.results", 0)


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    made = PostgresStore(database)
    yield made
    made.close()


@pytest.fixture
def statistics(database: str) -> Iterator[PostgresStatistics]:
    pool = Database(database, size=1)
    pool.open()
    yield PostgresStatistics(pool)
    pool.close()


def write(store: PostgresStore, *events: tuple[str, Any]) -> None:
    records = [(topic, a_record(event, offset=n)) for n, (topic, event) in enumerate(events)]
    start = store.positions([SOURCE])[SOURCE]
    store.apply([Move(SOURCE, start, start + 1)], changes_of(records))


def the_camera(statistics: PostgresStatistics, span: timedelta = MINUTE) -> Figures:
    (found,) = statistics.figures(span, NOON, CAMERA_ID)
    assert (found.camera_id, found.camera_name) == (CAMERA_ID, None)
    return found.figures


def test_batches_add_up_and_the_same_records_again_change_nothing(
    store: PostgresStore, statistics: PostgresStatistics
) -> None:
    failed = ("results", a_result(50, outcome=Outcome.FAILED, reason="unreadable_image"))
    shed = ("ledger", an_entry())
    first = [("results", a_result(number)) for number in range(20, 25)]
    second = [("results", a_result(number)) for number in range(23, 30)]

    write(store, *first, failed, shed)
    write(store, *second, shed, failed)
    before = the_camera(statistics)
    write(store, *first, *second, failed, shed)

    assert the_camera(statistics) == before == the_camera(statistics, HOUR)
    assert (before.frames, before.detections, before.identified) == (10, 10, 10)
    assert before.drops == {"failed": {"unreadable_image": 1}, "shed": {"stale": 10}}
    assert sum(before.times["total"].values()) == 10


def test_a_correction_is_no_second_frame(
    store: PostgresStore, statistics: PostgresStatistics
) -> None:
    write(store, ("results", a_result(1)))
    write(store, ("results", a_result(1, revision=1)))
    assert the_camera(statistics).frames == 1


def test_a_frame_that_arrives_after_it_was_shed_is_counted_as_processed_too(
    store: PostgresStore, statistics: PostgresStatistics
) -> None:
    write(store, ("ledger", an_entry()))
    write(store, ("results", a_result(3)))
    figures = the_camera(statistics)
    assert (figures.frames, figures.drops) == (1, {"shed": {"stale": 10}})


def test_only_the_slots_of_the_period_count(
    store: PostgresStore, statistics: PostgresStatistics
) -> None:
    write(store, ("results", a_result(1)))
    assert statistics.figures(MINUTE, NOON + MINUTE, None) == []
    assert statistics.figures(MINUTE, NOON, "cam_other") == []


def test_the_keeper_forgets_minutes_after_hours_and_hours_after_a_week(
    database: str, store: PostgresStore, statistics: PostgresStatistics
) -> None:
    write(store, ("results", a_result(1)))
    clock = ManualClock(NOON + timedelta(hours=3))
    with psycopg.connect(database, autocommit=True) as connection:
        assert expire_statistics(clock)(connection) == 0
        clock.advance(1)
        assert expire_statistics(clock)(connection) > 0
        assert statistics.figures(MINUTE, NOON, None) == []
        assert the_camera(statistics, HOUR).frames == 1
        clock.advance(timedelta(days=8).total_seconds())
        assert expire_statistics(clock)(connection) > 0
    assert statistics.figures(HOUR, NOON, None) == []


@pytest.fixture
def hours(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Nine days of hours of one camera, every other day of a second; each count occurs once."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO results.frame_statistics"
            " SELECT 3600, %s::timestamptz + number * interval '1 hour', camera, 'frames', 0,"
            " (1 + number) * weight FROM generate_series(0, 9 * 24 - 1) AS number,"
            " (VALUES ('cam_one', 1), ('cam_two', 1000)) AS k(camera, weight)"
            " WHERE weight = 1 OR number / 24 IN (0, 2, 4, 6, 8)",
            (WEEK_AGO,),
        )
        yield connection


WEEK_AGO = day_of(NOON) - 8 * DAY


def frames(statistics: PostgresStatistics, since: datetime) -> dict[str, int]:
    return {c.camera_id: c.figures.frames for c in statistics.figures(HOUR, since, None)}


def expected(since: datetime) -> dict[str, int]:
    first = (since - WEEK_AGO) // HOUR
    one = sum(number + 1 for number in range(first, 9 * 24))
    two = sum(1000 * (number + 1) for number in range(first, 9 * 24) if number // 24 % 2 == 0)
    return {"cam_one": one, "cam_two": two}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    hour=st.integers(0, 8 * 24),
    rolled=st.sets(st.integers(1, 9)),
    length=st.sampled_from([1, 3, ROLLED_DAYS]),
)
def test_whatever_was_rolled_up_no_hour_is_missing_or_counted_twice(
    hours: psycopg.Connection[Any],
    statistics: PostgresStatistics,
    hour: int,
    rolled: set[int],
    length: int,
) -> None:
    hours.execute("DELETE FROM results.frame_statistics WHERE span = 86400")
    for number in rolled:
        roll_up(ManualClock(WEEK_AGO + number * DAY + HOUR), days=length)(hours)
    since = WEEK_AGO + hour * HOUR
    assert frames(statistics, since) == expected(since)


def test_days_that_are_over_are_rolled_up_and_again_when_late_frames_come(
    hours: psycopg.Connection[Any], statistics: PostgresStatistics
) -> None:
    job = roll_up(ManualClock(NOON), days=ROLLED_DAYS)
    assert job(hours) == 10
    assert job(hours) == 0
    today = hours.execute("SELECT max(at) FROM results.frame_statistics WHERE span = 86400")
    assert today.fetchone() == (day_of(NOON) - DAY,)

    late = "UPDATE results.frame_statistics SET count = count + 7 WHERE span = 3600 AND at = %s"
    hours.execute(late + " AND camera_id = 'cam_one'", (WEEK_AGO + 30 * HOUR,))
    assert job(hours) == 1
    found = frames(statistics, WEEK_AGO)
    assert found["cam_one"] == expected(WEEK_AGO)["cam_one"] + 7


def test_a_day_whose_hours_expire_is_never_rolled_up_again(
    hours: psycopg.Connection[Any], statistics: PostgresStatistics
) -> None:
    clock = ManualClock(day_of(NOON) + DAY - MINUTE)
    roll_up(clock, days=ROLLED_DAYS)(hours)
    since = day_of(NOON) - ROLLED_DAYS * DAY
    expire_statistics(clock)(hours)
    assert roll_up(clock, days=ROLLED_DAYS)(hours) == 0
    assert frames(statistics, since) == expected(since)
