"""What people should know of frames that went on without everything that was asked for."""

from collections import OrderedDict
from collections.abc import Iterable

from mesh.clock import Clock
from mesh.events import FrameHeader, LogEvent
from mesh.identity import derived_id

EVERY_SECONDS = 600.0
"""A camera's missing task is told again after this."""
MOST = 4096
"""Cameras and tasks that are remembered."""


class Notices:
    """Says which tasks of a camera no loaded model can do: at most every ten minutes each."""

    def __init__(self, clock: Clock, instance_id: str, *, most: int = MOST) -> None:
        self._most = most
        self._clock = clock
        self._instance_id = instance_id
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    def about(self, frame: FrameHeader, tasks: Iterable[str]) -> list[LogEvent]:
        """An event per task that was not told lately."""
        return [self._event(frame, task) for task in sorted(tasks) if self._due(frame, task)]

    def _due(self, frame: FrameHeader, task: str) -> bool:
        key, now = (frame.camera_id, task), self._clock.monotonic()
        if key in self._told and now - self._told[key] < EVERY_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > self._most:
            self._told.popitem(last=False)
        return True

    def _event(self, frame: FrameHeader, task: str) -> LogEvent:
        return LogEvent(
            event_id=derived_id("evt", frame.frame_key, "task_unavailable", task),
            event_type="task_unavailable",
            occurred_at=self._clock.now(),
            severity="warning",
            service="detection",
            instance_id=self._instance_id,
            camera_id=frame.camera_id,
            camera_name=frame.camera_name,
            frame_id=frame.frame_id,
            message=f"No loaded model can do the task {task}; the camera's other tasks go on.",
            attributes={"task": task, "frame_key": frame.frame_key},
        )
