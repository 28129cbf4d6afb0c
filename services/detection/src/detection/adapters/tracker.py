"""Short-term tracks by Roboflow's `trackers` (C-BIoU, Yang et al., WACV 2023).

C-BIoU compares boxes with a margin around them, which suits faces: they are small and cameras send
few frames a second, so a walking face may not overlap itself from one frame to the next.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import supervision
from trackers import CBIoUTracker
from typing_extensions import override

from detection.ports import Boxed
from mesh.events import FrameHeader

FRAME_RATE = 5.0
"""Frames per second that the motion model is tuned for; real times scale it."""

LOST_SECONDS = 3.0
"""A face that is gone for longer starts a new track."""

IDLE_SECONDS = 60.0
"""A camera that sent nothing for longer is forgotten."""

_LEAST_STEP = 0.001
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class _InstantTracker(CBIoUTracker):
    """Gives a face its track in the first frame that shows it, not in the second."""

    @override
    def _spawn_new_tracks(self, *args: Any, **kwargs: Any) -> None:
        super()._spawn_new_tracks(*args, **{**kwargs, "is_first_frame": True})


@dataclass(slots=True)
class _Stream:
    """The faces of one camera and epoch, since the frame that this process saw first."""

    name: str
    tracker: CBIoUTracker = field(
        default_factory=lambda: _InstantTracker(
            lost_track_buffer=round(LOST_SECONDS * 30),
            frame_rate=FRAME_RATE,
            track_activation_threshold=0.0,
            high_conf_det_threshold=0.0,
            minimum_consecutive_frames=1,
            minimum_iou_threshold_first_assoc=0.15,
        )
    )
    sequence: int = -1
    seconds: float = 0.0
    tracks: list[str | None] = field(default_factory=list)


class ShortTermTracker:
    """Follows the faces, or the persons, of many cameras; forgets idle ones.

    A track's name holds the epoch and the number of the first frame that this process saw of it:
    a restarted process never gives a name twice, and replaying a stream from the same frame gives
    the same names.
    """

    def __init__(self, *, max_streams: int = 1024, prefix: str = "trk") -> None:
        """Begin with no stream.

        Args:
            max_streams: cameras and epochs that are remembered.
            prefix: of the tracks' names; two trackers of one process need two.
        """
        self._max_streams = max_streams
        self._prefix = prefix
        self._streams: OrderedDict[tuple[str, int], _Stream] = OrderedDict()

    def __len__(self) -> int:
        """How many streams are remembered."""
        return len(self._streams)

    def follow(self, frame: FrameHeader, found: Sequence[Boxed]) -> list[str | None]:
        """The track of each face; none for a frame that comes after a later one."""
        stream = self._stream(frame)
        if frame.sequence_number > stream.sequence:
            stream.sequence = frame.sequence_number
            stream.seconds = max(frame.received_timestamp.timestamp(), stream.seconds + _LEAST_STEP)
            stream.tracks = _update(stream, found)
        elif frame.sequence_number < stream.sequence or len(found) != len(stream.tracks):
            return [None] * len(found)
        return list(stream.tracks)

    def _stream(self, frame: FrameHeader) -> _Stream:
        key = frame.camera_id, frame.epoch
        if key not in self._streams:
            self._forget(frame.received_timestamp.timestamp() - IDLE_SECONDS)
            name = f"{self._prefix}_{_base36(frame.epoch)}_{_base36(frame.sequence_number)}"
            self._streams[key] = _Stream(name)
        self._streams.move_to_end(key)
        return self._streams[key]

    def _forget(self, before: float) -> None:
        """Drop streams without a frame since `before`, and the idlest of too many."""
        idle = [key for key, stream in self._streams.items() if stream.seconds < before]
        for key in idle:
            del self._streams[key]
        while len(self._streams) >= self._max_streams:
            self._streams.popitem(last=False)


def _update(stream: _Stream, found: Sequence[Boxed]) -> list[str | None]:
    boxes = [(item.box.x1, item.box.y1, item.box.x2, item.box.y2) for item in found]
    detections = supervision.Detections(
        xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        confidence=np.array([item.confidence for item in found], dtype=np.float64),
        data={"row": np.arange(len(found))},
    )
    followed = stream.tracker.update(detections, timestamp=stream.seconds)
    tracks: list[str | None] = [None] * len(found)
    if followed.tracker_id is not None and len(followed):
        rows = np.asarray(followed.data["row"]).tolist()
        for row, number in zip(rows, followed.tracker_id.tolist(), strict=True):
            tracks[row] = f"{stream.name}_{number}" if number >= 0 else None
    return tracks


def _base36(number: int) -> str:
    digits = _DIGITS[number % 36]
    while number := number // 36:
        digits = _DIGITS[number % 36] + digits
    return digits
