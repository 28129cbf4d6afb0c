"""Pictures that come as JPEG and are passed on as they are."""

import zlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from mesh.events import INLINE_BYTES, TimestampSource

QUALITIES = (85, 75, 60, 40)
"""Tried in turn until a picture is small enough."""
THUMBNAIL = 128
"""Longer side, pixels, at most."""


@dataclass(frozen=True, slots=True)
class JpegFrame:
    """A picture that came as JPEG; only one that is too large is ever decoded to be sent."""

    image: bytes
    width: int
    height: int
    media_time: float
    size: int
    claimed: datetime | None = None

    @property
    def source(self) -> TimestampSource:
        """The camera's own time stands beside the picture, if at all."""
        return TimestampSource.ARRIVAL if self.claimed is None else TimestampSource.HEADER

    def jpeg(self, limit: int = INLINE_BYTES) -> bytes | None:
        """The picture as it came, coarser if it has more bytes than this."""
        if len(self.image) <= limit:
            return self.image
        try:
            pixels = simplejpeg.decode_jpeg(self.image, strict=False)
        except ValueError:
            return None
        for quality in QUALITIES:
            image: bytes = simplejpeg.encode_jpeg(pixels, quality=quality, colorsubsampling="420")
            if len(image) <= limit:
                return image
        return None

    def small_jpeg(self) -> bytes | None:
        """Such cameras send one stream."""
        return None

    def fingerprint(self) -> int:
        """Checksum of the bytes that came."""
        return zlib.crc32(self.image)

    def thumbnail(self) -> NDArray[np.uint8]:
        """The picture in grey, (height, width); black if it cannot be decoded."""
        step = max(1, -(-max(self.width, self.height) // THUMBNAIL))
        height, width = -(-self.height // step), -(-self.width // step)
        try:
            grey = simplejpeg.decode_jpeg(
                self.image,
                colorspace="GRAY",
                fastdct=True,
                fastupsample=True,
                min_height=height,
                min_width=width,
                strict=False,
            )[:, :, 0]
        except ValueError:
            return np.zeros((height, width), dtype=np.uint8)
        rows = np.linspace(0, grey.shape[0] - 1, height).astype(np.intp)
        columns = np.linspace(0, grey.shape[1] - 1, width).astype(np.intp)
        small: NDArray[np.uint8] = grey[rows][:, columns]
        return small
