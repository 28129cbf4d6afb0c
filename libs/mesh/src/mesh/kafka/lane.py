"""One lane of a worker: a consumer, and how far each of its partitions is worked off."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mesh.errors import TransientError
from mesh.kafka.progress import Gap, PartitionProgress
from mesh.ports import Consumer, StoredOffset
from mesh.record import RawRecord, Record, TopicPartition
from mesh.scheduler import LaneSpec

_log = logging.getLogger(__name__)
_COMMITTED_TRIES = 3
_SLICE = 16
_ZERO = timedelta(0)

Dropped = Callable[[Collection[TopicPartition]], object]
"""Told which partitions others own now, so that their waiting records are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumed(Record[Any]):
    """A record with what the worker needs to know of it; stages see a plain `Record`."""

    original: bytes | None
    """Its value as it was read."""
    lane: "Lane"
    progress: PartitionProgress

    @property
    def owned(self) -> bool:
        """Whether its partition has been this worker's ever since it was read."""
        return self.progress.owned

    @property
    def suspect(self) -> bool:
        """Whether the record may have ended a process before."""
        return self.progress.is_suspect(self.offset)

    def finish(self) -> None:
        """The record is done, whatever became of it."""
        self.progress.finish(self.offset)


class Lane:
    """Reads a lane's topics, and stores and marks offsets as `mesh.kafka.progress` describes.

    On revocation the batch in hand is already finished or waits in this very thread, so what
    remains is to forget the buffered records and to commit.
    """

    def __init__(
        self, spec: LaneSpec, consumer: Consumer, *, group: str, compacted: bool = False
    ) -> None:
        """Take what to read, with what and as whom; compacted topics have gaps by nature."""
        self.spec = spec
        self.group = group
        self.joined = False
        self._consumer = consumer
        self.compacted = compacted
        self._progress: dict[TopicPartition, PartitionProgress] = {}
        self._stored: dict[TopicPartition, int | None] = {}
        self._held: set[TopicPartition] = set()
        self._orderly = True
        self._dropped: Dropped = lambda _: None
        self._land: Callable[[], None] = lambda: None

    def open(self, dropped: Dropped, land: Callable[[], None]) -> None:
        """Join the group; before partitions are given away, `land` finishes what is on its way."""
        self._dropped = dropped
        self._land = land
        self._consumer.subscribe(
            self.spec.topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    @property
    def room(self) -> int:
        """How many more records may be in memory."""
        hands = [progress.in_hand for progress in self._progress.values()]
        if sum(size for _, size in hands) >= self.spec.prefetch_bytes:
            return 0
        return max(0, self.spec.prefetch - sum(count for count, _ in hands))

    @property
    def behind(self) -> bool:
        """Whether the broker has more than was read, as far as is known without asking."""
        return any(self._consumer.lag().values())

    def read(self, max_wait: timedelta) -> list[Consumed]:
        """What has arrived and there is room for; waits for a first record at most."""
        self._hold(hold=False)
        records: list[Consumed] = []
        while (count := min(self.room, _SLICE)) > 0:
            found = self._poll(count, _ZERO if records else max_wait)
            records += found
            if len(found) < count:
                break
        return records

    def wait(self, max_wait: timedelta) -> list[Consumed]:
        """Do the group's business for so long, paused; a partition just assigned may still give."""
        self._hold(hold=True)
        return self._poll(1, max_wait)

    def _poll(self, count: int, max_wait: timedelta) -> list[Consumed]:
        records = self._consumer.poll_batch(count, max_wait)
        # A rebalance between two records of one poll may have taken a partition away again.
        mine = [raw for raw in records if raw.source in self._progress]
        self._look(mine)
        return [self._begin(raw) for raw in mine]

    def _look(self, records: Sequence[RawRecord]) -> None:
        """Note where partitions end whose first records these are."""
        read = {each.source: each.offset + 1 for each in records}
        if not any(self._progress[source].untouched for source in read):
            return
        behind = self._consumer.lag()
        for source, position in read.items():
            if self._progress[source].untouched:
                self._progress[source].look(position + behind[source] if source in behind else None)

    def gaps(self) -> list[Gap]:
        """What was found missing and is not reported yet."""
        return [gap for progress in self._progress.values() for gap in progress.gaps]

    def reported(self, gaps: Collection[Gap]) -> None:
        """These gaps are known to the world: offsets may go on beyond them."""
        for progress in self._progress.values():
            progress.reported(gaps)

    def mark_running(self, records: Iterable[Consumed]) -> None:
        """Let the group know that these records' partitions are being worked on, if it does not.

        Raises:
            TransientError: the broker did not take it.
        """
        found = {record.progress for record in records if record.owned}
        self.commit_marks([progress for progress in found if not progress.marked])

    def commit_marks(self, marked: Collection[PartitionProgress]) -> None:
        """Commit positions and marks of what is still ours, at once.

        Raises:
            TransientError: the broker did not take them.
        """
        offsets = {
            each.source: stored
            for each in marked
            if each.owned and (stored := each.stored(running=True))
        }
        self._consumer.commit(offsets)
        for progress in marked:
            progress.marked = True

    def store(self) -> None:
        """Note the lowest unfinished offsets for the next periodic commit."""
        moved = {
            source: stored
            for source, progress in self._progress.items()
            if progress.position != self._stored.get(source)
            and (stored := progress.stored(running=True))
        }
        self._consumer.store(moved)
        self._stored |= {source: stored.offset for source, stored in moved.items()}

    def lag(self) -> Iterable[tuple[TopicPartition, int]]:
        """Records that wait in the broker, by partition."""
        return self._consumer.lag().items()

    def read_until(self) -> Mapping[TopicPartition, int | None]:
        """The next offset to arrive of each partition that should move; a held lane has none."""
        if self.spec.held():
            return {}
        return {source: progress.expected for source, progress in self._progress.items()}

    def answers(self) -> bool:
        """Whether the broker answers; waits two seconds at most."""
        return self._consumer.answers()

    def close(self, *, orderly: bool) -> None:
        """Leave the group; the marks say `running` for ever unless the end is orderly."""
        ends = self._ends(self._progress) if orderly else {}
        self._orderly = False  # what closing revokes is committed by then
        self._consumer.close(ends)

    def _begin(self, raw: RawRecord) -> Consumed:
        progress = self._progress[raw.source]
        progress.begin(raw.offset, raw.timestamp, len(raw.event or b""))
        if self.compacted:
            progress.reported(progress.gaps)
        return Consumed(
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            key=raw.key,
            event=raw.event,
            headers=raw.headers,
            timestamp=raw.timestamp,
            original=raw.event,
            lane=self,
            progress=progress,
        )

    def _hold(self, *, hold: bool) -> None:
        """Pause what is not paused yet, or resume it; librdkafka refetches after either."""
        wanted = set(self._progress) if hold else set()
        if paused := wanted - self._held:
            self._consumer.pause(paused)
        if resumed := (self._held - wanted) & set(self._progress):
            self._consumer.resume(resumed)
        self._held = wanted

    def _on_assign(self, partitions: Collection[TopicPartition]) -> None:
        committed = self._committed(partitions)
        self.joined = True
        for source in partitions:
            found = committed.get(source)
            self._progress[source] = PartitionProgress(source, found, self.spec.window)
            self._stored[source] = found.offset if found else None

    def _committed(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, StoredOffset]:
        """What the group committed; a coordinator that is slow to answer is asked again."""
        for _ in range(_COMMITTED_TRIES - 1):
            try:
                return self._consumer.committed(partitions)
            except TransientError as error:
                _log.warning("%s", error)
        return self._consumer.committed(partitions)

    def _on_revoke(self, partitions: Collection[TopicPartition]) -> None:
        if self._orderly:
            self._land()
            self._end(partitions)
        self._forget(partitions)

    def _on_lost(self, partitions: Collection[TopicPartition]) -> None:
        _log.warning("lost %s", sorted(partitions))
        self.joined = False
        self._forget(partitions)

    def _end(self, partitions: Collection[TopicPartition]) -> None:
        try:
            self._consumer.commit(self._ends(partitions))
        except TransientError as error:  # the next owner repeats what was not committed
            _log.warning("offsets of %s not committed: %s", sorted(partitions), error)

    def _ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
        mine = [self._progress[source] for source in partitions if source in self._progress]
        return {each.source: stored for each in mine if (stored := each.stored(running=False))}

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        self._dropped(frozenset(partitions))
        for source in partitions:
            self._stored.pop(source, None)
            self._held.discard(source)
            progress = self._progress.pop(source, None)
            if progress is not None:
                progress.owned = False
