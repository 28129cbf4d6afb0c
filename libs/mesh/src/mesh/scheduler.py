"""Which records are worked on next: lanes, what is worth the work, and what a scheduler does.

Pure: no clock, no broker. Records go in as they arrive, batches come out. The order of the records
of one key within one lane never changes.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

from mesh.events import Priority
from mesh.record import Record, TopicPartition

Weight = Callable[[Record[Any]], int]
"""Turns of a record's key in each round, at least 1."""
Stale = Callable[[Record[Any], datetime], str | None]
"""Why a record is no longer worth the work at this time, or `None`."""

SUPERSEDED = "superseded"
MAX_AGE = "max_age"
WEIGHTS = MappingProxyType(
    {Priority.URGENT: 4, Priority.HIGH: 4, Priority.NORMAL: 2, Priority.LOW: 1}
)
"""Turns of a camera in each round; urgent frames have a lane of their own."""


def fresh(record: Record[Any], now: datetime) -> None:
    """Every record is worth the work, however old."""


def equal(record: Record[Any]) -> int:
    """Every key weighs the same."""
    del record
    return 1


def by_priority(record: Record[Any]) -> int:
    """A frame weighs what its camera's priority says."""
    return WEIGHTS[record.event.frame.priority]


def every(record: Record[Any]) -> bool:
    """Whichever it is."""
    del record
    return True


def never() -> bool:
    """A lane that is always read."""
    return False


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
    yields: Callable[[Record[Any]], bool] = every
    """Which records that is about where others share the lane, which are all worked on."""
    weight: Weight = equal
    """How many turns the record's key gets beside the others."""
    stale: Stale = fresh
    """Asked when a record's turn comes."""
    held: Callable[[], bool] = never
    """While true, no more of the lane is read; asked often, from the worker's thread."""
    prefetch: int = 64
    """At most this many records are in memory."""
    prefetch_bytes: int = 8 * 1024 * 1024
    """Their values' size at which no more are read; one read may go a little beyond."""
    window: int = 128
    """Records from the committed offset on that an unclean end makes suspects."""
    group: str | None = None
    """Consumer group, if not the stage's own."""

    def __post_init__(self) -> None:
        if min(self.share, self.prefetch, self.prefetch_bytes, self.window) < 1:
            raise ValueError(
                f"lane {self.name}: share, prefetch, prefetch_bytes and window must be at least 1"
            )


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
        """Take at most `capacity` records, perhaps none; what is shed does not count."""

    def waiting(self, lane: str) -> int:
        """How many records wait in a lane."""

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        """Forget the waiting records of partitions that others own now; how many there were."""
