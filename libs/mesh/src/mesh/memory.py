"""A broker in memory: topics, partitions, groups with rebalances, offsets with metadata.

It keeps the same contract as the real one (`tests/contract/broker_contract.py`), so that services
are tested without a network. Safe to use from several threads.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from mesh.clock import Clock, SystemClock
from mesh.errors import TransientError
from mesh.memory_member import Cluster, InMemoryConsumer, Log
from mesh.partitioning import partition_of
from mesh.ports import StoredOffset
from mesh.record import Headers, RawRecord, Record, TopicPartition

__all__ = ["InMemoryBroker", "InMemoryConsumer", "InMemoryProducer"]


class InMemoryBroker:
    """Topics and groups of one test."""

    def __init__(
        self, topics: Sequence[str] = (), *, partitions: int = 4, clock: Clock | None = None
    ) -> None:
        """Create these topics with so many partitions each."""
        self._cluster = Cluster(clock or SystemClock())
        for topic in topics:
            self.create_topic(topic, partitions)

    @property
    def available(self) -> bool:
        """While false, flushes and commits fail as they do without a broker."""
        return self._cluster.available

    @available.setter
    def available(self, available: bool) -> None:
        self._cluster.available = available

    def create_topic(self, topic: str, partitions: int = 4) -> None:
        """Create a topic."""
        self._cluster.topics[topic] = [Log() for _ in range(partitions)]

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; publishing to it fails for good from now on."""
        del self._cluster.topics[topic]

    def consumer(self, group: str) -> "InMemoryConsumer":
        """A new member of a group; it joins when it subscribes."""
        return InMemoryConsumer(self._cluster, group)

    def producer(self) -> "InMemoryProducer":
        """A producer."""
        return InMemoryProducer(self)

    def bounds(
        self, topics: Sequence[str]
    ) -> Callable[[], Mapping[TopicPartition, tuple[int, int]]]:
        """What tells where the partitions of some topics begin and end."""

        def ask() -> Mapping[TopicPartition, tuple[int, int]]:
            with self._cluster.lock:
                return {
                    TopicPartition(topic, number): (log.start, log.start + len(log.records))
                    for topic in topics
                    for number, log in enumerate(self._cluster.logs(topic))
                }

        return ask

    def append(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> RawRecord:
        """Publish one record at once."""
        with self._cluster.lock:
            logs = self._cluster.logs(topic)
            number = 0 if key is None else partition_of(key, len(logs))
            log = logs[number]
            record = Record(
                topic=topic,
                partition=number,
                offset=log.start + len(log.records),
                key=key,
                event=value,
                headers=dict(headers or {}),
                timestamp=self._cluster.clock.now(),
            )
            log.records.append(record)
            return record

    def records(self, topic: str) -> list[RawRecord]:
        """Everything on a topic, partition by partition."""
        with self._cluster.lock:
            return [record for log in self._cluster.logs(topic) for record in log.records]

    def truncate(self, source: TopicPartition, start: int) -> None:
        """Delete the records below an offset, as retention does."""
        with self._cluster.lock:
            log = self._cluster.logs(source.topic)[source.partition]
            del log.records[: start - log.start]
            log.start = start

    def committed(self, group: str, source: TopicPartition) -> StoredOffset | None:
        """What a group committed."""
        with self._cluster.lock:
            return self._cluster.groups[group].committed.get(source)


class InMemoryProducer:
    """Publishes to an `InMemoryBroker`; nothing is there before `flush`."""

    def __init__(self, broker: InMemoryBroker) -> None:
        self._broker = broker
        self._queue: list[tuple[str, str | None, bytes | None, Headers]] = []

    def produce(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Queue a record; a value of `None` is a tombstone."""
        self._queue.append((topic, key, value, headers or {}))

    def flush(self, timeout: timedelta) -> None:
        """Publish everything that is queued."""
        queue, self._queue = self._queue, []
        if not self._broker.available:
            raise TransientError(f"{len(queue)} records unacknowledged after {timeout}")
        for each in queue:
            self._broker.append(*each)
