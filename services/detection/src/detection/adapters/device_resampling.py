"""Cutting squares out of pictures on a device: all of a size together, as OpenCV scales them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

AT_ONCE = 64_000_000
"""Pixels of all cuts of a call, each as large as the largest; 12 bytes each."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a picture, which may reach beyond its edges."""

    x: int
    """Of the left edge, whole pixels."""
    y: int
    """Of the upper edge."""
    width: int
    """Pixels, at least 1."""
    height: int
    size: int
    """Side of the square that it becomes, pixels."""


def grey(planes: Any) -> Any:
    """The grey levels of pictures as OpenCV rounds them: (n, 1, …) of uint8 (n, 3, …), RGB."""
    red, green, blue = planes.int().unbind(dim=1)
    return ((4899 * red + 9617 * green + 1868 * blue + 8192) >> 14)[:, None]


def portions(members: Sequence[int], side: int) -> Sequence[Sequence[int]]:
    """Members of a call whose squares of `side` pixels fit into memory together."""
    most = max(1, AT_ONCE // side**2)
    return [members[start : start + most] for start in range(0, len(members), most)]


def cut(planes: Any, places: Sequence[int], parts: Sequence[Part], side: int) -> Any:
    """The parts in the corner of squares, padded with the edges of their pictures.

    Args:
        planes: pictures of one size, uint8, shape (m, 3, height, width).
        places: which of the pictures each part is of.
        parts: not larger than `side`.
        side: of the squares, pixels.

    Returns:
        uint8, shape (n, 3, side, side); what lies beyond a part's own width and height is
        whatever follows there.
    """
    rows_of = [(place, part.x, part.y) for place, part in zip(places, parts, strict=True)]
    table = torch.tensor(rows_of, device=planes.device)
    picture, x, y = table.T
    steps = torch.arange(side, device=planes.device)
    columns = (x[:, None] + steps).clamp(0, planes.shape[3] - 1)
    rows = (y[:, None] + steps).clamp(0, planes.shape[2] - 1)
    channels = torch.arange(3, device=planes.device)[:, None, None]
    return planes[
        picture[:, None, None, None], channels, rows[:, None, :, None], columns[:, None, None, :]
    ]


def resampled(squares: Any, parts: Sequence[Part], size: int) -> Any:
    """The cut parts, each at its own size, in the corner of squares.

    As `cv2.resize`: where both sides of a part shrink each pixel is the mean of the area that it
    covers (INTER_AREA), else a blend of the nearest ones (INTER_LINEAR). Both are products with a
    matrix per axis, so that one call serves parts of all sizes.

    Args:
        squares: shape (n, channels, side, side); see `cut`.
        parts: whose squares these are.
        size: of the largest result, pixels.

    Returns:
        uint8, shape (n, channels, size, size).
    """
    down = _weights([part.height for part in parts], parts, squares, size)
    across = _weights([part.width for part in parts], parts, squares, size)
    found = down[:, None] @ squares.float() @ across[:, None].transpose(2, 3)
    return found.round_().clamp_(0, 255).to(torch.uint8)


def _weights(lengths: Sequence[int], parts: Sequence[Part], squares: Any, size: int) -> Any:
    """What each source pixel adds to each pixel of the result: shape (n, size, side)."""
    shrinks = [min(part.width, part.height) > part.size for part in parts]
    rows = [
        (length, part.size, area)
        for length, part, area in zip(lengths, parts, shrinks, strict=True)
    ]
    table = torch.tensor(rows, dtype=torch.float32, device=squares.device)
    length, results, area = table.T[..., None, None]
    source = torch.arange(squares.shape[3], dtype=torch.float32, device=squares.device)
    place = torch.arange(size, dtype=torch.float32, device=squares.device)[:, None]
    step = length / results
    covered = torch.minimum(source + 1, (place + 1) * step) - torch.maximum(source, place * step)
    centre = torch.minimum(((place + 0.5) * step - 0.5).clamp(min=0), length - 1)
    linear = 1 - (source - centre).abs()
    return torch.where(area > 0, covered / step, linear).clamp(min=0)
