"""Which frames wait while the gallery is not to be trusted, and for how long."""

from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from mesh.events import FrameDetected, Lane, Purpose
from mesh.record import Record, TopicPartition
from mesh.scheduler import Scheduled, Scheduler, Shed

GALLERY = "gallery"
"""Reason of live and urgent frames that grew too old while the gallery could not be searched."""
DEADLINE = "deadline"
"""Reason of requests whose deadline passed meanwhile."""

_AGING = (Lane.LIVE, Lane.URGENT)
Problem = Callable[[], str | None]
"""Says what is wrong, or nothing; answers at once."""


def overdue(event: FrameDetected, now: datetime) -> str | None:
    """Why a frame that the gallery kept waiting is no longer worth the work, if it is not."""
    frame = event.frame
    if event.request is not None:
        return DEADLINE if frame.deadline is not None and frame.deadline <= now else None
    limit = timedelta(milliseconds=event.detection.max_age_ms)
    is_old = frame.lane in _AGING and now - frame.received_timestamp > limit
    return GALLERY if is_old else None


class GalleryGate:
    """A scheduler of one lane behind which every frame waits while the gallery is stale.

    What waits stays in order and is bounded by the lane's prefetch; beyond it the partitions are
    paused. Whatever is overdue leaves as shed meanwhile, and afterwards if it was received before
    the gate opened again. Enrolment photos, which need the database itself, wait for that too.
    """

    def __init__(self, inner: Scheduler, *, gallery: Problem, database: Problem) -> None:
        self._inner = inner
        self._gallery = gallery
        self._database = database
        self._lane = ""
        self._held: deque[Record[Any]] = deque()
        self._shut = False
        self._opened_at: datetime | None = None

    def add(self, lane: str, record: Record[Any]) -> None:
        """Let a record wait."""
        self._lane = lane
        self._inner.add(lane, record)

    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        """The next frames, none while the gallery is stale; and what has waited too long."""
        was_shut, self._shut = self._shut, self._gallery() is not None
        if was_shut and not self._shut:
            self._opened_at = now
        room = self._inner.waiting(self._lane) if self._shut else capacity - len(self._held)
        arrived = self._inner.next_batch(now, max(room, 0)) if self._lane else Scheduled()
        queue, self._held = [*self._held, *arrived.batch], deque()
        batch: list[Record[Any]] = []
        shed = list(arrived.shed)
        for record in queue:
            reason = self._overdue(record.event, now)
            if reason is not None:
                shed.append(Shed(record, reason, self._lane))
            elif self._waits(record.event) or len(batch) == capacity:
                self._held.append(record)
            else:
                batch.append(record)
        return Scheduled(batch, shed)

    def waiting(self, lane: str) -> int:
        """How many records wait."""
        return self._inner.waiting(lane) + len(self._held)

    def drop(self, partitions: Collection[TopicPartition]) -> int:
        """Forget the waiting records of partitions that others own now."""
        kept = deque(record for record in self._held if record.source not in partitions)
        dropped = len(self._held) - len(kept)
        self._held = kept
        return dropped + self._inner.drop(partitions)

    def _waits(self, event: FrameDetected) -> bool:
        if self._shut:
            return True
        return event.frame.purpose is Purpose.ENROLLMENT and self._database() is not None

    def _overdue(self, event: FrameDetected, now: datetime) -> str | None:
        """Why the frame is shed; none unless it is the gallery that kept it waiting."""
        opened_at = self._opened_at
        waited = opened_at is not None and event.frame.received_timestamp < opened_at
        return overdue(event, now) if waited or self._waits(event) else None
