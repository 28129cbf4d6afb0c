"""Statuses and events that wait to be told."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence

from mesh.events import CameraStatus, LogEvent

_EVENTS = 1000
"""Events that may wait for the broker; older ones are dropped first."""


class ReportQueue:
    """Of each camera only the newest status waits, and only one is on its way; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[str, CameraStatus | None] = {}
        self._telling: set[str] = set()
        self._events: deque[LogEvent] = deque(maxlen=_EVENTS)

    def __bool__(self) -> bool:
        with self._lock:
            return bool(self._statuses or self._events)

    def status(self, camera_id: str, status: CameraStatus | None) -> None:
        """The latest status of a camera, or a tombstone; replaces one that still waits."""
        with self._lock:
            self._statuses[camera_id] = status

    def event(self, event: LogEvent) -> None:
        """Something happened."""
        with self._lock:
            self._events.append(event)

    def take_statuses(self) -> Mapping[str, CameraStatus | None]:
        """What waits, but for cameras of which a status is on its way; each must be answered."""
        with self._lock:
            free = self._statuses.keys() - self._telling
            self._telling |= free
            return {camera_id: self._statuses.pop(camera_id) for camera_id in free}

    def answered(self, camera_id: str, status: CameraStatus | None, *, taken: bool) -> None:
        """The broker took a status, or it waits again unless there is a newer one."""
        with self._lock:
            self._telling.discard(camera_id)
            if not taken:
                self._statuses.setdefault(camera_id, status)

    def take_events(self) -> Sequence[LogEvent]:
        """All that wait, oldest first."""
        with self._lock:
            return [self._events.popleft() for _ in range(len(self._events))]

    def give_back(self, event: LogEvent) -> None:
        """The broker did not take an event: it waits again, as the oldest, if there is room."""
        with self._lock:
            if len(self._events) < _EVENTS:
                self._events.appendleft(event)
