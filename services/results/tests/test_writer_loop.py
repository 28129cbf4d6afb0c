"""The writer's loop on a broker in memory: positions, fences, retries, poison."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from typing_extensions import override

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.deadletters import DeadLetterLimit, DeadLetterPolicy
from mesh.errors import DeadLetterLimitError, TransientError
from mesh.kafka.standstill import Standstill
from mesh.memory import InMemoryBroker, InMemoryConsumer
from mesh.ports import NoMetrics
from mesh.record import RawRecord, Record, TopicPartition
from mesh.retry import RetryPolicy
from mesh.testing import CAMERA_ID, a_sighting
from mesh.topics import Topics
from results.adapters.writer import MAX_FENCES, BatchWriter, Writer
from results.adapters.writer_reader import PositionedReader
from results.adapters.writer_store import FencedError, Move, UnstorableError
from results.domain.changes import Changes
from results.domain.rows import Row

from .stored_events import a_result, a_snapshot

GROUP = "writer"
TOPICS = Topics()
RESULTS = TOPICS("results")
SNAPSHOTS = TOPICS("snapshots")
SOURCE = TopicPartition(RESULTS, 0)


class InMemoryStore:
    """Keeps what it is given; fenced like the real one."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = {}
        self.numbers: list[int] = []
        self.failed: list[str] = []
        self.links: list[str] = []
        self.events: list[Row] = []
        self.away = False
        self.after_commit: Callable[[], None] = lambda: None
        self.unstorable: Collection[int] = ()

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        self._reach()
        return {each: self.offsets.setdefault(each, 0) for each in partitions}

    def rewind(self, move: Move) -> None:
        self._fence([move])

    def apply(self, moves: Sequence[Move], changes: Changes) -> None:
        self._reach()
        self._check(moves)
        numbers = [result.frame.sequence_number for result in changes.results]
        if set(numbers) & set(self.unstorable):
            raise UnstorableError("refused")
        self._fence(moves)
        self.numbers += [number for number in numbers if number not in self.numbers]
        self.failed += [e.reason for e in changes.entries if e.outcome == "failed"]
        self.links += [row["detection_id"] for row in changes.snapshots]
        self.events += changes.rows.get("events", [])
        self.after_commit()

    def _reach(self) -> None:
        if self.away:
            raise TransientError("the database is away")

    def _check(self, moves: Sequence[Move]) -> None:
        fenced = [m.partition for m in moves if self.offsets.get(m.partition) != m.start]
        if fenced:
            raise FencedError(fenced)

    def _fence(self, moves: Sequence[Move]) -> None:
        self._check(moves)
        self.offsets |= {move.partition: move.end for move in moves}


class InMemoryPictures:
    """An object store that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.names: set[str] = set()

    def upload(self, records: Sequence[Record[Any]]) -> None:
        pictures = [r.event.sha256 for r in records if hasattr(r.event, "sha256")]
        if self.away and pictures:
            raise TransientError("the object store is away")
        self.names |= set(pictures)


class Letters:
    """Dead letters in a list."""

    def __init__(self) -> None:
        self.parked: list[tuple[int, str]] = []
        self.limit = DeadLetterLimit(DeadLetterPolicy(keys=1, in_a_row=5))

    def park(self, record: RawRecord, reason: str) -> None:
        self.parked.append((record.offset, reason.split(":")[0]))
        self.limit.rejected(record.key)

    def accepted(self, records: Sequence[RawRecord]) -> None:
        for record in records:
            self.limit.accepted(record.key)


class Beats:
    """Counts the turns."""

    count = 0

    def beat(self) -> None:
        self.count += 1


class Lags(NoMetrics):
    """Remembers what waits in the broker, as it was told last."""

    def __init__(self) -> None:
        self.told: dict[TopicPartition, int] = {}

    @override
    def lag(self, partition: TopicPartition, records: int) -> None:
        self.told[partition] = records


class Bench:
    """A broker, the stores, and as many writers as a test wants."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker = InMemoryBroker((RESULTS, SNAPSHOTS), partitions=1, clock=self.clock)
        self.codec = AvroCodec.in_memory(TOPICS)
        self.store = InMemoryStore()
        self.pictures = InMemoryPictures()
        self.letters = Letters()
        self.lags = Lags()

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            self.broker.append(RESULTS, CAMERA_ID, self.codec.encode(RESULTS, a_result(number)))

    def writer(
        self, *topics: str, attempts: int | None = None, join: bool = True
    ) -> tuple[Writer, InMemoryConsumer, PositionedReader]:
        consumer = self.broker.consumer(GROUP)
        ends = Standstill(
            self.broker.bounds(topics or (RESULTS,)),
            self.clock,
            timedelta(minutes=1),
            start=lambda ask: ask(),
        )
        reader = PositionedReader(
            consumer=consumer, positions=self.store, ends=ends, clock=self.clock
        )
        writer = Writer(
            reader=reader,
            batches=BatchWriter(
                reader=reader,
                store=self.store,
                pictures=self.pictures,
                dead_letters=self.letters,
                codec=self.codec,
                catalogue_name=lambda topic: TOPICS.spec(topic).name,
                clock=self.clock,
            ),
            retry=RetryPolicy(attempts=attempts),
            clock=self.clock,
            heartbeat=Beats(),
            metrics=self.lags,
            max_records=100,
            max_wait=timedelta(milliseconds=10),
        )
        if join:
            reader.subscribe(topics or (RESULTS,))
        return writer, consumer, reader


@pytest.fixture
def bench() -> Bench:
    return Bench()


def turns(writer: Writer, count: int = 4) -> None:
    for _ in range(count):
        writer.turn()


def test_a_new_group_starts_at_the_beginning(bench: Bench) -> None:
    bench.publish(0, 1, 2)
    writer, _, _ = bench.writer()
    assert writer.check() == "no partitions assigned yet"
    turns(writer)
    assert bench.store.numbers == [0, 1, 2]
    assert bench.store.offsets == {SOURCE: 3}
    assert writer.check() is None


def test_a_writer_that_lost_its_partitions_is_not_ready_until_it_has_some(bench: Bench) -> None:
    writer, _, reader = bench.writer()
    turns(writer)
    reader._lost([SOURCE])
    assert writer.check() == "no partitions assigned yet"
    reader._assigned([SOURCE])
    assert writer.check() is None


def test_a_writer_goes_on_where_the_database_says_whatever_the_broker_says(bench: Bench) -> None:
    bench.publish(0, 1, 2)
    bench.store.offsets[SOURCE] = 2
    writer, _, _ = bench.writer()
    turns(writer)
    assert bench.store.numbers == [2]


def test_replaying_a_topic_changes_nothing(bench: Bench) -> None:
    bench.publish(0, 1, 2)
    for _ in range(2):
        bench.store.offsets.clear()
        writer, consumer, _ = bench.writer()
        turns(writer)
        consumer.close()
    assert bench.store.numbers == [0, 1, 2]


def test_a_lost_answer_to_a_commit_does_not_write_twice(bench: Bench) -> None:
    bench.publish(0, 1)

    def lost() -> None:
        bench.store.after_commit = lambda: None
        raise TransientError("the connection broke in COMMIT")

    bench.store.after_commit = lost
    writer, _, _ = bench.writer()
    turns(writer, 6)
    bench.publish(2)
    turns(writer)
    assert bench.store.numbers == [0, 1, 2]
    assert bench.store.offsets == {SOURCE: 3}


def test_a_zombie_writes_nothing_and_finds_back(bench: Bench) -> None:
    writer, _, _ = bench.writer()
    turns(writer)
    bench.publish(0, 1)
    bench.store.offsets[SOURCE] = 1  # another writer was here
    turns(writer)
    assert bench.store.numbers == [1]


def test_a_writer_that_is_always_fenced_gives_up(bench: Bench) -> None:
    writer, _, _ = bench.writer()
    turns(writer)
    bench.publish(0)
    bench.store._check = _always_fenced  # type: ignore[method-assign]  # two writers for ever
    with pytest.raises(FencedError):
        turns(writer, MAX_FENCES * 3)


def _always_fenced(moves: Sequence[Move]) -> None:
    raise FencedError([move.partition for move in moves])


def test_a_database_that_is_away_is_waited_for(bench: Bench) -> None:
    bench.publish(0)
    bench.store.away = True
    writer, _, _ = bench.writer()
    turns(writer, 5)
    assert writer.check() == "the database is away"
    bench.store.away = False
    turns(writer, 3)
    assert bench.store.numbers == [0]
    assert writer.check() is None


def test_retries_end_when_the_policy_says_so(bench: Bench) -> None:
    bench.store.away = True
    writer, _, _ = bench.writer(attempts=3)
    with pytest.raises(TransientError):
        turns(writer, 10)


def test_a_link_is_written_only_after_its_picture(bench: Bench) -> None:
    snapshot = a_snapshot(a_result(0))
    bench.broker.append(SNAPSHOTS, CAMERA_ID, bench.codec.encode(SNAPSHOTS, snapshot))
    bench.pictures.away = True
    writer, _, _ = bench.writer(SNAPSHOTS)
    turns(writer)
    assert bench.store.links == []
    bench.pictures.away = False
    turns(writer)
    assert bench.store.links == [snapshot.detection_id]
    assert bench.pictures.names == {snapshot.sha256}


def test_poison_is_parked_and_its_neighbours_are_written(bench: Bench) -> None:
    bench.publish(0)
    bench.broker.append(RESULTS, CAMERA_ID, b"no avro")
    bench.broker.append(RESULTS, CAMERA_ID, None)
    bench.publish(1, 2, 3)
    bench.store.unstorable = (2,)
    writer, _, _ = bench.writer()
    turns(writer)
    assert bench.store.numbers == [0, 1, 3]
    assert bench.store.failed == ["unstorable"]
    assert sorted(bench.letters.parked)[1:] == [(2, "unstorable"), (4, "unstorable")]
    assert bench.letters.parked[0][0] == 1
    assert bench.store.offsets == {SOURCE: 6}


def test_a_picture_with_another_digest_is_parked(bench: Bench) -> None:
    snapshot = replace(a_snapshot(a_result(0)), sha256="0" * 64)
    bench.broker.append(SNAPSHOTS, CAMERA_ID, bench.codec.encode(SNAPSHOTS, snapshot))
    writer, _, _ = bench.writer(SNAPSHOTS)
    turns(writer)
    assert bench.letters.parked == [(0, "unstorable")]
    assert bench.store.links == []


def test_a_frame_that_not_even_the_ledger_takes_is_only_parked(bench: Bench) -> None:
    bench.publish(-1, 0)
    writer, _, _ = bench.writer()
    turns(writer)
    assert bench.letters.parked == [(0, "unstorable")]
    assert bench.store.numbers == [0]


def test_too_many_dead_letters_end_the_process(bench: Bench) -> None:
    for _ in range(5):
        bench.broker.append(RESULTS, CAMERA_ID, b"no avro")
    writer, _, _ = bench.writer()
    with pytest.raises(DeadLetterLimitError):
        turns(writer)


def test_partitions_that_are_taken_away_take_their_records_along(bench: Bench) -> None:
    bench.publish(0)
    bench.store.away = True
    first, consumer, reader = bench.writer()
    bench.store.offsets[SOURCE] = 0
    bench.store.away = False
    first.turn()  # joins
    reader.join()
    reader.read(10, timedelta(0))
    assert len(reader.pending) == 1
    consumer.expire()
    second, _, _ = bench.writer()
    turns(second)
    turns(first)
    assert bench.store.numbers == [0]
    assert reader.pending == []


def test_a_topic_that_was_created_anew_is_read_from_its_start(bench: Bench) -> None:
    bench.store.offsets[SOURCE] = 50
    bench.publish(0, 1)
    writer, consumer, _ = bench.writer()
    turns(writer, 2)
    consumer.seek(SOURCE, 0)  # as a real broker does with a position behind its end
    turns(writer, 6)
    assert bench.store.numbers == [0, 1]
    assert bench.store.offsets == {SOURCE: 2}


def test_records_that_expired_unread_do_not_stop_the_writer(bench: Bench) -> None:
    bench.publish(0, 1, 2)
    bench.broker.truncate(SOURCE, 2)
    writer, _, _ = bench.writer()
    turns(writer)
    assert bench.store.numbers == [2]
    (told,) = bench.store.events
    assert (told["event_type"], told["attributes"]["last_missing"]) == ("offset_gap", "1")


def test_the_loop_ends_when_it_is_told_to(bench: Bench) -> None:
    stop = threading.Event()
    bench.publish(0)
    bench.store.after_commit = stop.set
    writer, _, _ = bench.writer(join=False)
    writer.run((RESULTS,), stop)
    assert bench.store.numbers == [0]


def test_what_waits_is_told_until_it_is_written(bench: Bench) -> None:
    writer, _, _ = bench.writer()
    turns(writer)
    bench.publish(0, 1, 2)
    bench.clock.advance(5)
    writer.turn()
    assert bench.lags.told == {SOURCE: 3}
    bench.clock.advance(5)
    writer.turn()
    assert bench.lags.told == {SOURCE: 0}


def test_what_waits_counts_though_the_client_never_fetched_any(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InMemoryConsumer, "_fetch", lambda *_: [])
    monkeypatch.setattr(InMemoryConsumer, "lag", lambda _: {})  # ends come with what is fetched
    bench.store.offsets[SOURCE] = 1
    bench.publish(0, 1, 2)
    writer, _, _ = bench.writer()
    turns(writer)
    bench.clock.advance(5)
    writer.turn()
    assert bench.store.numbers == []
    assert bench.lags.told == {SOURCE: 2}


def test_other_tables_take_rows_too(bench: Bench) -> None:
    topic = TOPICS("sightings")
    bench.broker.create_topic(topic, 1)
    bench.broker.append(topic, CAMERA_ID, bench.codec.encode(topic, a_sighting()))
    writer, _, _ = bench.writer(topic)
    turns(writer)
    assert bench.store.offsets == {TopicPartition(topic, 0): 1}
