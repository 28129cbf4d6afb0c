import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from mesh.clock import ManualClock, SystemClock
from mesh.errors import TransientError
from mesh.kafka import KafkaPlatform, KafkaProducer
from mesh.kafka.standstill import Bounds, Standstill
from mesh.record import TopicPartition
from mesh.settings import MeshSettings

LIVE = TopicPartition("frames.live", 2)
URGENT = TopicPartition("frames.urgent", 0)
STEP = 5


def at_once(ask: Callable[[], None]) -> None:
    ask()


class World:
    """A broker that tells where its partitions end, and a loop that looks every five seconds."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bounds: Bounds = {LIVE: (0, 0), URGENT: (0, 0)}
        self.away = False
        self.standstill = Standstill(self.ask, self.clock, timedelta(seconds=75), start=at_once)

    def ask(self) -> Bounds:
        if self.away:
            raise TransientError("no answer")
        return self.bounds

    def turn(self, seconds: int, read: Mapping[TopicPartition, int | None]) -> None:
        for _ in range(seconds // STEP):
            self.clock.advance(STEP)
            self.standstill.look(read)


def test_a_partition_that_was_never_fetched_counts_what_waits_in_it() -> None:
    world = World()
    world.bounds = {LIVE: (40, 100), URGENT: (0, 7)}
    assert world.standstill.look({LIVE: None, URGENT: 3}) == {LIVE: 60, URGENT: 4}


def test_a_partition_that_does_not_move_is_named_with_what_waits() -> None:
    world = World()
    world.bounds = {LIVE: (0, 100), URGENT: (0, 7)}
    world.turn(75, {LIVE: None, URGENT: 7})
    assert world.standstill.problem() is None
    world.turn(10, {LIVE: None, URGENT: 7})
    assert world.standstill.problem() == "not moving: frames.live/2 (100 records wait, 80 s)"
    world.turn(5, {LIVE: 12, URGENT: 7})
    assert world.standstill.problem() is None


def test_a_partition_without_waiting_records_may_stand_still() -> None:
    world = World()
    world.bounds = {LIVE: (0, 100)}
    world.turn(600, {LIVE: 100})
    assert world.standstill.problem() is None


def test_a_slow_partition_moves() -> None:
    world = World()
    world.bounds = {LIVE: (0, 10_000)}
    for offset in range(20):
        world.turn(60, {LIVE: offset})
    assert world.standstill.problem() is None


def test_a_loop_that_waits_for_something_else_accuses_no_partition() -> None:
    world = World()
    world.bounds = {LIVE: (0, 100)}
    world.turn(10, {LIVE: 1})
    world.clock.advance(600)
    world.turn(10, {LIVE: 1})
    assert world.standstill.problem() is None


def test_what_the_broker_does_not_tell_accuses_nobody() -> None:
    world = World()
    world.bounds = {LIVE: (0, 100)}
    world.turn(90, {LIVE: 1})
    assert world.standstill.problem() is not None
    world.away = True
    world.turn(15, {LIVE: 1})
    assert world.standstill.problem() is None
    assert world.standstill.look({LIVE: 1}) == {}


def test_time_without_an_answer_does_not_count() -> None:
    world = World()
    world.bounds = {LIVE: (0, 100)}
    world.turn(70, {LIVE: 1})
    asked: list[Callable[[], None]] = []
    world.standstill._start = asked.append
    world.turn(600, {LIVE: 1})
    assert world.standstill.problem() is None
    world.away = True
    asked[0]()
    world.away = False
    world.standstill._start = at_once
    world.turn(75, {LIVE: 1})
    assert world.standstill.problem() is None
    world.turn(20, {LIVE: 1})
    assert world.standstill.problem() is not None


def test_a_lost_partition_is_forgotten() -> None:
    world = World()
    world.bounds = {LIVE: (0, 100)}
    world.turn(90, {LIVE: 1})
    world.turn(5, {})
    assert world.standstill.problem() is None


def test_nobody_asks_while_an_answer_is_awaited() -> None:
    asked: list[Callable[[], None]] = []
    world = World()
    world.standstill = Standstill(world.ask, world.clock, timedelta(seconds=75), start=asked.append)
    world.turn(60, {LIVE: None})
    assert len(asked) == 1
    asked[0]()
    world.turn(5, {LIVE: None})
    assert len(asked) == 2


@pytest.mark.integration
def test_a_real_broker_tells_what_nobody_fetched(kafka: str) -> None:
    topic = f"topic-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 2, 1)], operation_timeout=60)[topic].result()
    producer = KafkaProducer(kafka, instance_id="test")
    for _ in range(5):
        producer.produce(topic, "key", b"a")
    producer.flush(timedelta(seconds=60))
    platform = KafkaPlatform(MeshSettings(kafka_bootstrap=kafka))
    standstill = Standstill(platform.bounds([topic]), SystemClock(), timedelta(seconds=75))
    places = dict.fromkeys([TopicPartition(topic, 0), TopicPartition(topic, 1)])
    end = time.monotonic() + 60
    while not (told := standstill.look(places)):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert sorted(told.values()) == [0, 5]
