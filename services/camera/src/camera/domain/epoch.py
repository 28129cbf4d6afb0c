"""One run of sequence numbers of one camera, and what becomes of every number."""

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from camera.domain.ring import Ring, RingLimits
from camera.domain.statistics import Statistics
from mesh.events import FrameCaptured, Lane, LedgerEntry, SequenceRange
from mesh.sequences import as_ranges


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame on its way to the broker."""

    sequence: int
    event: FrameCaptured

    @property
    def size(self) -> int:
        """Bytes of the picture."""
        return len(self.event.image or b"")


class Epoch:
    """Numbers the sampled frames of one connection and keeps account of them; thread-safe.

    Frames wait in a ring, are taken to be published, and are then acknowledged, given back or
    refused. Every number ends as published or as shed with a reason, and is told to the ledger
    once that is so: what was never told counts as lost if this process dies.
    """

    def __init__(
        self,
        camera_id: str,
        number: int,
        lane: Lane,
        *,
        limits: RingLimits,
        statistics: Statistics,
    ) -> None:
        self.camera_id = camera_id
        self.number = number
        self.lane = lane
        self._statistics = statistics
        self._lock = threading.Lock()
        self._ring: Ring[Waiting] = Ring(limits, lambda waiting: waiting.size)
        self._in_flight: dict[int, Waiting] = {}
        self._next = 0
        self._closed = False
        self._ended = False
        self._settled: set[int] = set()
        self._shed: dict[str, set[int]] = {}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to publish or to tell the ledger."""
        with self._lock:
            idle = self._closed and not self._ring and not self._in_flight
            return idle and (self._ended or self._next == 0)

    def offer(self, make: Callable[[int], FrameCaptured]) -> bool:
        """Numbers a sampled frame and lets it wait; drops the oldest if too many wait.

        Args:
            make: Builds the event for the number that it gets.

        Returns:
            False if the epoch is closed; the frame then has no number.
        """
        with self._lock:
            if self._closed:
                return False
            waiting = Waiting(self._next, make(self._next))
            self._next += 1
            self._give_up(self._ring.push(waiting), self._ring.limits.reason)
            return True

    def waste(self, reason: str) -> None:
        """Numbers a sampled frame that cannot be published, and gives it up."""
        with self._lock:
            if not self._closed:
                self._settle([self._next], reason)
                self._next += 1

    def take(self, limit: int) -> list[Waiting]:
        """Up to so many of the oldest frames, to be published; fewer if some still are."""
        with self._lock:
            taken = self._ring.pop(max(0, limit - len(self._in_flight)))
            self._in_flight |= {waiting.sequence: waiting for waiting in taken}
            return taken

    def acknowledge(self, sequence: int) -> None:
        """The broker has a frame."""
        with self._lock:
            del self._in_flight[sequence]
            self._settled.add(sequence)
            self._statistics.queued()

    def give_back(self, sequence: int) -> None:
        """The broker did not take a frame; it waits again, in its place."""
        with self._lock:
            waiting = [self._in_flight.pop(sequence), *self._ring.pop(len(self._ring))]
            for each in sorted(waiting, key=lambda one: one.sequence):
                self._give_up(self._ring.push(each), self._ring.limits.reason)

    def refuse(self, sequence: int, reason: str) -> None:
        """A frame can never be published."""
        with self._lock:
            self._give_up([self._in_flight.pop(sequence)], reason)

    def close(self) -> None:
        """Takes no more frames; what waits may still be published. Repeatable."""
        with self._lock:
            self._closed = True

    def report(self, now: datetime, instance_id: str) -> list[LedgerEntry]:
        """What the ledger has not been told yet; the last entry of a closed epoch closes it.

        Every entry must be answered by `reported` or `unreported`.
        """
        with self._lock:
            shed, self._shed = self._shed, {}
            settled, self._settled = self._settled, set()
            over = self._closed and not self._ring and not self._in_flight and not self._ended
            entries = [
                self._entry("shed", as_ranges(numbers), now, instance_id, reason=reason)
                for reason, numbers in sorted(shed.items())
            ]
            if over and self._next:
                whole = (SequenceRange(first=0, last=self._next - 1),)
                entries.append(self._entry("captured", whole, now, instance_id, closes=True))
                self._ended = True
            elif settled:
                entries.append(self._entry("captured", as_ranges(settled), now, instance_id))
            return entries

    def unreported(self, entry: LedgerEntry) -> None:
        """The broker did not take an entry; it will be part of the next report."""
        numbers = {n for each in entry.ranges for n in range(each.first, each.last + 1)}
        with self._lock:
            if entry.closes_epoch:
                self._ended = False
            elif entry.reason is not None:
                self._shed.setdefault(entry.reason, set()).update(numbers)
            else:
                self._settled |= numbers

    def _give_up(self, dropped: Iterable[Waiting], reason: str) -> None:
        self._settle([waiting.sequence for waiting in dropped], reason)

    def _settle(self, numbers: Collection[int], reason: str) -> None:
        if numbers:
            self._settled.update(numbers)
            self._shed.setdefault(reason, set()).update(numbers)
            self._statistics.gave_up(reason, len(numbers))

    def _entry(
        self,
        outcome: str,
        ranges: tuple[SequenceRange, ...],
        now: datetime,
        instance_id: str,
        *,
        reason: str | None = None,
        closes: bool = False,
    ) -> LedgerEntry:
        return LedgerEntry(
            camera_id=self.camera_id,
            epoch=self.number,
            lane=self.lane,
            outcome=outcome,
            reason=reason,
            ranges=ranges,
            closes_epoch=closes,
            service="camera",
            instance_id=instance_id,
            reported_at=now,
        )
