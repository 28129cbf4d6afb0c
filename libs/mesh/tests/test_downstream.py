import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Consumer as VendorConsumer
from confluent_kafka import Producer as VendorProducer
from confluent_kafka import TopicPartition as VendorPartition
from typing_extensions import override

from mesh.errors import TransientError
from mesh.kafka import Downstream, create_topics
from mesh.kafka.downstream import overdue
from mesh.kafka.ends import KafkaEnds
from mesh.record import TopicPartition
from mesh.settings import MeshSettings

A, B = TopicPartition("detections", 0), TopicPartition("detections", 1)
GROUPS = {"recognition.detections": "detections"}


@pytest.mark.parametrize(
    ("read_until", "bounds", "fresh", "late"),
    [
        (7, (0, 10), 7, False),
        (6, (0, 10), 7, True),
        (10, (0, 10), None, False),
        (9, (0, 10), None, True),
        (None, (5, 10), 5, False),
        (None, (5, 10), 6, True),
        (2, (5, 10), 5, False),
    ],
    ids=[
        "the oldest unread is young", "the oldest unread is old", "all is old and read",
        "all is old and not all read", "nothing read, all young", "nothing read, some old",
        "what was not read is gone",
    ],
)  # fmt: skip
def test_a_group_is_behind_if_a_record_that_it_has_not_read_is_too_old(
    read_until: int | None, bounds: tuple[int, int], fresh: int | None, late: bool
) -> None:
    read = {} if read_until is None else {A: read_until}
    assert overdue(read, {A: bounds}, {A: fresh}) is late


def test_one_partition_is_enough() -> None:
    assert overdue({A: 3, B: 0}, {A: (0, 3), B: (0, 3)}, {A: None, B: 1})


@pytest.fixture
def settings(kafka: str) -> MeshSettings:
    made = MeshSettings(
        kafka_bootstrap=kafka, topic_prefix=f"test-{uuid.uuid4().hex[:8]}.", partitions=2
    )
    create_topics(made)
    return made


@pytest.fixture
def reader(settings: MeshSettings) -> Iterator[VendorConsumer]:
    group = settings.group("recognition.detections")
    consumer = VendorConsumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": group})
    yield consumer
    consumer.close()


def publish(settings: MeshSettings, age: timedelta, partition: int = 0) -> None:
    stamped = int((datetime.now(UTC) - age).timestamp() * 1000)
    producer = VendorProducer({"bootstrap.servers": settings.kafka_bootstrap})
    producer.produce(settings.topics("detections"), b"x", partition=partition, timestamp=stamped)
    assert producer.flush(60) == 0


def looked(downstream: Downstream) -> bool:
    """What a look saw; leaders of new partitions are not known at once."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return downstream.look()
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.integration
def test_a_group_is_behind_until_it_has_read_what_is_older_than_a_quarter_of_the_retention(
    settings: MeshSettings, reader: VendorConsumer
) -> None:
    downstream = Downstream(settings, GROUPS)
    assert not looked(downstream), "nothing was published"
    publish(settings, timedelta(minutes=14), partition=1)
    assert not looked(downstream)
    publish(settings, timedelta(minutes=16))
    publish(settings, timedelta(0))
    assert looked(downstream), "the group has read nothing yet"
    place = VendorPartition(settings.topics("detections"), 0, 1)
    reader.commit(offsets=[place], asynchronous=False)
    assert not looked(downstream), "only a young record is unread"


class Seen(threading.Event):
    """Set as soon as somebody waits for it, or is told what went wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Silent(KafkaEnds):
    """A broker that does not answer."""

    @override
    def read(self) -> dict[TopicPartition, tuple[int, int]]:
        raise TransientError("no answer")


@pytest.mark.integration
def test_what_was_seen_last_holds_on_while_the_broker_is_away(settings: MeshSettings) -> None:
    publish(settings, timedelta(minutes=16))
    downstream, seen = Downstream(settings, GROUPS), Seen()
    assert looked(downstream)
    downstream.run(seen, seen.warn)
    assert downstream.behind()
    assert seen.warnings == []
    downstream._ends = Silent("", [], instance_id="test")
    away = Seen()
    downstream.run(away, away.warn)
    assert away.warnings == ["no answer"]
    assert downstream.behind()
