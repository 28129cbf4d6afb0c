"""A broker in memory: topics, partitions, groups with rebalances, offsets with metadata.

It keeps the same contract as the real one (`tests/contract/broker_contract.py`), so that services
are tested without a network. Safe to use from several threads.
"""

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigurationError, TransientError
from mesh.partitioning import partition_of
from mesh.ports import PartitionsChanged, StoredOffset
from mesh.record import Headers, RawRecord, Record, TopicPartition

_TICK_SECONDS = 0.005


@dataclass(slots=True)
class _Log:
    """One partition; offsets below `start` have been deleted."""

    records: list[RawRecord] = field(default_factory=list)
    start: int = 0


@dataclass(slots=True)
class _Group:
    """Who shares the partitions, and where the group goes on."""

    members: list["InMemoryConsumer"] = field(default_factory=list)
    committed: dict[TopicPartition, StoredOffset] = field(default_factory=dict)
    owners: dict[TopicPartition, "InMemoryConsumer"] = field(default_factory=dict)


class InMemoryBroker:
    """Topics and groups of one test."""

    def __init__(
        self, topics: Sequence[str] = (), *, partitions: int = 4, clock: Clock | None = None
    ) -> None:
        """Create these topics with so many partitions each."""
        self.lock = threading.RLock()
        self.clock = clock or SystemClock()
        self.available = True
        """While false, flushes and commits fail as they do without a broker."""
        self._logs: dict[str, list[_Log]] = {}
        self._groups: defaultdict[str, _Group] = defaultdict(_Group)
        for topic in topics:
            self.create_topic(topic, partitions)

    def create_topic(self, topic: str, partitions: int = 4) -> None:
        """Create a topic."""
        self._logs[topic] = [_Log() for _ in range(partitions)]

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; publishing to it fails for good from now on."""
        del self._logs[topic]

    def consumer(self, group: str) -> "InMemoryConsumer":
        """A new member of a group; it joins when it subscribes."""
        return InMemoryConsumer(self, group)

    def producer(self) -> "InMemoryProducer":
        """A producer."""
        return InMemoryProducer(self)

    def append(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> RawRecord:
        """Publish one record at once."""
        with self.lock:
            logs = self.logs(topic)
            number = 0 if key is None else partition_of(key, len(logs))
            log = logs[number]
            record = Record(
                topic=topic,
                partition=number,
                offset=log.start + len(log.records),
                key=key,
                event=value,
                headers=dict(headers or {}),
                timestamp=self.clock.now(),
            )
            log.records.append(record)
            return record

    def records(self, topic: str) -> list[RawRecord]:
        """Everything on a topic, partition by partition."""
        with self.lock:
            return [record for log in self.logs(topic) for record in log.records]

    def truncate(self, source: TopicPartition, start: int) -> None:
        """Delete the records below an offset, as retention does."""
        with self.lock:
            log = self.logs(source.topic)[source.partition]
            del log.records[: start - log.start]
            log.start = start

    def committed(self, group: str, source: TopicPartition) -> StoredOffset | None:
        """What a group committed."""
        with self.lock:
            return self._groups[group].committed.get(source)

    def logs(self, topic: str) -> list[_Log]:
        """The partitions of a topic."""
        if topic not in self._logs:
            raise ConfigurationError(f"unknown topic {topic}")
        return self._logs[topic]

    def group(self, name: str) -> _Group:
        """A consumer group."""
        return self._groups[name]


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


class InMemoryConsumer:
    """A member of a group of an `InMemoryBroker`, rebalanced cooperatively when it polls."""

    def __init__(self, broker: InMemoryBroker, group: str) -> None:
        self._broker = broker
        self._group = broker.group(group)
        self._topics: Sequence[str] = ()
        self._owned: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stored: dict[TopicPartition, StoredOffset] = {}
        self._fenced = False
        self._joined = False
        self._on_assign: PartitionsChanged = _ignore
        self._on_revoke: PartitionsChanged = _ignore
        self._on_lost: PartitionsChanged = _ignore

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: PartitionsChanged,
        on_revoke: PartitionsChanged,
        on_lost: PartitionsChanged,
    ) -> None:
        """Join the group for these topics; the callbacks name only what changed."""
        self._topics = topics
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        with self._broker.lock:
            self._group.members.append(self)

    def poll_batch(self, max_records: int, max_wait: timedelta) -> list[RawRecord]:
        """Up to `max_records`, as soon as there is one; rebalances first."""
        deadline = self._broker.clock.monotonic() + max_wait.total_seconds()
        while True:
            with self._broker.lock:
                self._rebalance()
                records = self._fetch(max_records)
            left = deadline - self._broker.clock.monotonic()
            if records or left <= 0:
                return records
            self._broker.clock.sleep(min(left, _TICK_SECONDS))

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Hold records of these partitions back until `resume`."""
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Deliver their records again."""
        self._paused -= set(partitions)

    def store(self, offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        """Note offsets for the next commit."""
        self._stored |= offsets

    def commit(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Make these offsets durable, or all that are stored and further on than what is."""
        with self._broker.lock:
            if not self._broker.available:
                raise TransientError("committing offsets: the broker is not available")
            if self._fenced:
                raise TransientError("committing offsets: not a member of the group any more")
            committed = self._group.committed
            if offsets is None:
                offsets = {
                    source: stored
                    for source, stored in self._stored.items()
                    if source not in committed or stored.offset > committed[source].offset
                }
            self._stored |= offsets
            committed |= offsets

    def committed(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, StoredOffset]:
        """What the group committed, with metadata."""
        with self._broker.lock:
            found = self._group.committed
            return {source: found[source] for source in partitions if source in found}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from this offset in an assigned partition."""
        self._owned[partition] = offset

    def assignment(self) -> Collection[TopicPartition]:
        """The partitions that this member owns now."""
        return list(self._owned)

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end of each owned partition."""
        with self._broker.lock:
            return {
                source: max(0, self._end(source) - position)
                for source, position in self._owned.items()
            }

    def close(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Commit these offsets and what is stored, and leave the group; repeatable."""
        if self not in self._group.members:
            return
        with self._broker.lock:
            if self._broker.available and not self._fenced:
                self.commit(offsets or {})
                self.commit()
            self._release(list(self._owned))
            self._group.members.remove(self)

    def kill(self) -> None:
        """Vanish as by `kill -9`: nothing is committed, nobody is told."""
        with self._broker.lock:
            self._take_away()
            self._group.members.remove(self)

    def expire(self) -> None:
        """Lose the membership, as after a session time-out; the next poll learns it and rejoins."""
        with self._broker.lock:
            self._take_away()
            self._fenced = True

    def _take_away(self) -> None:
        for source in self._owned:
            self._group.owners.pop(source, None)

    def _rebalance(self) -> None:
        if self._fenced:
            self._fenced = False
            lost, self._owned = list(self._owned), {}
            self._stored.clear()
            self._on_lost(lost)
        target = self._target()
        if revoked := [source for source in self._owned if source not in target]:
            self._release(revoked)
        free = [source for source in target if source not in self._group.owners]
        if free or not self._joined:
            self._joined = True
            self._assign(free)

    def _release(self, sources: Collection[TopicPartition]) -> None:
        if sources:
            self._on_revoke(sources)
        for source in sources:
            del self._owned[source]
            del self._group.owners[source]
            self._stored.pop(source, None)
            self._paused.discard(source)

    def _assign(self, sources: Collection[TopicPartition]) -> None:
        for source in sources:
            self._group.owners[source] = self
            committed = self._group.committed.get(source)
            self._owned[source] = committed.offset if committed else 0
        self._on_assign(sources)

    def _target(self) -> list[TopicPartition]:
        """This member's fair share: its place among the members that read the topic."""
        share = []
        for topic in self._topics:
            members = [each for each in self._group.members if topic in each._topics]  # noqa: SLF001 -- of its own kind
            place = members.index(self)
            count = len(self._broker.logs(topic))
            share += [TopicPartition(topic, n) for n in range(place, count, len(members))]
        return share

    def _fetch(self, max_records: int) -> list[RawRecord]:
        found: list[RawRecord] = []
        for source, position in self._owned.items():
            if source in self._paused or self._group.owners.get(source) is not self:
                continue
            log = self._broker.logs(source.topic)[source.partition]
            first = max(position, log.start)
            room = max_records - len(found)
            taken = log.records[first - log.start : first - log.start + room]
            if taken:
                self._owned[source] = taken[-1].offset + 1
            found += taken
        return found

    def _end(self, source: TopicPartition) -> int:
        log = self._broker.logs(source.topic)[source.partition]
        return log.start + len(log.records)


def _ignore(_: Collection[TopicPartition]) -> None:
    """Nobody wants to know."""
