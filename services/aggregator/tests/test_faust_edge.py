"""Where Faust's defaults would break a promise."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.consumer import IntervalTree
from faust.transport.drivers import aiokafka
from faust.transport.drivers.aiokafka import DefaultPartitioner
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from aggregator.adapters.faust_transport import GuardedConsumer, IdempotentProducer, MeshTransport
from aggregator.adapters.runner import AppRunner
from aggregator.settings import AggregatorSettings
from mesh.clock import ManualClock
from mesh.errors import MeshError
from mesh.health import Heartbeat
from mesh.partitioning import partition_of


@given(st.text(min_size=1), st.integers(1, 64))
def test_faust_partitions_like_everyone_else(key: str, partitions: int) -> None:
    places = list(range(partitions))
    assert DefaultPartitioner()(key.encode(), places, places) == partition_of(key, partitions)


def test_the_producer_is_idempotent_and_waits_for_all_replicas() -> None:
    producer: Any = IdempotentProducer.__new__(IdempotentProducer)
    settings = producer._settings_extra()
    assert settings == {"acks": "all", "enable_idempotence": True}
    assert MeshTransport.Producer is IdempotentProducer


async def test_no_fetch_waits_at_the_broker_for_long(tmp_path: Path) -> None:
    app = faust.App("aggregator", broker="kafka://127.0.0.1:1", datadir=tmp_path)
    app.transport = MeshTransport(app.conf.broker_consumer, app)
    ignore = asyncio.sleep
    thread: Any = app.transport.create_consumer(
        callback=ignore, on_partitions_revoked=ignore, on_partitions_assigned=ignore
    )._thread
    ours = thread._create_worker_consumer(app.transport)
    fausts = aiokafka.AIOKafkaConsumerThread._create_worker_consumer(thread, app.transport)
    assert (ours._fetch_max_wait_ms, fausts._fetch_max_wait_ms) == (100, 1500)
    await asyncio.gather(ours.stop(), fausts.stop())
    thread.thread_loop.close()


@pytest.fixture
async def producer() -> AsyncIterator[Any]:
    """A producer that gives up requests at once, and never gets to its broker."""
    app = faust.App("aggregator", broker="kafka://127.0.0.1:1", producer_request_timeout=0.001)
    app.transport = MeshTransport(app.conf.broker_producer, app)
    producer: Any = app.transport.create_producer()._new_producer()
    producer.client._wait_on_metadata = lambda _: asyncio.sleep(0)
    producer._partition = lambda *_: 0
    producer._txn_manager.set_pid_and_epoch(1, 0)
    yield producer
    await producer.client.close()
    producer._closed = True


async def test_a_full_batch_outlasts_an_outage(producer: Any) -> None:
    large = b"-" * 20_000
    await producer.send("results", large)

    second = asyncio.ensure_future(producer.send("results", large))
    done, _ = await asyncio.wait([second], timeout=0.2)

    assert not done
    second.cancel()


async def test_what_waited_for_long_survives_a_broker_that_has_no_leaders_yet(
    producer: Any,
) -> None:
    sent = await producer.send("results", b"a")
    producer._message_accumulator._batches["results", 0][0]._ctime -= 3600

    producer._message_accumulator.drain_by_nodes(ignore_nodes=())

    assert not sent.done()


def test_a_record_that_a_stream_skipped_is_never_acknowledged() -> None:
    @dataclass
    class Message:
        tracked: bool = False

    consumer: Any = GuardedConsumer.__new__(GuardedConsumer)
    assert consumer.ack(Message()) is False


PLACE = TP("recognitions", 0)


def a_consumer(committed: int | None, *, earliest: int = 0) -> Any:
    """Faust's bookkeeping of one partition, without a broker."""

    class Bookkeeping(GuardedConsumer):
        def __init__(self) -> None:
            self._committed_offset = {PLACE: committed}
            self._acked: dict[TP, list[int]] = {PLACE: []}
            self._acked_index: dict[TP, set[int]] = {PLACE: set()}
            self._gap = {PLACE: IntervalTree()}

        async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
            return dict.fromkeys(partitions, earliest)

        def done(self, *offsets: int) -> None:
            self._acked[PLACE] += offsets
            self._acked_index[PLACE].update(offsets)

    return Bookkeeping()


def test_nothing_is_committed_past_a_record_that_is_not_done() -> None:
    consumer = a_consumer(31)
    consumer.done(32, 33)
    assert consumer._new_offset(PLACE) is None
    consumer.done(31)
    assert consumer._new_offset(PLACE) == 34


def test_nothing_is_committed_past_a_first_record_that_is_not_done() -> None:
    consumer = a_consumer(None)
    consumer.done(22, 23)
    assert consumer._new_offset(PLACE) is None
    consumer.done(*range(22))
    assert consumer._new_offset(PLACE) == 24


async def test_records_that_the_broker_still_has_are_never_taken_for_deleted() -> None:
    consumer = a_consumer(31, earliest=10)
    await consumer._add_gap(PLACE, 32, 34)
    consumer.done(31)
    assert consumer._new_offset(PLACE) == 32
    consumer.done(34)
    assert consumer._new_offset(PLACE) is None


async def test_records_that_the_broker_has_deleted_are_passed_over() -> None:
    consumer = a_consumer(31, earliest=40)
    await consumer._add_gap(PLACE, 32, 40)
    assert consumer._new_offset(PLACE) is None
    consumer.done(40)
    assert consumer._new_offset(PLACE) == 41


@pytest.mark.parametrize(
    "subscriptions",
    [
        SimpleNamespace(is_assigned=lambda _: False),
        SimpleNamespace(is_assigned=lambda _: True, subscription=SimpleNamespace(assignment=None)),
    ],
)
def test_a_partition_that_the_client_has_just_lost_has_no_end(
    subscriptions: SimpleNamespace,
) -> None:
    client = SimpleNamespace(_subscription=subscriptions)
    highwater = partial(aiokafka.aiokafka.AIOKafkaConsumer.highwater, client)
    consumer = a_consumer(31)
    consumer._thread = SimpleNamespace(highwater=highwater)
    assert consumer.highwater(PLACE) is None


class FakeApp:
    """Does what a Faust application may do to a process."""

    def __init__(self, *, start_fails: bool = False, crashes: bool = False) -> None:
        self.start_fails, self.crashes = start_fails, crashes
        self.crashed = self.should_stop = self.stopped = False
        self.rebalancing = False
        self.crash_reason: BaseException | None = None
        self.consumer = self
        self.partitions = {1}

    def assignment(self) -> set[int]:
        return self.partitions

    async def start(self) -> None:
        if self.start_fails:
            raise ConnectionError("no broker")
        if self.crashes:
            self.crashed, self.crash_reason = True, OSError("the agent crashed")

    async def stop(self) -> None:
        self.stopped = True


def a_runner(stop: threading.Event) -> AppRunner:
    heartbeat = Heartbeat(ManualClock())
    return AppRunner(
        stop=stop, heartbeat=heartbeat, broker=lambda: None, stop_within=timedelta(seconds=5)
    )


@pytest.fixture
def no_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort would end the test run."""
    monkeypatch.setattr("aggregator.adapters.runner._end_process_in", lambda _: None)


def test_a_process_that_is_asked_to_stop_stops_its_application() -> None:
    stop, app = threading.Event(), FakeApp()
    runner = a_runner(stop)
    assert runner.readiness() == "not started"
    stop.set()
    runner.run(lambda _: app)
    assert app.stopped


@pytest.mark.usefixtures("no_exit")
@pytest.mark.parametrize(
    ("app", "error"),
    [
        (FakeApp(start_fails=True), ConnectionError),
        (FakeApp(crashes=True), OSError),
    ],
)
def test_what_ends_the_application_ends_the_process(
    app: FakeApp, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        a_runner(threading.Event()).run(lambda _: app)
    assert app.stopped


@pytest.mark.usefixtures("no_exit")
def test_an_application_that_stops_by_itself_is_a_failure() -> None:
    app = FakeApp()
    app.should_stop = True
    with pytest.raises(MeshError, match="by itself"):
        a_runner(threading.Event()).run(lambda _: app)


@pytest.mark.usefixtures("no_exit")
def test_a_reported_failure_ends_the_process() -> None:
    runner = a_runner(threading.Event())

    def create(fail: Any) -> Any:
        fail(ValueError("first"))
        fail(ValueError("second"))
        return FakeApp()

    with pytest.raises(ValueError, match="first"):
        runner.run(create)


def test_the_folder_of_the_tables_has_two_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path))
    assert AggregatorSettings.load().aggregator_dir == tmp_path
    monkeypatch.setenv("SIGHTLINE_AGGREGATOR_DIR", str(tmp_path / "own"))
    assert AggregatorSettings.load().aggregator_dir == tmp_path / "own"


def test_the_policy_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_SIGHTING_GAP_S", "90")
    settings = AggregatorSettings.load()
    assert settings.sighting_policy.gap == timedelta(seconds=90)
    assert settings.sighting_policy.keep_closed >= settings.sighting_policy.gap
    assert settings.silence_after > settings.sighting_policy.gap
