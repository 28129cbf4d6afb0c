"""Which records are worked on next: lanes by guaranteed share, cameras in turn, old frames shed.

Pure: no clock, no broker. Records go in as they arrive, batches come out. The order of the records
of one key within one lane never changes.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from mesh.record import Record, TopicPartition

Stale = Callable[[Record[Any], datetime], str | None]
"""Why a record is no longer worth the work at this time, or `None`."""

SUPERSEDED = "superseded"
MAX_AGE = "max_age"


def fresh(record: Record[Any], now: datetime) -> None:
    """Every record is worth the work, however old."""


def older_than_max_age(record: Record[Any], now: datetime) -> str | None:
    """A frame is stale once its camera's `max_age_ms` has passed since the server received it."""
    age = now - record.event.frame.received_timestamp
    return MAX_AGE if age > timedelta(milliseconds=record.event.detection.max_age_ms) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSpec:
    """One queue of a stage: what it reads and how it is treated beside the others."""

    name: str
    topics: tuple[str, ...]
    """Full topic names."""
    share: int = 1
    """Guaranteed part of every batch, relative to the sum over all lanes with waiting records."""
    newest_wins: bool = False
    """Of several waiting records of one key only the newest is worked on."""
    stale: Stale = fresh
    """Asked when a record's turn comes."""
    prefetch: int = 64
    """At most about this many records wait in memory."""
    window: int = 128
    """Records from the committed offset on that an unclean end makes suspects."""
    group: str | None = None
    """Consumer group, if not the stage's own."""

    def __post_init__(self) -> None:
        if min(self.share, self.prefetch, self.window) < 1:
            raise ValueError(f"lane {self.name}: share, prefetch and window must be at least 1")


@dataclass(frozen=True, slots=True)
class Shed:
    """A record that was given up, and why."""

    record: Record[Any]
    reason: str
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The next batch, and what was given up while it was chosen."""

    batch: Sequence[Record[Any]] = ()
    shed: Sequence[Shed] = ()


class Scheduler(Protocol):
    """Buffers of several lanes in, batches out."""

    def add(self, lane: str, record: Record[Any]) -> None:
        """Let a record wait in its lane."""

    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        """Take at most `capacity` records; what is shed does not count."""

    def waiting(self, lane: str) -> int:
        """How many records wait in a lane."""

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        """Forget the waiting records of partitions that others own now; how many there were."""


class Fifo:
    """First come, first served: for stages with one lane."""

    def __init__(self) -> None:
        self._queue: deque[Record[Any]] = deque()

    def add(self, lane: str, record: Record[Any]) -> None:
        """Let a record wait."""
        del lane  # there is one
        self._queue.append(record)

    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        """The oldest records, at most `capacity`."""
        del now  # nothing is ever shed
        count = min(capacity, len(self._queue))
        return Scheduled([self._queue.popleft() for _ in range(count)])

    def waiting(self, lane: str) -> int:
        """How many records wait."""
        del lane  # there is one
        return len(self._queue)

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        """Forget the waiting records of these partitions."""
        kept = deque(record for record in self._queue if record.source not in partitions)
        dropped = len(self._queue) - len(kept)
        self._queue = kept
        return dropped


@dataclass(slots=True)
class _Buffer:
    """One lane's waiting records, by key, and the part of a batch that it has saved up."""

    lane: LaneSpec
    keys: OrderedDict[str | None, deque[Record[Any]]] = field(default_factory=OrderedDict)
    size: int = 0
    credit: float = 0.0

    def add(self, record: Record[Any]) -> None:
        self.keys.setdefault(record.key, deque()).append(record)
        self.size += 1

    def supersede(self) -> Iterator[Shed]:
        """Give up all but the newest record of every key, if the lane is of that kind."""
        if not self.lane.newest_wins:
            return
        for queue in self.keys.values():
            while len(queue) > 1:
                self.size -= 1
                yield Shed(queue.popleft(), SUPERSEDED, self.lane.name)

    def take(self, now: datetime, count: int) -> tuple[list[Record[Any]], list[Shed]]:
        """Up to `count` records, one of each key in turn; stale ones on the way are shed."""
        taken: list[Record[Any]] = []
        shed: list[Shed] = []
        while self.size and len(taken) < count:
            record = self._pop()
            reason = self.lane.stale(record, now)
            if reason is None:
                taken.append(record)
            else:
                shed.append(Shed(record, reason, self.lane.name))
        return taken, shed

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        before = self.size
        for key, queue in list(self.keys.items()):
            kept = deque(record for record in queue if record.source not in partitions)
            self.size += len(kept) - len(queue)
            if kept:
                self.keys[key] = kept
            else:
                del self.keys[key]
        return before - self.size

    def _pop(self) -> Record[Any]:
        key, queue = self.keys.popitem(last=False)
        record = queue.popleft()
        if queue:
            self.keys[key] = queue
        self.size -= 1
        return record


class RoundRobin:
    """Lanes in order of priority, each with its share, and within a lane one key after the other.

    Every lane with waiting records saves up its share of each batch, to one whole batch at most,
    and may spend it before anything else is given away; what nobody claims goes to the first lane
    that has work. So the first lane is never slower than its share and the last one never starves.
    """

    def __init__(self, lanes: Sequence[LaneSpec]) -> None:
        """Take the lanes, the most urgent first."""
        self._buffers = {lane.name: _Buffer(lane) for lane in lanes}

    def add(self, lane: str, record: Record[Any]) -> None:
        """Let a record wait in its lane."""
        self._buffers[lane].add(record)

    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        """Take at most `capacity` records; what is shed does not count."""
        shed = [gone for buffer in self._buffers.values() for gone in buffer.supersede()]
        self._save_up(capacity)
        batch: list[Record[Any]] = []
        for guaranteed in (True, False):
            for buffer in self._buffers.values():
                room = capacity - len(batch)
                taken, gone = buffer.take(
                    now, min(room, int(buffer.credit)) if guaranteed else room
                )
                buffer.credit = max(0.0, buffer.credit - len(taken))
                batch += taken
                shed += gone
        return Scheduled(batch, shed)

    def waiting(self, lane: str) -> int:
        """How many records wait in a lane."""
        return self._buffers[lane].size

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        """Forget the waiting records of partitions that others own now."""
        return sum(buffer.drop(partitions) for buffer in self._buffers.values())

    def _save_up(self, capacity: int) -> None:
        busy = [buffer for buffer in self._buffers.values() if buffer.size]
        total = sum(buffer.lane.share for buffer in busy)
        for buffer in self._buffers.values():
            gain = capacity * buffer.lane.share / total if buffer.size else 0.0
            buffer.credit = min(buffer.credit + gain, capacity) if buffer.size else 0.0
