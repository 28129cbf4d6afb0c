"""What the Kafka side of the mesh needs from the outside, as Protocols.

`mesh.kafka` implements them on a real broker, `mesh.memory` in memory; one contract suite
(`tests/contract/broker_contract.py`) holds for both.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from mesh.record import Headers, RawRecord, TopicPartition

PartitionsChanged = Callable[[Collection[TopicPartition]], None]
"""Called from inside `poll_batch` (and `close`), in the thread that polls."""


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """Where a group goes on in a partition, and a note of whoever wrote it."""

    offset: int
    """The next record to read."""
    metadata: str = ""
    """At most 4 KiB."""


class Consumer(Protocol):
    """One member of a consumer group; used from one thread."""

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: PartitionsChanged,
        on_revoke: PartitionsChanged,
        on_lost: PartitionsChanged,
    ) -> None:
        """Join the group for these topics; the callbacks name only what changed.

        `on_revoke` may still commit; at `on_lost` the partitions already belong to others.
        """

    def poll_batch(self, max_records: int, max_wait: timedelta) -> list[RawRecord]:
        """Up to `max_records`, as soon as there is one; serves heartbeats and callbacks.

        Blocks for at most `max_wait`.

        Raises:
            MeshError: the broker refuses for good.
        """

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Hold records of these partitions back until `resume`; polling goes on.

        A pause ends with the assignment: a partition that comes back is not paused.
        """

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Deliver their records again, where `pause` left off."""

    def store(self, offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        """Note offsets that the next commit, periodic or explicit, will make durable."""

    def commit(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Make these offsets durable, or all that are stored; blocks until the broker has them.

        Given offsets replace what is stored for their partitions.

        Raises:
            TransientError: the broker did not take them, or the group is rebalancing.
        """

    def committed(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, StoredOffset]:
        """What the group committed, with metadata; partitions without a commit are left out.

        Raises:
            TransientError: the broker did not answer.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on from this offset in an assigned partition."""

    def assignment(self) -> Collection[TopicPartition]:
        """The partitions that this member owns now."""

    def answers(self) -> bool:
        """Whether the broker answers; waits two seconds at most."""

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end of each owned partition, as far as is known without asking."""

    def close(self, offsets: Mapping[TopicPartition, StoredOffset] | None = None) -> None:
        """Commit these offsets and what is stored, and leave the group, after a last `on_revoke`.

        Ends in bounded time, if need be without the broker's answer; repeatable.
        """


class Producer(Protocol):
    """Publishes records with all acknowledgements; used from one thread."""

    def produce(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        """Queue a record; a value of `None` is a tombstone. May block while the queue is full.

        Raises:
            TransientError: the queue stayed full.
            RejectedRecordError: the record is larger than the broker allows.
        """

    def flush(self, timeout: timedelta) -> None:
        """Wait until everything queued is acknowledged.

        Raises:
            TransientError: something was not; what was queued may be published again.
            MeshError: the broker refuses for good, for example an unknown topic.
        """


class Codec(Protocol):
    """Turns events into bytes and back."""

    def encode(self, topic: str, event: Any) -> bytes:
        """The event as the topic's schema says."""

    def decode(self, topic: str, data: bytes) -> Any:
        """The event in these bytes.

        Raises:
            RejectedRecordError: the bytes are no record of this topic.
        """


class Heartbeat(Protocol):
    """Shows that a loop is alive."""

    def beat(self) -> None:
        """Called once per turn of the loop; never blocks."""


class WorkerMetrics(Protocol):
    """What a worker measures; every method returns at once and never raises."""

    def consumed(self, lane: str, count: int) -> None:
        """Records were read."""

    def produced(self, topic: str, count: int) -> None:
        """Outputs were acknowledged."""

    def rejected(self, reason: str) -> None:
        """A record became a dead letter."""

    def shed(self, lane: str, reason: str, count: int) -> None:
        """Records were given up on purpose."""

    def retried(self, failures: int) -> None:
        """A batch failed for a passing reason and will be tried again."""

    def processed(self, count: int, seconds: float) -> None:
        """A batch of so many records left the stage after so long."""

    def lag(self, partition: TopicPartition, records: int) -> None:
        """So many records wait in the broker."""

    def waiting(self, lane: str, records: int) -> None:
        """So many records wait in memory."""

    def paused(self, lane: str, *, paused: bool) -> None:
        """Whether a lane is held back until the next stage has caught up."""


class NoMetrics:
    """Measures nothing."""

    def consumed(self, lane: str, count: int) -> None:
        """Do nothing."""

    def produced(self, topic: str, count: int) -> None:
        """Do nothing."""

    def rejected(self, reason: str) -> None:
        """Do nothing."""

    def shed(self, lane: str, reason: str, count: int) -> None:
        """Do nothing."""

    def retried(self, failures: int) -> None:
        """Do nothing."""

    def processed(self, count: int, seconds: float) -> None:
        """Do nothing."""

    def lag(self, partition: TopicPartition, records: int) -> None:
        """Do nothing."""

    def waiting(self, lane: str, records: int) -> None:
        """Do nothing."""

    def paused(self, lane: str, *, paused: bool) -> None:
        """Do nothing."""
