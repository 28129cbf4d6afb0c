"""Pictures that stay on a device of torch from their JPEG to their chips."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from detection.adapters.jpeg import MAX_PIXELS, OpenCvDecoder, decode_picture
from detection.domain.face import Image, Picture, pixels
from detection.domain.picture import UnreadableImageError, read_header
from detection.ports import Decoded
from inference.threads import AbandonableThreads, HangingError, Threads
from inference.torch_pictures import DeviceDecoder
from mesh.logs import get_logger

COPY_SECONDS = 1.0
"""A picture that has not come from the device by then is decoded again from its bytes."""
DECODE_SECONDS = 5.0
"""The same for the pictures of a batch that are to be decoded there."""

CopyBack = Callable[[Any, bytes], Picture]
"""Brings planes of the device to the host; the bytes stand in for them."""


class DevicePicture:
    """A picture in the memory of a device; its pixels come to the host when they are asked for."""

    def __init__(self, planes: Any, data: bytes, copy_back: CopyBack) -> None:
        """Take what was decoded.

        Args:
            planes: tensor of the device, uint8, shape (3, height, width), RGB.
            data: what it was decoded from.
            copy_back: brings it to the host.
        """
        self.planes = planes
        self._data = data
        self._copy_back = copy_back
        self._lock = threading.Lock()
        self._pixels: Picture | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width in pixels, and 3."""
        _, height, width = self.planes.shape
        return height, width, 3

    def __array__(self, dtype: None = None, /, *, copy: bool | None = None) -> Picture:
        """The pixels: uint8, shape (height, width, 3), BGR.

        They are copied once; where the device is gone they are decoded from their bytes.
        """
        with self._lock:
            if self._pixels is None:
                self._pixels = self._copy_back(self.planes, self._data)
        return self._pixels.copy() if copy else self._pixels


class DeviceImageDecoder:
    """Decodes onto a device, and on the host where the device fails or hangs."""

    def __init__(
        self, device: Any, *, max_pixels: int = MAX_PIXELS, threads: Threads | None = None
    ) -> None:
        """Decode onto a device.

        Args:
            device: a torch.device.
            max_pixels: a picture may not have more.
            threads: run what may hang.
        """
        self._device = device
        self._max_pixels = max_pixels
        self._threads = threads or AbandonableThreads("device-pictures")
        self._decode = DeviceDecoder(device, otherwise=self._by_host)
        self._host = OpenCvDecoder(max_pixels=max_pixels)

    def decode(self, pictures: Sequence[bytes]) -> Sequence[Decoded]:
        """The pictures in order; see `ImageDecoder`."""
        found: list[Decoded | None] = [self._refused(data) for data in pictures]
        asked = [data for data, refused in zip(pictures, found, strict=True) if refused is None]
        if not asked:
            return [one for one in found if one is not None]
        try:
            planes = iter(self._threads.run(lambda: self._decode(asked), DECODE_SECONDS))
        except (RuntimeError, HangingError) as error:
            get_logger("detection").warning("decoded_on_host", reason=str(error))
            return self._host.decode(pictures)
        copies = _Copies(self._threads)
        return [
            self._picture(next(planes), data, copies) if one is None else one
            for one, data in zip(found, pictures, strict=True)
        ]

    def _refused(self, data: bytes) -> UnreadableImageError | None:
        try:
            read_header(data, max_pixels=self._max_pixels)
        except UnreadableImageError as error:
            return error
        return None

    def _picture(self, planes: Any, data: bytes, copies: CopyBack) -> Decoded:
        if planes is None:  # neither decoder can read it: let one of them say why
            return self._host.decode([data])[0]
        return DevicePicture(planes, data, copies)

    def _by_host(self, data: bytes) -> Picture | None:
        [image] = self._host.decode([data])
        return None if isinstance(image, UnreadableImageError) else image


class _Copies:
    """Brings the pictures of one batch to the host; a device that failed is not asked again."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._gone = False

    def __call__(self, planes: Any, data: bytes) -> Picture:
        """See `CopyBack`."""
        if not self._gone:
            try:
                return self._threads.run(lambda: _bgr(planes), COPY_SECONDS)
            except (RuntimeError, HangingError):
                self._gone = True
        return decode_picture(data)


def _bgr(planes: Any) -> Picture:
    found: Picture = planes.flip(0).permute(1, 2, 0).contiguous().cpu().numpy()
    return found


def planes_of(image: Image, device: Any) -> Any:
    """The picture on the device: uint8, shape (3, height, width), RGB; brought there if need be.

    Raises:
        ValueError: it is no picture of three channels.
    """
    if isinstance(image, DevicePicture) and image.planes.device == device:
        return image.planes
    found = pixels(image)
    if found.ndim != 3 or found.shape[2] != 3 or found.dtype != np.uint8:
        raise ValueError(f"expected uint8 (height, width, 3), got {found.dtype} {found.shape}")
    return torch.from_numpy(np.ascontiguousarray(found[..., ::-1].transpose(2, 0, 1))).to(device)


def scaled(planes: Any, *, width: int, height: int) -> Any:
    """Pictures of one size at another one, bilinear as `cv2.INTER_LINEAR`, in whole levels.

    Args:
        planes: uint8, shape (n, channels, …).
        width: pixels.
        height: pixels.

    Returns:
        float32, shape (n, channels, height, width).
    """
    found = planes.float()
    if tuple(planes.shape[2:]) == (height, width):
        return found
    return interpolate(found, size=(height, width), mode="bilinear", align_corners=False).round_()
