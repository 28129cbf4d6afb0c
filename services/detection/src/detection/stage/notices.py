"""What people should know of frames that went on without everything that was asked for."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from detection.ports import ChipMeter
from mesh.clock import Clock
from mesh.events import CHIP_BUDGET, DetectedFace, FrameHeader, LogEvent
from mesh.identity import derived_id

EVERY_SECONDS = 600.0
"""The same of a camera is told again after this."""
MOST = 4096
"""Cameras and tasks that are remembered."""
_TASK = "task_unavailable"
_CROWD = "chips_left_out"


class Notices:
    """Says what the frames of a camera go without: at most every ten minutes each."""

    def __init__(
        self, clock: Clock, instance_id: str, *, chips: ChipMeter, most: int = MOST
    ) -> None:
        self._chips = chips
        self._most = most
        self._clock = clock
        self._instance_id = instance_id
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._left_out: dict[str, int] = {}

    def about(self, frame: FrameHeader, tasks: Iterable[str]) -> list[LogEvent]:
        """An event per task that no loaded model can do and that was not told lately."""
        return [
            self._event(
                frame,
                _TASK,
                f"No loaded model can do the task {task}; the camera's other tasks go on.",
                {"task": task},
            )
            for task in sorted(tasks)
            if self._due(frame, task)
        ]

    def crowd(self, frame: FrameHeader, faces: Sequence[DetectedFace]) -> list[LogEvent]:
        """An event if faces go without chips, with how many did since the last one."""
        missing = sum(any(each.reason == CHIP_BUDGET for each in face.rejections) for face in faces)
        if not missing:
            return []
        self._chips.left_out(missing)
        camera = frame.camera_id
        self._left_out[camera] = self._left_out.get(camera, 0) + missing
        if not self._due(frame, _CROWD):
            return []
        count = self._left_out.pop(camera)
        return [
            self._event(
                frame,
                _CROWD,
                f"{missing} of the frame's {len(faces)} faces have no chip, so that nobody "
                "recognises them: their chips together exceed SIGHTLINE_DETECTION_CHIP_BUDGET.",
                {"faces": str(len(faces)), "left_out": str(missing), "left_out_since": str(count)},
            )
        ]

    def _due(self, frame: FrameHeader, what: str) -> bool:
        key, now = (frame.camera_id, what), self._clock.monotonic()
        if key in self._told and now - self._told[key] < EVERY_SECONDS:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > self._most:
            (camera, _), _ = self._told.popitem(last=False)
            self._left_out.pop(camera, None)
        return True

    def _event(
        self, frame: FrameHeader, kind: str, message: str, attributes: Mapping[str, str]
    ) -> LogEvent:
        return LogEvent(
            event_id=derived_id("evt", frame.frame_key, kind, attributes.get("task", "")),
            event_type=kind,
            occurred_at=self._clock.now(),
            severity="warning",
            service="detection",
            instance_id=self._instance_id,
            camera_id=frame.camera_id,
            camera_name=frame.camera_name,
            frame_id=frame.frame_id,
            message=message,
            attributes={**attributes, "frame_key": frame.frame_key},
        )
