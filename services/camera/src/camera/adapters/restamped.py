"""The picture of another frame, with something of its own."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from camera.ports import VideoFrame
from mesh.events import INLINE_BYTES, TimestampSource


@dataclass(frozen=True, slots=True)
class SamePicture:
    """What a frame shows that shows what another does."""

    frame: VideoFrame

    @property
    def width(self) -> int:
        """Pixels."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.frame.height

    def jpeg(self, limit: int = INLINE_BYTES) -> bytes | None:
        """The picture."""
        return self.frame.jpeg(limit)

    def fingerprint(self) -> int:
        """Of the picture."""
        return self.frame.fingerprint()

    def thumbnail(self) -> NDArray[np.uint8]:
        """Of the picture."""
        return self.frame.thumbnail()


@dataclass(frozen=True, slots=True)
class Restamped(SamePicture):
    """A picture whose time is known better than it says itself."""

    media_time: float
    claimed: datetime | None = None
    source: TimestampSource = TimestampSource.ARRIVAL

    @property
    def size(self) -> int:
        """Bytes received since the frame before."""
        return self.frame.size

    def small_jpeg(self) -> bytes | None:
        """The smaller picture."""
        return self.frame.small_jpeg()
