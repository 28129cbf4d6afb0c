"""A picture that PyAV decoded."""

import zlib
from dataclasses import dataclass, field
from datetime import datetime

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from camera.adapters.jpeg_frame import THUMBNAIL
from camera.adapters.pyav_jpeg import JpegEncoder
from mesh.events import INLINE_BYTES, TimestampSource

_EVERY_ROW = 4


@dataclass(frozen=True, slots=True)
class PyAvFrame:
    """A decoded picture of a PyAV stream."""

    media_time: float
    claimed: datetime | None
    source: TimestampSource
    size: int
    _frame: av.VideoFrame
    _encoder: JpegEncoder = field(default_factory=JpegEncoder)

    @property
    def width(self) -> int:
        """Pixels."""
        return self._frame.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self._frame.height

    def jpeg(self, limit: int = INLINE_BYTES) -> bytes | None:
        """The picture as JPEG of at most so many bytes, coarser if it has to be."""
        return self._encoder.encode(self._frame, limit)

    def small_jpeg(self) -> bytes | None:
        """The second stream's picture of the same moment."""
        return None

    def fingerprint(self) -> int:
        """Checksum of every fourth row of the first plane, which is brightness in video."""
        plane = self._frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return zlib.crc32(rows[::_EVERY_ROW, : plane.width].tobytes())

    def thumbnail(self) -> NDArray[np.uint8]:
        """The picture in grey, (height, width)."""
        scale = THUMBNAIL / max(self.width, self.height)
        small = self._frame.reformat(
            width=max(1, round(self.width * scale)),
            height=max(1, round(self.height * scale)),
            format="gray",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return small.to_ndarray().astype(np.uint8, copy=False)
