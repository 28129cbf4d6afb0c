"""The sweep on the database: judged by a barrier, written once, announced through the outbox."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.events import LogEvent, SequenceRange
from mesh.partitioning import partition_of
from mesh.record import TopicPartition
from mesh.testing import CAMERA_ID, EPOCH, NOON
from mesh.topics import Topics
from results.adapters.ledger_metrics import LedgerMetrics
from results.adapters.ledger_sweep import LedgerSweep
from results.adapters.writer_sql import write_book
from results.domain.ledger import Entry, EpochKey, entry_of, fold
from results.domain.numbers import NumberSet
from results.settings import ResultsSettings

from .stored_events import an_entry

pytestmark = pytest.mark.integration

TOPICS = Topics()
SOURCE = TopicPartition(TOPICS("results"), 0)
OTHER = TopicPartition(TOPICS("ledger"), 0)


class Ends(dict[TopicPartition, tuple[int, int]]):
    """Bounds of partitions as a test sets them."""

    def read(self) -> Mapping[TopicPartition, tuple[int, int]]:
        return dict(self)


class Bench:
    """A database, a log without records, and one sweep."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.clock = ManualClock(NOON)
        self.ends = Ends({SOURCE: (0, 0), OTHER: (0, 0)})
        self.registry = CollectorRegistry()
        self.codec = AvroCodec.in_memory(TOPICS)
        self.sweep = LedgerSweep(
            ends=self.ends,
            encode=lambda event: self.codec.encode(TOPICS("events"), event),
            policy=ResultsSettings().sweeps,
            clock=self.clock,
            metrics=LedgerMetrics(self.registry),
            topics=TOPICS,
            instance_id="keeper-1",
        )

    def write(self, *entries: Entry) -> None:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            write_book(cursor, fold(entries))

    def hole(self) -> None:
        """Ten frames of which the fifth never went through."""
        self.write(
            entry_of(an_entry(outcome="captured", reason=None)),
            *(passed(first, last) for first, last in ((0, 3), (5, 9))),
        )

    def after(self, seconds: float) -> int:
        self.clock.advance(seconds)
        return self.sweep(self.connection)

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, arguments or None).fetchall()

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"sightline_ledger_{name}", labels)


def passed(first: int, last: int) -> Entry:
    return Entry(
        session=EpochKey(CAMERA_ID, EPOCH),
        lane="live",
        outcome="processed",
        reason="",
        numbers=NumberSet.of([(first, last + 1)]),
        at=NOON,
        passed=True,
    )


@pytest.fixture
def bench(database: str) -> Iterator[Bench]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield Bench(connection)


LOST = "SELECT reason, numbers::text FROM results.ledger WHERE outcome = 'lost'"


def test_a_loss_is_booked_announced_and_counted_once(bench: Bench) -> None:
    bench.hole()
    assert [bench.after(10), bench.after(10), bench.after(30)] == [0, 0, 0]
    assert bench.metric("open_frames") == 1
    assert bench.metric("lost_frames_total", reason="crash") == 0
    assert sum(bench.after(20) for _ in range(4)) == 1
    assert bench.rows(LOST) == [("crash", "{[4,5)}")]
    ((key, payload),) = bench.rows("SELECT key, payload FROM results.outbox")
    event = bench.codec.decode(TOPICS("events"), payload)
    assert isinstance(event, LogEvent)
    assert (key, event.camera_id, event.event_type) == (CAMERA_ID, CAMERA_ID, "frames_lost")
    assert (event.severity, event.attributes["crash"]) == ("error", "1")
    assert bench.metric("lost_frames_total", reason="crash") == 1
    assert bench.metric("open_frames") == 0


def test_nothing_is_judged_before_the_writer_has_caught_up(bench: Bench) -> None:
    bench.hole()
    bench.ends[SOURCE] = (0, 100)
    assert [bench.after(60) for _ in range(5)] == [0] * 5
    assert bench.metric("behind_seconds") == 240
    assert bench.rows("SELECT DISTINCT mark FROM results.epochs") == [(None,)]
    bench.connection.execute(
        "INSERT INTO results.writer_offsets (topic, partition, next_offset) VALUES (%s, 0, 100)",
        (SOURCE.topic,),
    )
    assert [bench.after(61) for _ in range(3)] == [0, 0, 1]
    assert bench.metric("behind_seconds") == 0


@pytest.mark.parametrize("span", [(100, 120), (0, 40)])
def test_what_expired_unread_or_was_created_anew_is_not_waited_for(
    bench: Bench, span: tuple[int, int]
) -> None:
    bench.hole()
    bench.connection.execute(
        "INSERT INTO results.writer_offsets (topic, partition, next_offset) VALUES (%s, 0, 50)",
        (SOURCE.topic,),
    )
    bench.ends[SOURCE] = (0, 100)
    bench.after(61)
    bench.ends[SOURCE] = span
    bench.after(61)
    bench.ends[SOURCE] = (50, 50)
    assert sum(bench.after(61) for _ in range(3)) == 1


def test_a_gap_that_a_consumer_met_makes_it_retention(bench: Bench) -> None:
    bench.hole()
    partition = partition_of(CAMERA_ID, ResultsSettings().partitions)
    bench.connection.execute(
        "INSERT INTO results.events (event_id, event_type, occurred_at, severity, service,"
        " instance_id, message, attributes) VALUES ('evt_1', 'offset_gap', %s, 'error',"
        " 'detection', 'd', 'gone', jsonb_build_object('topic', %s::text, 'partition', %s::text,"
        " 'since', %s::text, 'until', %s::text))",
        (NOON, TOPICS("frames.live"), str(partition), NOON.isoformat(), NOON.isoformat()),
    )
    assert sum(bench.after(61) for _ in range(4)) == 1
    assert bench.rows(LOST) == [("retention", "{[4,5)}")]


def test_a_settled_epoch_is_left_alone_until_it_grows(bench: Bench) -> None:
    bench.write(passed(0, 9), entry_of(an_entry(ranges=(), closes_epoch=True)))
    bench.after(10)
    bench.after(10)
    unsettled = "SELECT count(*) FROM results.epochs WHERE settled_at IS NULL"
    assert bench.rows(unsettled) == [(0,)]
    bench.write(passed(3, 9))
    assert bench.rows(unsettled) == [(0,)]
    more = (SequenceRange(first=10, last=10),)
    bench.write(entry_of(an_entry(outcome="captured", reason=None, ranges=more)))
    assert bench.rows(unsettled) == [(1,)]
    bench.after(10)
    assert bench.metric("open_frames") == 1


def test_a_silent_epoch_is_over_and_goes_on_when_its_source_does(bench: Bench) -> None:
    bench.write(passed(0, 9))
    bench.after(10)
    bench.after(700)
    bench.after(10)
    assert bench.rows("SELECT ended_at, settled_at IS NULL FROM results.epochs") == [
        (NOON + timedelta(minutes=10), False)
    ]
    bench.write(passed(10, 10))
    assert bench.rows("SELECT ended_at, settled_at IS NULL FROM results.epochs") == [(None, True)]


def test_a_sweep_with_nothing_to_do_changes_nothing(bench: Bench) -> None:
    bench.write(passed(0, 9))
    bench.after(10)
    bench.after(10)
    before = bench.rows("SELECT xmin::text, * FROM results.epochs")
    bench.after(10)
    assert bench.rows("SELECT xmin::text, * FROM results.epochs") == before


def test_the_rows_of_a_balanced_block_are_measured_until_they_grow(bench: Bench) -> None:
    captured = an_entry(outcome="captured", reason=None, ranges=(SequenceRange(first=0, last=10),))
    bench.write(passed(0, 8), entry_of(captured), entry_of(an_entry(closes_epoch=True)))
    shed = entry_of(an_entry(ranges=(SequenceRange(first=9, last=10),)))
    bench.write(shed)
    bench.after(10)
    bench.after(10)
    sizes = "SELECT outcome, size FROM results.ledger ORDER BY outcome"
    assert bench.rows(sizes) == [("captured", None), ("processed", 9), ("shed", 11)]
    bench.write(passed(9, 9), shed)
    assert bench.rows(sizes) == [("captured", None), ("processed", None), ("shed", 11)]
