"""Decoded pictures of PyAV as JPEG."""

from collections.abc import Sequence
from typing import Any

import av
import numpy as np
import simplejpeg
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

from camera.adapters.jpeg_frame import QUALITIES
from mesh.events import INLINE_BYTES

_PLANAR = frozenset({"yuv420p", "yuv422p", "yuv444p"})
_FULL_PLANAR = frozenset({"yuvj420p", "yuvj422p", "yuvj444p"})
_UNSPECIFIED, _BT470BG, _SMPTE170M = 2, 5, 6
_JPEG_MATRICES = frozenset({_UNSPECIFIED, _BT470BG, _SMPTE170M})
"""FFmpeg's AVColorSpace of BT.601, which is that of every JPEG; unspecified counts as it."""


class JpegEncoder:
    """Encodes the pictures of one stream; not thread-safe.

    Video that keeps brightness and colour apart as JPEG does (BT.601, full range) is encoded plane
    by plane, which costs a third less. To stretch the limited range of other video first would
    cost more than that: it goes by way of RGB.
    """

    def __init__(self) -> None:
        self._to_rgb = VideoReformatter()

    def encode(self, frame: av.VideoFrame, limit: int = INLINE_BYTES) -> bytes | None:
        """The picture as JPEG of at most so many bytes, coarser if it has to be; else `None`."""
        planes = _planes(frame)
        pixels = None if planes else self._pixels(frame)
        for quality in QUALITIES:
            if planes:
                image: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality)
            else:
                image = simplejpeg.encode_jpeg(
                    pixels, quality=quality, colorspace="RGB", colorsubsampling="420"
                )
            if len(image) <= limit:
                return image
        return None

    def _pixels(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        shown = self._to_rgb.reformat(frame, format="rgb24", threads=1)
        return shown.to_ndarray().astype(np.uint8, copy=False)


def _planes(frame: av.VideoFrame) -> Sequence[NDArray[np.uint8]]:
    """Brightness and colour as JPEG holds them; nothing if the video holds them otherwise."""
    name = frame.format.name
    full = name in _FULL_PLANAR or (name in _PLANAR and frame.color_range == ColorRange.JPEG)
    odd = frame.width % 2 or frame.height % 2
    if odd or not full or int(frame.colorspace) not in _JPEG_MATRICES:
        return ()
    return [_rows(plane) for plane in frame.planes]


def _rows(plane: Any) -> NDArray[np.uint8]:
    """A plane as (height, width), without the padding of its rows and without a copy."""
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
