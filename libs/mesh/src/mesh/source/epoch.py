"""One run of sequence numbers of one camera, and what becomes of every number."""

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from mesh.events import FrameCaptured, Lane, LedgerEntry, SequenceRange
from mesh.sequences import as_ranges
from mesh.source.ring import Ring, RingLimits
from mesh.source.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame on its way to the broker."""

    sequence: int
    event: FrameCaptured

    @property
    def size(self) -> int:
        """Bytes of the pictures."""
        return len(self.event.image or b"") + len(self.event.detection_image or b"")


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
        service: str = "camera",
    ) -> None:
        self.camera_id = camera_id
        self.number = number
        self.lane = lane
        self._statistics = statistics
        self._service = service
        self._lock = threading.Lock()
        self._ring: Ring[Waiting] = Ring(limits, lambda waiting: waiting.size)
        self._in_flight: dict[int, Waiting] = {}
        self._next = 0
        self._returned = False
        self._closed = False
        self._unanswered = 0
        self._ended = False
        self._settled: set[int] = set()
        self._shed: dict[str, set[int]] = {}

    @property
    def finished(self) -> bool:
        """Whether nothing is left to publish, and the ledger has heard of everything."""
        with self._lock:
            return self._ended or (self._over() and self._next == 0)

    @property
    def drained(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        with self._lock:
            return not self._ring and not self._in_flight

    @property
    def idle(self) -> bool:
        """As `drained`, without a lock: what comes at this moment may be seen the next time."""
        return not self._in_flight and not len(self._ring)

    @property
    def waiting(self) -> tuple[int, int]:
        """Frames and bytes that wait or are on their way."""
        with self._lock:
            flying = sum(waiting.size for waiting in self._in_flight.values())
            return len(self._ring) + len(self._in_flight), self._ring.size + flying

    def has_room(self, size: int, frames: int) -> bool:
        """Whether one more frame would push none out, now or when what is on its way comes back.

        Args:
            size: Bytes that it may have.
            frames: No more than so many are to wait or be on their way.
        """
        count, held = self.waiting
        limits = self._ring.limits
        fits = limits.size is None or held + size <= limits.size
        together = limits.shared is None or limits.shared.fits(held + size)
        return count < min(frames, limits.frames) and fits and together

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

    def take(self, limit: int, now: datetime) -> list[Waiting]:
        """Up to so many of the oldest frames, to be published; fewer if some still are.

        A frame that is older than its camera allows is given up instead. While frames come back
        none are taken, so that a later one does not overtake them.
        """
        with self._lock:
            if self._returned and self._in_flight:
                return []
            self._returned = False
            taken: list[Waiting] = []
            while self._ring and len(self._in_flight) < limit:
                (waiting,) = self._ring.pop(1)
                deadline = waiting.event.frame.deadline
                if deadline is not None and deadline < now:
                    self._give_up([waiting], "max_age")
                    continue
                self._in_flight[waiting.sequence] = waiting
                taken.append(waiting)
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
            self._returned = True
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
        """What the ledger has not been told yet; the last entry of all closes the epoch.

        Every entry must be answered by `reported` or `unreported`. The closing one is made once all
        others have been reported, and only if the epoch had any frame.
        """
        with self._lock:
            entries = [
                self._entry("shed", as_ranges(numbers), now, instance_id, reason=reason)
                for reason, numbers in sorted(self._shed.items())
            ]
            if self._over() and self._next and not entries and not self._unanswered:
                if self._ended:
                    return []
                whole = (SequenceRange(first=0, last=self._next - 1),)
                entries.append(self._entry("captured", whole, now, instance_id, closes=True))
            elif self._settled:
                ranges = as_ranges(self._settled)
                entries.append(self._entry("captured", ranges, now, instance_id))
            self._shed, self._settled = {}, set()
            self._unanswered += len(entries)
            return entries

    def reported(self, entry: LedgerEntry) -> None:
        """The broker has an entry."""
        with self._lock:
            self._unanswered -= 1
            self._ended = self._ended or entry.closes_epoch

    def unreported(self, entry: LedgerEntry) -> None:
        """The broker did not take an entry; it will be part of the next report."""
        numbers = {n for each in entry.ranges for n in range(each.first, each.last + 1)}
        with self._lock:
            self._unanswered -= 1
            if entry.reason is not None:
                self._shed.setdefault(entry.reason, set()).update(numbers)
            elif not entry.closes_epoch:
                self._settled |= numbers

    def _over(self) -> bool:
        return self._closed and not self._ring and not self._in_flight

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
            service=self._service,
            instance_id=instance_id,
            reported_at=now,
        )
