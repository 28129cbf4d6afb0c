"""What every broker of the mesh does, real or in memory.

A subclass gives the fixture `broker`; each test takes topics and groups of its own from it.
"""

import time
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from mesh.errors import ConfigurationError
from mesh.partitioning import partition_of
from mesh.ports import Consumer, Producer, StoredOffset
from mesh.record import RawRecord, TopicPartition

TICK = timedelta(milliseconds=100)
PATIENCE = 180.0
FLUSH = timedelta(seconds=PATIENCE)
KEYS = ("21", "foobar", "a-little-bit-long-string", "cam_550e8400", "Grüße")


class Broker(Protocol):
    """A broker that tests can change."""

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create a topic, and return once it can be used."""

    def truncate(self, source: TopicPartition, start: int) -> None:
        """Delete the records below an offset."""

    def consumer(self, group: str) -> Consumer:
        """A new member of a group."""

    def producer(self) -> Producer:
        """A producer."""


class Member:
    """A consumer that remembers what happened to it."""

    def __init__(self, consumer: Consumer, *topics: str) -> None:
        self.consumer = consumer
        self.assigned: list[TopicPartition] = []
        self.revoked: list[TopicPartition] = []
        self.assignments = 0
        self.records: list[RawRecord] = []
        self.before_revoke: Callable[[], None] = lambda: None
        consumer.subscribe(
            topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    @property
    def values(self) -> list[bytes | None]:
        return [record.event for record in self.records]

    def poll(self) -> None:
        self.records += self.consumer.poll_batch(100, TICK)

    def read(self, count: int) -> list[RawRecord]:
        until(lambda: len(self.records) >= count, self)
        return self.records

    def _assign(self, partitions: Collection[TopicPartition]) -> None:
        self.assigned += partitions
        self.assignments += 1

    def _revoke(self, partitions: Collection[TopicPartition]) -> None:
        self.before_revoke()
        self.revoked += partitions


def until(condition: Callable[[], bool], *members: Member) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        for member in members:
            member.poll()


class BrokerContract:
    """The suite."""

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid.uuid4()}"

    @pytest.fixture
    def topic(self, broker: Broker) -> str:
        name = f"topic-{uuid.uuid4()}"
        broker.create_topic(name, 1)
        return name

    def publish(self, broker: Broker, topic: str, *values: str) -> None:
        producer = broker.producer()
        for value in values:
            producer.produce(topic, "key", value.encode())
        producer.flush(FLUSH)

    def test_a_record_arrives_as_it_was_published(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        producer = broker.producer()
        producer.produce(topic, "Grüße", b"\x00value\xff", {"traceparent": b"00-\xff", "b": b""})
        producer.flush(FLUSH)
        (record,) = Member(broker.consumer(group), topic).read(1)
        assert (record.topic, record.partition, record.offset) == (topic, 0, 0)
        assert (record.key, record.event) == ("Grüße", b"\x00value\xff")
        assert dict(record.headers) == {"traceparent": b"00-\xff", "b": b""}
        assert record.timestamp is not None
        assert abs(record.timestamp - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_tombstone_and_a_record_without_key_arrive_as_such(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        producer = broker.producer()
        producer.produce(topic, None, b"no key")
        producer.produce(topic, "gone", None)
        producer.flush(FLUSH)
        records = Member(broker.consumer(group), topic).read(2)
        assert [(record.key, record.event) for record in records] == [
            (None, b"no key"),
            ("gone", None),
        ]

    def test_a_key_goes_to_the_partition_that_java_would_choose(
        self, broker: Broker, group: str
    ) -> None:
        topic = f"topic-{uuid.uuid4()}"
        broker.create_topic(topic, 7)
        producer = broker.producer()
        for key in KEYS:
            producer.produce(topic, key, b"")
        producer.flush(FLUSH)
        records = Member(broker.consumer(group), topic).read(len(KEYS))
        assert {record.key: record.partition for record in records} == {
            key: partition_of(key, 7) for key in KEYS
        }

    def test_the_records_of_a_partition_arrive_in_order(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        self.publish(broker, topic, *map(str, range(250)))
        records = Member(broker.consumer(group), topic).read(250)
        assert [record.offset for record in records] == list(range(250))

    def test_a_new_group_starts_at_the_earliest_record(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        self.publish(broker, topic, "a", "b", "c")
        broker.truncate(TopicPartition(topic, 0), 1)
        member = Member(broker.consumer(group), topic)
        member.read(2)
        assert member.values == [b"b", b"c"]
        assert member.consumer.committed([TopicPartition(topic, 0)]) == {}

    def test_a_committed_offset_keeps_its_metadata_for_the_next_member(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        self.publish(broker, topic, "a", "b", "c")
        place = TopicPartition(topic, 0)
        first = Member(broker.consumer(group), topic)
        first.read(3)
        first.consumer.commit({place: StoredOffset(1, "running")})
        first.consumer.commit({place: StoredOffset(1, "clean")})
        first.consumer.close()
        second = Member(broker.consumer(group), topic)
        second.read(2)
        assert second.values == [b"b", b"c"]
        assert second.consumer.committed([place]) == {place: StoredOffset(1, "clean")}

    def test_stored_offsets_are_committed_with_their_metadata_by_commit_and_by_close(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        self.publish(broker, topic, "a", "b", "c")
        place = TopicPartition(topic, 0)
        first = Member(broker.consumer(group), topic)
        first.read(3)
        first.consumer.store({place: StoredOffset(1, "one")})
        first.consumer.commit()
        assert first.consumer.committed([place]) == {place: StoredOffset(1, "one")}
        first.consumer.store({place: StoredOffset(2, "two")})
        first.consumer.close()
        first.consumer.close()
        second = Member(broker.consumer(group), topic)
        second.read(1)
        assert second.values == [b"c"]
        assert second.consumer.committed([place]) == {place: StoredOffset(2, "two")}

    def test_a_commit_replaces_what_is_stored(self, broker: Broker, topic: str, group: str) -> None:
        self.publish(broker, topic, "a")
        place = TopicPartition(topic, 0)
        first = Member(broker.consumer(group), topic)
        first.read(1)
        first.consumer.store({place: StoredOffset(1, "running")})
        first.consumer.commit({place: StoredOffset(1, "clean")})
        first.consumer.close()
        second = Member(broker.consumer(group), topic)
        until(lambda: bool(second.assigned), second)
        assert second.consumer.committed([place]) == {place: StoredOffset(1, "clean")}

    def test_what_is_not_stored_is_read_again(self, broker: Broker, topic: str, group: str) -> None:
        self.publish(broker, topic, "a", "b")
        first = Member(broker.consumer(group), topic)
        first.read(2)
        first.consumer.commit()
        first.consumer.close()
        assert [record.event for record in Member(broker.consumer(group), topic).read(2)] == [
            b"a",
            b"b",
        ]

    def test_a_paused_partition_is_held_back_until_it_is_resumed(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        self.publish(broker, topic, "a")
        place = TopicPartition(topic, 0)
        member = Member(broker.consumer(group), topic)
        member.read(1)
        member.consumer.pause([place])
        self.publish(broker, topic, "b", "c")
        for _ in range(5):
            member.poll()
        assert member.values == [b"a"]
        member.consumer.resume([place])
        member.read(3)
        assert member.values == [b"a", b"b", b"c"]

    def test_seek_goes_back(self, broker: Broker, topic: str, group: str) -> None:
        self.publish(broker, topic, "a", "b")
        member = Member(broker.consumer(group), topic)
        member.read(2)
        member.consumer.seek(TopicPartition(topic, 0), 1)
        member.read(3)
        assert member.values == [b"a", b"b", b"b"]

    def test_the_lag_is_what_waits(self, broker: Broker, topic: str, group: str) -> None:
        self.publish(broker, topic, "a", "b", "c")
        consumer = broker.consumer(group)
        member = Member(consumer, topic)
        while not member.records:
            member.records += consumer.poll_batch(1, TICK)
        assert dict(consumer.lag()) == {TopicPartition(topic, 0): 2}

    def test_members_share_partitions_and_a_leaving_one_hands_its_own_over(
        self, broker: Broker, group: str
    ) -> None:
        topic = f"topic-{uuid.uuid4()}"
        broker.create_topic(topic, 4)
        first = Member(broker.consumer(group), topic)
        until(lambda: len(first.assigned) == 4, first)
        second = Member(broker.consumer(group), topic)
        until(lambda: len(second.assigned) == 2, first, second)
        assert sorted(first.revoked) == sorted(second.assigned), "only what changes is named"
        assert sorted([*first.consumer.assignment(), *second.consumer.assignment()]) == sorted(
            first.assigned
        )
        second.consumer.close()
        until(lambda: len(first.assigned) == 6, first)
        assert sorted(second.revoked) == sorted(second.assigned)
        assert len(first.consumer.assignment()) == 4

    def test_a_member_without_partitions_hears_so_and_that_the_broker_answers(
        self, broker: Broker, topic: str, group: str
    ) -> None:
        members = [Member(broker.consumer(group), topic) for _ in range(2)]
        deadline = time.monotonic() + PATIENCE
        while not all(member.assignments for member in members):
            assert time.monotonic() < deadline
            for member in members:
                member.poll()
        assert all(member.consumer.answers() for member in members)

    def test_what_is_committed_while_revoking_is_not_read_by_the_next_owner(
        self, broker: Broker, group: str
    ) -> None:
        topic = f"topic-{uuid.uuid4()}"
        broker.create_topic(topic, 2)
        producer = broker.producer()
        for number in range(20):
            producer.produce(topic, f"key-{number}", str(number).encode())
        producer.flush(FLUSH)
        first = Member(broker.consumer(group), topic)
        first.read(20)
        ends = {record.source: StoredOffset(record.offset + 1, "done") for record in first.records}
        first.before_revoke = lambda: first.consumer.commit(ends)
        second = Member(broker.consumer(group), topic)
        until(lambda: len(second.assigned) == 1, first, second)
        for _ in range(5):
            second.poll()
        assert second.records == []

    def test_publishing_to_a_topic_that_does_not_exist_fails_for_good(self, broker: Broker) -> None:
        producer = broker.producer()
        with pytest.raises(ConfigurationError):
            self._publish_nowhere(producer)

    def _publish_nowhere(self, producer: Producer) -> None:
        producer.produce("no-such-topic", "key", b"")
        producer.flush(FLUSH)
