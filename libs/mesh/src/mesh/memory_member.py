"""Members of consumer groups in memory, and what they share."""

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from mesh.clock import Clock
from mesh.errors import ConfigurationError, TransientError
from mesh.ports import PartitionsChanged, StoredOffset
from mesh.record import RawRecord, TopicPartition

_TICK_SECONDS = 0.005


@dataclass(slots=True)
class Log:
    """One partition; offsets below `start` have been deleted."""

    records: list[RawRecord] = field(default_factory=list)
    start: int = 0


@dataclass(slots=True)
class Group:
    """Who shares the partitions, and where the group goes on."""

    members: list["InMemoryConsumer"] = field(default_factory=list)
    committed: dict[TopicPartition, StoredOffset] = field(default_factory=dict)
    owners: dict[TopicPartition, "InMemoryConsumer"] = field(default_factory=dict)


@dataclass(slots=True)
class Cluster:
    """Topics and groups of one broker."""

    clock: Clock
    available: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)
    topics: dict[str, list[Log]] = field(default_factory=dict)
    groups: defaultdict[str, Group] = field(default_factory=lambda: defaultdict(Group))

    def logs(self, topic: str) -> list[Log]:
        """The partitions of a topic.

        Raises:
            ConfigurationError: there is no such topic.
        """
        if topic not in self.topics:
            raise ConfigurationError(f"unknown topic {topic}")
        return self.topics[topic]

    def end(self, source: TopicPartition) -> int:
        """The offset of the next record of a partition."""
        log = self.logs(source.topic)[source.partition]
        return log.start + len(log.records)


class InMemoryConsumer:
    """One member of a group, rebalanced cooperatively when it polls."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster = cluster
        self._group = cluster.groups[group]
        self.topics: Sequence[str] = ()
        self._owned: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stored: dict[TopicPartition, StoredOffset] = {}
        self._fenced = False
        self._joined = False
        self._turn = 0
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
        self.topics = topics
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        with self._cluster.lock:
            self._group.members.append(self)

    def poll_batch(self, max_records: int, max_wait: timedelta) -> list[RawRecord]:
        """Up to `max_records`, as soon as there is one; rebalances first."""
        deadline = self._cluster.clock.monotonic() + max_wait.total_seconds()
        while True:
            with self._cluster.lock:
                self._rebalance()
                records = self._fetch(max_records)
            left = deadline - self._cluster.clock.monotonic()
            if records or left <= 0:
                return records
            self._cluster.clock.sleep(min(left, _TICK_SECONDS))

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
        with self._cluster.lock:
            if not self._cluster.available:
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
        with self._cluster.lock:
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
        with self._cluster.lock:
            return {
                source: max(0, self._cluster.end(source) - position)
                for source, position in self._owned.items()
            }

    def answers(self) -> bool:
        """Whether the broker is available."""
        return self._cluster.available

    def close(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Commit these offsets and what is stored, and leave the group; repeatable."""
        if self not in self._group.members:
            return
        with self._cluster.lock:
            if self._cluster.available and not self._fenced:
                self.commit(offsets or {})
                self.commit()
            self._release(list(self._owned))
            self._group.members.remove(self)

    def kill(self) -> None:
        """Vanish as by `kill -9`: nothing is committed, nobody is told."""
        with self._cluster.lock:
            self._take_away()
            self._group.members.remove(self)

    def expire(self) -> None:
        """Lose the membership, as after a session time-out; the next poll learns it and rejoins."""
        with self._cluster.lock:
            self._take_away()
            self._fenced = True

    def _take_away(self) -> None:
        for source in self._owned:
            self._group.owners.pop(source, None)

    def _rebalance(self) -> None:
        if self._fenced:
            self._fenced = self._joined = False
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

    def _assign(self, sources: Collection[TopicPartition]) -> None:
        self._paused -= set(sources)
        for source in sources:
            self._group.owners[source] = self
            committed = self._group.committed.get(source)
            self._owned[source] = committed.offset if committed else 0
        self._on_assign(sources)

    def _target(self) -> list[TopicPartition]:
        """This member's fair share: its place among the members that read the topic."""
        share = []
        for topic in self.topics:
            members = [each for each in self._group.members if topic in each.topics]
            place = members.index(self)
            count = len(self._cluster.logs(topic))
            share += [TopicPartition(topic, n) for n in range(place, count, len(members))]
        return share

    def _fetch(self, max_records: int) -> list[RawRecord]:
        found: list[RawRecord] = []
        self._turn += 1
        sources = list(self._owned)
        first_turn = self._turn % len(sources) if sources else 0
        for source in sources[first_turn:] + sources[:first_turn]:
            position = self._owned[source]
            if source in self._paused or self._group.owners.get(source) is not self:
                continue
            log = self._cluster.logs(source.topic)[source.partition]
            first = max(position, log.start)
            room = max_records - len(found)
            taken = log.records[first - log.start : first - log.start + room]
            if taken:
                self._owned[source] = taken[-1].offset + 1
            found += taken
        return found


def _ignore(_: Collection[TopicPartition]) -> None:
    """Nobody wants to know."""
