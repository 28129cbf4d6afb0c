"""Clients that know no broker any more are replaced; nothing is left out by it."""

import threading
import time
import uuid
from collections.abc import Callable, Collection
from datetime import timedelta

import pytest
from confluent_kafka import Consumer as VendorConsumer
from confluent_kafka.admin import AdminClient, NewTopic

from mesh.codec import AvroCodec
from mesh.errors import TransientError
from mesh.kafka import KafkaProducer, KafkaTail, stranded
from mesh.kafka.consumer import KafkaConsumer
from mesh.kafka.stranded import KnownBrokers
from mesh.record import RawRecord, Record, TopicPartition
from mesh.settings import MeshSettings
from mesh.testing import a_frame_captured
from mesh.topics import Topics

NOBODY = "127.0.0.1:1"
PATIENCE = 60.0
NO_BROKERS = '{ "brokers":{ "GroupCoordinator": { "nodeid":-1, "source":"logical" } } }'


def until(condition: Callable[[], bool], turn: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        turn()


def forget(known: KnownBrokers) -> None:
    """What the client tells twice once it knows no broker."""
    for _ in range(2):
        known.note(NO_BROKERS)


def test_a_client_that_cannot_connect_still_knows_whom_to_ask() -> None:
    known, told = KnownBrokers(), list[str]()
    client = VendorConsumer(
        {
            "bootstrap.servers": NOBODY,
            "group.id": "nobody",
            "log_level": 0,
            "statistics.interval.ms": 50,
            "stats_cb": told.append,
        }
    )
    client.subscribe(["frames"])
    until(lambda: len(told) > 3, lambda: client.poll(0.05))
    client.close()
    for statistics in told:
        known.note(statistics)
    assert not known.none_left


def test_a_moment_without_brokers_is_no_end() -> None:
    known = KnownBrokers()
    known.note(NO_BROKERS)
    assert not known.none_left
    known.note('{ "brokers":{ "b": { "source":"learned" } } }')
    known.note(NO_BROKERS)
    assert not known.none_left
    known.note(NO_BROKERS)
    assert known.none_left


def test_a_producer_waits_for_a_broker_that_answers_nobody() -> None:
    producer = KafkaProducer(NOBODY, instance_id="test", config={"log_level": 0})
    producer._look()
    assert not producer._stranded


@pytest.fixture
def topic(kafka: str) -> str:
    name = f"topic-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=PATIENCE)[name].result()
    return name


@pytest.mark.integration
def test_a_consumer_that_knows_no_broker_loses_its_partitions_and_joins_anew(
    kafka: str, topic: str
) -> None:
    producer = KafkaProducer(kafka, instance_id="test")
    lost: list[TopicPartition] = []
    assigned: list[TopicPartition] = []
    records: list[RawRecord] = []

    def ignore(_: Collection[TopicPartition]) -> None:
        """Nothing is revoked."""

    consumer = KafkaConsumer(kafka, topic, instance_id="test")
    consumer.subscribe([topic], on_assign=assigned.extend, on_revoke=ignore, on_lost=lost.extend)

    def poll() -> None:
        records.extend(consumer.poll_batch(10, timedelta(milliseconds=100)))

    producer.produce(topic, "key", b"a")
    producer.flush(timedelta(seconds=PATIENCE))
    until(lambda: len(records) == 1, poll)
    place, old = records[0].source, consumer._vendor
    forget(consumer._known)
    poll()
    assert consumer._vendor is not old
    assert lost == [place]
    producer.produce(topic, "key", b"b")
    producer.flush(timedelta(seconds=PATIENCE))
    until(lambda: len(records) == 3, poll)
    assert assigned == [place, place]
    assert [record.event for record in records] == [b"a", b"a", b"b"], "nothing was committed"
    consumer.close()


@pytest.mark.integration
def test_a_tail_goes_on_where_its_old_client_was(kafka: str) -> None:
    settings = MeshSettings(kafka_bootstrap=kafka, topic_prefix=f"t{uuid.uuid4().hex}.")
    topic = settings.topics("frames.live")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)], operation_timeout=PATIENCE)[topic].result()
    codec = AvroCodec.in_memory(Topics(settings.topic_prefix))
    producer = KafkaProducer(kafka, instance_id="test")
    tail = KafkaTail(settings, codec, topics=[topic])
    read: list[int] = []
    stop = threading.Event()

    def publish() -> None:
        producer.produce(topic, "key", codec.encode(topic, a_frame_captured()))
        producer.flush(timedelta(seconds=PATIENCE))

    def handle(record: Record[object]) -> None:
        read.append(record.offset)
        if record.offset == 0:
            forget(tail._known)
            publish()
        else:
            stop.set()

    publish()
    tail.run(handle, stop)
    assert read == [0, 1]


@pytest.mark.integration
def test_a_producer_that_alone_does_not_find_the_broker_is_replaced(
    kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stranded, "_RECONNECT_SECONDS", 0.5)
    aside = {"bootstrap.servers": NOBODY, "log_level": 0}
    producer = KafkaProducer(kafka, instance_id="test", config=aside)
    producer._config["bootstrap.servers"] = kafka
    stray = producer._vendor

    def publish() -> bool:
        producer.produce(topic, "key", b"a")
        try:
            producer.flush(timedelta(seconds=0.2))
        except TransientError:
            return False
        return True

    until(publish, lambda: None)
    assert producer._vendor is not stray
