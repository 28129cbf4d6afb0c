"""How far a partition is worked off, and what the group remembers about it: pure values.

Batches finish out of order, so what is stored is the lowest unfinished offset. Beside it stands a
`Mark`, in the metadata of the committed offset. It is how the next owner learns whether the last
one ended in an orderly way:

- Before the first record of a partition since its assignment is processed, the worker commits
  `running` at the lowest unfinished offset, once; every offset stored afterwards says `running`.
- An orderly end (stop, revocation, nothing wrong with the records) commits `running: false`.
- Whoever is assigned a partition that still says `running` knows that its last owner was killed or
  crashed. The committed offset is at most one commit interval and one prefetch behind what was in
  hand then, so the next `window` records, of those that are there by now, are *suspects*: each had
  one attempt, as far as anyone can tell. A suspect is processed alone, and before that its attempt
  is committed. A crash beyond the window has moved the committed offset on by at least the window,
  so the culprit is in the next one or a later one.
- A record whose attempts are used up is not processed again.

Nothing else is written before a batch: the happy path costs one commit per assignment.
"""

import json
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from typing_extensions import override

from mesh.ports import StoredOffset
from mesh.record import TopicPartition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the metadata of a committed offset says."""

    running: bool = False
    """Its writer had the partition and had not ended in an orderly way."""
    attempts: Mapping[int, int] = field(default_factory=dict)
    """Attempts of records, by offset, that were tried alone and have not finished."""
    suspect_until: int = 0
    """Records below this offset may have been in hand when a process ended."""
    at: datetime | None = None
    """When the broker took the last record before the offset, as far as is known; milliseconds."""

    @classmethod
    def parse(cls, metadata: str) -> "Mark":
        """The mark in a commit's metadata; whatever is not ours is no mark."""
        try:
            found = json.loads(metadata)
            return cls(
                running=bool(found["running"]),
                attempts={int(offset): int(n) for offset, n in found.get("attempts", {}).items()},
                suspect_until=int(found.get("until", 0)),
                at=_EPOCH + timedelta(milliseconds=found["at"]) if "at" in found else None,
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return cls()

    @override
    def __str__(self) -> str:
        attempts = {"attempts": dict(self.attempts)} if self.attempts else {}
        until = {"until": self.suspect_until} if self.suspect_until else {}
        at = {"at": (self.at - _EPOCH) // timedelta(milliseconds=1)} if self.at else {}
        mark = {"running": self.running, **attempts, **until, **at}
        return json.dumps(mark, separators=(",", ":"))


class Gap(NamedTuple):
    """Offsets that the broker no longer had when their turn came."""

    source: TopicPartition
    first: int
    """First missing offset."""
    next: int
    """First offset that was there again."""
    since: datetime | None = None
    """When the broker took a record before the gap, if that is known."""
    until: datetime | None = None
    """When it took the first record after the gap."""


class PartitionProgress:
    """The records of one partition between arrival and end, for one assignment."""

    def __init__(self, source: TopicPartition, committed: StoredOffset | None, window: int) -> None:
        """Take what the group committed, if anything, and how many records an end may implicate."""
        mark = Mark.parse(committed.metadata) if committed else Mark()
        self.source = source
        self.owned = True
        self.marked = False
        """The group knows that this partition is being worked on."""
        self._expected = committed.offset if committed else None
        self._unfinished: deque[tuple[int, datetime | None]] = deque()
        self._gaps: list[Gap] = []
        self._bytes = 0
        self._done_at = self._begun_at = mark.at
        self._finished: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._attempts = dict(mark.attempts)
        self._tried: set[int] = set()
        self._looked = False
        self._suspect_until = mark.suspect_until
        if committed and mark.running:
            self._suspect_until = max(mark.suspect_until, committed.offset + window)

    @property
    def position(self) -> int | None:
        """The lowest offset that is unfinished or in a gap; `None` while nothing is known."""
        lowest = self._unfinished[0][0] if self._unfinished else self._expected
        if lowest is None or not self._gaps:
            return lowest
        return min(lowest, self._gaps[0].first)

    @property
    def expected(self) -> int | None:
        """The next offset to arrive; `None` while nothing is known."""
        return self._expected

    @property
    def gaps(self) -> Sequence[Gap]:
        """What was missing and is not reported yet; the position stays before it until it is."""
        return tuple(self._gaps)

    @property
    def in_hand(self) -> tuple[int, int]:
        """Records that are begun and not finished, and their size in bytes."""
        return len(self._sizes), self._bytes

    @property
    def untouched(self) -> bool:
        """No record has arrived since the assignment."""
        return not self._looked

    def look(self, end: int | None) -> None:
        """The first records are here, and where the partition ended then, as far as is known.

        What comes after that end was in nobody's hands before, however many the window allows.
        """
        self._looked = True
        if end is not None:
            self._suspect_until = min(self._suspect_until, end)

    def begin(self, offset: int, at: datetime | None = None, size: int = 0) -> None:
        """A record arrived, which the broker took `at`; a group starts at the first of all."""
        expected = self._expected or 0
        if offset > expected:
            self._gaps.append(Gap(self.source, expected, offset, self._begun_at, at))
        elif offset < expected:
            self._unfinished.clear()  # the log was cut behind us: count anew from here
            self._finished.clear()
            self._sizes.clear()
            self._bytes = 0
            self._gaps.clear()
        self._unfinished.append((offset, at))
        self._sizes[offset] = size
        self._bytes += size
        self._begun_at = at or self._begun_at
        self._expected = offset + 1

    def reported(self, gaps: Collection[Gap]) -> None:
        """These gaps are known to the world, or are none."""
        self._gaps = [gap for gap in self._gaps if gap not in gaps]

    def finish(self, offset: int) -> None:
        """A record is done, whatever became of it; repeatable."""
        self._finished.add(offset)
        self._bytes -= self._sizes.pop(offset, 0)
        self._attempts.pop(offset, None)
        self._tried.discard(offset)
        while self._unfinished and self._unfinished[0][0] in self._finished:
            gone, at = self._unfinished.popleft()
            self._finished.discard(gone)
            self._done_at = at or self._done_at

    def is_suspect(self, offset: int) -> bool:
        """Whether the record may have ended a process before."""
        return offset < self._suspect_until

    def count_attempt(self, offset: int) -> int:
        """Note one more attempt at a suspect; how many that makes, the first in its batch."""
        self._attempts[offset] = self._attempts.get(offset, 1) + 1
        self._tried.add(offset)
        return self._attempts[offset]

    def stored(self, *, running: bool) -> StoredOffset | None:
        """What to commit; `None` while nothing is known.

        At an orderly end (`running` is false) attempts that did not finish are not held against
        their records.
        """
        position = self.position
        if position is None:
            return None
        until = self._suspect_until if self._suspect_until > position else 0
        attempts = {
            offset: count - (offset in self._tried and not running)
            for offset, count in self._attempts.items()
        }
        mark = Mark(running=running, attempts=attempts, suspect_until=until, at=self._done_at)
        return StoredOffset(position, str(mark))
