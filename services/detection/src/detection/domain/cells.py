"""The cells of a detector without anchors: a grid per stride, the finest first, row by row."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
"""Input pixels per cell."""


def count(width: int, height: int) -> int:
    """How many cells an input of this size has, pixels."""
    return sum((width // stride) * (height // stride) for stride in STRIDES)


@lru_cache(maxsize=16)
def grid(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row of each cell in its grid, shape (n, 2), and its stride in pixels, (n, 1).

    Computed once for each size of an input; nobody may write to it.
    """
    places, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64))
        strides.append(np.full((rows.size, 1), float(stride)))
    cells = np.concatenate(places), np.concatenate(strides)
    for values in cells:
        values.setflags(write=False)
    return cells
