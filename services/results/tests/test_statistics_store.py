"""Figures are counted in the writer's transaction, once, and added up for whoever asks."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from mesh.clock import ManualClock
from mesh.events import Outcome
from mesh.record import TopicPartition
from mesh.testing import CAMERA_ID, NOON, a_record
from results.adapters.keeper_statistics import expire_statistics
from results.adapters.postgres_gateway import Database
from results.adapters.postgres_gateway_statistics import PostgresStatistics
from results.adapters.writer_store import Move, PostgresStore
from results.domain.changes import changes_of
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
