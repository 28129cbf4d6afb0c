"""When the pictures of a stream were taken."""

import struct
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

_PRODUCER_REFERENCE_TIME = struct.Struct("<qi")
_FAR_FUTURE = 1e11


@dataclass(slots=True)
class StreamClock:
    """The times of a stream's pictures; knows the camera's own clock once it is told."""

    _media_time: float = 0.0
    """Of the picture before; goes on by the wall clock while the stream tells no time."""
    _arrived: float | None = None
    """When the picture before came, seconds of the monotonic clock."""
    _offset: float | None = None
    """Seconds between the stream's time and the camera's wall clock."""

    def times(self, told: float | Fraction | None) -> tuple[float, datetime | None]:
        """A picture's place in the stream, and when the camera says it was taken.

        Args:
            told: Its place as the stream tells it, seconds.
        """
        arrived = time.monotonic()
        passed = 0.0 if self._arrived is None else arrived - self._arrived
        media_time = self._media_time + passed if told is None else float(told)
        self._media_time, self._arrived = media_time, arrived
        if told is None or self._offset is None:
            return media_time, None
        return media_time, _instant(media_time + self._offset)

    def note(self, packet: Any) -> None:
        """Learns the camera's clock from RTCP sender reports, which come within seconds."""
        at = place(packet)
        if at is None or not packet.has_sidedata("prft"):
            return
        micros, _ = _PRODUCER_REFERENCE_TIME.unpack_from(bytes(packet.get_sidedata("prft")))
        self._offset = micros / 1e6 - at


def place(packet: Any) -> float | None:
    """Of a packet in the stream, seconds; none if the stream does not tell."""
    if packet.pts is None or packet.time_base is None:
        return None
    return float(packet.pts * packet.time_base)


def _instant(seconds: float) -> datetime | None:
    """A moment of the wall clock, if it is one."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _FAR_FUTURE else None
