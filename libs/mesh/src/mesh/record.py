"""The consumed unit: an event with its place in the broker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

MAX_VALUE_BYTES = 2 * 1024 * 1024 - 64 * 1024
"""Largest value that surely fits into a record with its headers."""

T_co = TypeVar("T_co", covariant=True)


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


Headers = Mapping[str, bytes]
"""Record headers; a repeated key keeps its last value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Generic[T_co]):
    """An event as it was read: payload, key, headers, and its topic, partition and offset."""

    topic: str
    partition: int
    offset: int
    key: str | None
    event: T_co
    """The decoded payload; `None` is a tombstone."""
    headers: Headers = field(default_factory=dict)
    timestamp: datetime | None = None
    """When the broker or the producer stamped it, UTC."""

    @property
    def source(self) -> TopicPartition:
        """The partition that it was read from."""
        return TopicPartition(self.topic, self.partition)


RawRecord = Record[bytes | None]
"""A record before it is decoded."""

Batch = Sequence[Record[T_co]]
