"""Reads a group's partitions from positions that the database holds, not the broker."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from mesh.clock import Clock
from mesh.events import LogEvent
from mesh.logs import get_logger
from mesh.ports import Consumer, StoredOffset
from mesh.record import RawRecord, TopicPartition
from results.adapters.writer_store import Move
from results.domain.gaps import Missing, gap_event

_POLL = timedelta(milliseconds=100)
_SHORTEST_SECONDS = 0.001
_COMPACTED = ("persons",)


class Positions(Protocol):
    """Where the next offsets are kept; see `PostgresStore`."""

    def positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offset of each partition."""

    def rewind(self, move: Move) -> None:
        """Start a partition again whose topic was created anew."""


class Ends(Protocol):
    """Who asks the broker how far partitions go; see `mesh.kafka.standstill.Standstill`."""

    def look(self, read: Mapping[TopicPartition, int | None]) -> Mapping[TopicPartition, int]:
        """Records behind each of these next offsets, as far as the broker told; never blocks."""


class PositionedReader:
    """One member of the writer's group; used from the thread that polls.

    A partition is read only once its position is known and sought to; records of any other are
    dropped, because they will come again. `pending` is what was read and is not written yet,
    `missing` tells of what could not be read, until it is stored.
    """

    def __init__(
        self,
        *,
        consumer: Consumer,
        positions: Positions,
        ends: Ends,
        clock: Clock,
        instance_id: str = "writer",
    ) -> None:
        self.pending: list[RawRecord] = []
        self.missing: list[LogEvent] = []
        self.assigned = False
        self._consumer = consumer
        self._positions = positions
        self._ends = ends
        self._clock = clock
        self._instance_id = instance_id
        self._next: dict[TopicPartition, int] = {}
        self._joining: set[TopicPartition] = set()
        self._rewinding: dict[TopicPartition, Move] = {}
        self._fresh: set[TopicPartition] = set()
        self._log = get_logger("writer")

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group."""
        self._consumer.subscribe(
            topics, on_assign=self._assigned, on_revoke=self._gone, on_lost=self._lost
        )

    def join(self) -> None:
        """Seek the partitions that are new to where the database says.

        Raises:
            TransientError: the database or the broker is away; call it again.
            FencedError: another writer is at a partition whose topic starts again.
        """
        for partition, move in list(self._rewinding.items()):
            self._positions.rewind(move)
            del self._rewinding[partition]
            self._joining.add(partition)
        if self._joining:
            found = self._positions.positions(self._joining)
            for partition, offset in found.items():
                self._consumer.seek(partition, offset)
            self._next |= found
            self._fresh |= self._joining
            self._joining.clear()

    def read(self, max_records: int, max_wait: timedelta) -> None:
        """Fill `pending` with what comes next."""
        self.pending = self._consumer.poll_batch(max_records, max_wait)
        for record in self.pending:
            if record.source in self._fresh and record.source in self._next:
                self._first(record)
        self.pending = self.due(self.pending)

    def due(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """Those that are still to be written by this member."""
        return [r for r in records if r.offset >= self._next.get(r.source, r.offset + 1)]

    def moves(self, records: Sequence[RawRecord]) -> list[Move]:
        """How far these records, in the order they were read, take their partitions."""
        ends = {record.source: record.offset + 1 for record in records}
        return [Move(partition, self._next[partition], end) for partition, end in ends.items()]

    def advance(self, moves: Sequence[Move]) -> None:
        """The moves are durable; the broker learns of them too, for whoever watches the lag."""
        ends = {move.partition: move.end for move in moves}
        self._next |= ends
        self._consumer.store({partition: StoredOffset(end) for partition, end in ends.items()})

    def lag(self) -> Mapping[TopicPartition, int]:
        """Records behind the end of each partition, also where the client never fetched any."""
        known, told = self._consumer.lag(), self._ends.look(self._next)
        return {
            source: max(known.get(source, 0), told.get(source, 0))
            for source in known.keys() | told.keys()
        }

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Another writer moved these on: ask the database where they are now."""
        self._gone(partitions)
        self._joining |= set(partitions)

    def hold(self, delay: timedelta) -> None:
        """Wait with every partition paused, but go on polling: the group must not lose a member."""
        held = list(self._consumer.assignment())
        self._consumer.pause(held)
        until = self._clock.monotonic() + delay.total_seconds()
        left = delay.total_seconds()
        while left >= _SHORTEST_SECONDS:
            # What arrives nevertheless is of new partitions: not sought yet, it comes again.
            self._consumer.poll_batch(1, min(_POLL, timedelta(seconds=left)))
            left = until - self._clock.monotonic()
        still = set(self._consumer.assignment())
        self._consumer.resume([partition for partition in held if partition in still])

    def _assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.assigned = True
        self._joining |= set(partitions)

    def _lost(self, partitions: Collection[TopicPartition]) -> None:
        self.assigned = False
        self._gone(partitions)

    def _gone(self, partitions: Collection[TopicPartition]) -> None:
        gone = set(partitions)
        self._joining -= gone
        self._fresh -= gone
        for partition in gone:
            self._next.pop(partition, None)
            self._rewinding.pop(partition, None)
        self.pending = [record for record in self.pending if record.source not in gone]

    def _first(self, record: RawRecord) -> None:
        """The first record after a seek tells whether the topic still holds the position."""
        source, expected = record.source, self._next[record.source]
        self._fresh.discard(source)
        if record.offset < expected:
            self._log.error("topic_created_anew", partition=source, position=expected)
            self._rewinding[source] = Move(source, expected, record.offset)
            del self._next[source]
        elif record.offset > expected and not source.topic.endswith(_COMPACTED):
            missed = record.offset - expected
            self._log.error("records_expired_unread", partition=source, count=missed)
            found = Missing(source, expected, record.offset, record.timestamp)
            self.missing.append(gap_event(found, self._clock.now(), self._instance_id))
