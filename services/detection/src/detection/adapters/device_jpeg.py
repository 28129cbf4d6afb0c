"""Chips on a device to JPEG 4:4:4: there by nvJPEG where it keeps the colours, else on the host."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.io import encode_jpeg

from detection.adapters.jpeg import encoded
from mesh.logs import get_logger

Encode = Callable[[Sequence[Any], int], list[bytes]]
"""Encodes squares, uint8 (3, size, size), RGB, of any sizes, at a quality from 1 to 100."""

_FRAME = b"\xff\xc0"
_FULL = 0x11
"""Sampling factors of a component that has as many samples as any other."""


def encoder(device: Any) -> Encode:
    """How chips of this device are encoded.

    torchvision's encoder on CUDA (nvJPEG) sets 4:4:4 in its source and documents nothing, so one
    square is encoded and looked at; its encoder on the CPU can only do 4:2:0.
    """
    if device.type != "cuda":
        return by_host
    probe = torch.zeros((3, 16, 16), dtype=torch.uint8, device=device)
    try:
        [found] = by_nvjpeg([probe], 90)
    except RuntimeError as error:
        get_logger("detection").warning("chips_encoded_on_host", reason=str(error))
        return by_host
    if is_full_colour(found):
        return by_nvjpeg
    get_logger("detection").warning("chips_encoded_on_host", reason="nvJPEG halves the colours")
    return by_host


def is_full_colour(jpeg: bytes) -> bool:
    """Whether a baseline JPEG has all components at full resolution (4:4:4)."""
    at = jpeg.find(_FRAME)
    if at < 0:
        return False
    factors = [jpeg[at + 11 + 3 * index] for index in range(jpeg[at + 9])]
    return factors == [_FULL] * 3


def by_nvjpeg(squares: Sequence[Any], quality: int) -> list[bytes]:
    """Encode on the card; only the files are copied, all at once."""
    if not squares:
        return []
    planes = [square.contiguous() for square in squares]
    # The encoder has a stream of its own and does not wait for ours.
    torch.cuda.current_stream(planes[0].device).synchronize()
    with warnings.catch_warnings():
        # torchvision 0.29 points to torchcodec; the function is the same until it is dropped.
        warnings.simplefilter("ignore", DeprecationWarning)
        files = encode_jpeg(planes, quality=quality)
    return [part.tobytes() for part in _together(files)]


def by_host(squares: Sequence[Any], quality: int) -> list[bytes]:
    """Copy the squares all at once, and encode them there."""
    return [
        encoded(np.ascontiguousarray(part.reshape(square.shape)[::-1].transpose(1, 2, 0)), quality)
        for square, part in zip(squares, _together(squares), strict=True)
    ]


def _together(parts: Sequence[Any]) -> list[Any]:
    """The bytes of each part as an array, in one copy from the device."""
    if not parts:
        return []
    whole = torch.cat([part.reshape(-1) for part in parts]).cpu().numpy()
    return np.split(whole, np.cumsum([part.numel() for part in parts])[:-1])
