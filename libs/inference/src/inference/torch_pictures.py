"""Pictures on a device of torch: decoding JPEG, and warping parts of pictures onto squares."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import ImageReadMode, decode_jpeg

from inference.jpeg_headers import is_plain

Otherwise = Callable[[bytes], NDArray[np.uint8] | None]
"""A decoder of the host: pixels of shape (height, width, 3), BGR, or none."""

_BITS, _EXTRA_BITS = 5, 5
"""Of OpenCV's coordinates behind the point: those that it uses, and those that it sums with."""
_FARTHEST = float(1 << 40)


class DeviceDecoder:
    """Decodes pictures onto a device, all plain JPEGs of a call together (on CUDA by nvJPEG).

    Every other picture takes the way over the host's own decoder, and becomes what it makes of it.
    """

    def __init__(self, device: Any, otherwise: Otherwise) -> None:
        """Decode onto a device.

        Args:
            device: a torch.device.
            otherwise: decodes what is no plain JPEG, and what the device refuses.
        """
        self._device = device
        self._otherwise = otherwise

    def __call__(self, pictures: Sequence[bytes]) -> list[Any]:
        """The pictures in order; `None` where one is no picture.

        Args:
            pictures: JPEG or anything that the host's decoder reads.

        Returns:
            Tensors of the device, uint8, shape (3, height, width), RGB.

        Raises:
            RuntimeError: the device failed.
        """
        plain = [index for index, data in enumerate(pictures) if is_plain(data)]
        found: list[Any] = [None] * len(pictures)
        for index, picture in zip(plain, self._together([pictures[i] for i in plain]), strict=True):
            found[index] = picture
        return [
            self._by_host(data) if picture is None else picture
            for data, picture in zip(pictures, found, strict=True)
        ]

    def _together(self, pictures: Sequence[bytes]) -> list[Any]:
        """As above in one call; if it fails, each by itself, so that a bad one stays alone."""
        if not pictures:
            return []
        try:
            return self._decoded(pictures)
        except RuntimeError:
            if len(pictures) == 1:
                return [None]
        return [self._together([data])[0] for data in pictures]

    def _decoded(self, pictures: Sequence[bytes]) -> list[Any]:
        files = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in pictures]
        with warnings.catch_warnings():
            # torchvision 0.29 points to torchcodec; the functions are the same until it drops them.
            warnings.simplefilter("ignore", DeprecationWarning)
            found: list[Any] = decode_jpeg(files, mode=ImageReadMode.RGB, device=self._device)
        return found

    def _by_host(self, data: bytes) -> Any:
        pixels = self._otherwise(data)
        if pixels is None:
            return None
        planes = np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1))
        return torch.from_numpy(planes).to(self._device)


def warped(pictures: Sequence[Any], matrices: NDArray[np.float64], size: int) -> Any:
    """A square of each picture, all at once, bilinear, black beyond the edges.

    As `cv2.warpAffine` with INTER_LINEAR to one grey level: whole coordinates are the centres of
    pixels, and coordinates are rounded to 1/32 of a pixel. The pixels of all pictures are read
    from one piece of memory, so that a large one makes none of the others larger, as padding them
    to one size would.

    Args:
        pictures: tensors of one device, uint8, shape (3, height, width) each, at least one.
        matrices: shape (n, 2, 3), from coordinates (x, y, 1) of a picture to those of its square.
        size: side of the squares, pixels.

    Returns:
        float32, whole numbers from 0 to 255, shape (n, 3, size, size).
    """
    device = pictures[0].device
    flat = torch.cat([picture.reshape(-1) for picture in pictures])
    height, width, plane, begin = torch.from_numpy(_table(pictures)).to(device)[..., None, None]
    x, y = _sources(matrices, size, device)
    channels = torch.arange(3, device=device)[:, None, None] * plane[:, None]
    total = torch.zeros((len(pictures), 3, size, size), device=device)
    for down in (0, 1):
        for right in (0, 1):
            column, row = (x >> _BITS) + right, (y >> _BITS) + down
            weight = _nearness(x, right) * _nearness(y, down)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = torch.where(inside, begin + row * width + column, begin)
            share = torch.where(inside, weight, 0) / (1 << 2 * _BITS)
            total += flat[place[:, None] + channels] * share[:, None]
    return total.add_(0.5).floor_()


def _table(pictures: Sequence[Any]) -> NDArray[np.int64]:
    """Heights, widths, pixels and beginnings in one piece of memory, shape (4, n)."""
    sides = np.array([picture.shape[1:] for picture in pictures], dtype=np.int64)
    planes = sides.prod(axis=1)
    begins = np.concatenate([[0], 3 * planes.cumsum()[:-1]])
    return np.stack([*sides.T, planes, begins])


def _sources(matrices: NDArray[np.float64], size: int, device: Any) -> tuple[Any, Any]:
    """Where each pixel of the squares lies in its picture, in 1/32 of a pixel.

    Returns:
        x and y, int64, shape (n, size, size).
    """
    back = _inverse(matrices)
    steps = np.arange(size)
    across = _whole(back[:, :, :1] * steps)
    down = _whole(back[:, :, 1:2] * steps + back[:, :, 2:]) + (1 << _EXTRA_BITS >> 1)
    lines = torch.from_numpy(np.stack([across, down])).to(device)
    both = (lines[0][:, :, None] + lines[1][..., None]) >> _EXTRA_BITS
    return both[:, 0], both[:, 1]


def _inverse(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the squares back, shape (n, 2, 3); zeros for what has no inverse, as OpenCV does."""
    (a, b, c), (d, e, f) = matrices.transpose(1, 2, 0)
    area = a * e - b * d
    share = np.divide(1.0, area, out=np.zeros_like(area), where=area != 0)
    a, b, d, e = e * share, -b * share, -d * share, a * share
    found: NDArray[np.float64] = np.array([[a, b, -a * c - b * f], [d, e, -d * c - e * f]])
    return found.transpose(2, 0, 1)


def _whole(pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    """In 1/1024 of a pixel; what no picture can hold is cut."""
    scaled = np.nan_to_num(pixels) * (1 << _BITS + _EXTRA_BITS)
    rounded: NDArray[np.int64] = np.rint(scaled.clip(-_FARTHEST, _FARTHEST)).astype(np.int64)
    return rounded


def _nearness(places: Any, far: int) -> Any:
    """How near a place is to the pixel before it, or to the one behind it; 0 to 32."""
    beyond = places & ((1 << _BITS) - 1)
    return beyond if far else (1 << _BITS) - beyond
