"""What YOLOX says, decoded (Ge et al. 2021): one row per cell of three grids.

A row holds centre and size relative to its cell, the probability of any object, and that of each
class if there is one; sigmoids are part of the network.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detection.domain.geometry import iou_matrix
from detection.domain.letterbox import Letterbox
from detection.domain.thing import RawObject
from mesh.events import BoundingBox

STRIDES = (8, 16, 32)
MOST = 300
"""Boxes that are compared with each other, the most confident ones."""


def cells(width: int, height: int) -> int:
    """How many rows the network gives for an input of this size, pixels."""
    return sum((width // stride) * (height // stride) for stride in STRIDES)


def decode(
    rows: NDArray[np.float32],
    box: Letterbox,
    *,
    classes: Sequence[str],
    confidence: float,
    overlap: float,
) -> list[RawObject]:
    """The objects of one picture, most confident first, in pixels of the picture.

    Args:
        rows: float32, shape (cells, 5 + classes): x, y, width, height, object, classes.
        box: how the picture lies in the input.
        classes: names in the order of the network.
        confidence: product of object and class that is needed, 0 to 1.
        overlap: of two boxes of one class that overlap by more (IoU) the weaker one is dropped.
    """
    scores = rows[:, 4:5] * rows[:, 5:]
    kinds = scores.argmax(axis=1)
    best = scores[np.arange(len(rows)), kinds]
    chosen = np.flatnonzero(best >= confidence)
    chosen = chosen[np.argsort(-best[chosen], kind="stable")][:MOST]
    corners = _corners(rows[chosen].astype(np.float64), chosen, box)
    kept = chosen_of_each_class(corners, kinds[chosen], overlap)
    return [
        RawObject(
            box=BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2),
            confidence=float(best[chosen[index]]),
            class_name=classes[kinds[chosen[index]]],
        )
        for index, (x1, y1, x2, y2) in zip(kept, corners[kept].tolist(), strict=True)
    ]


def chosen_of_each_class(
    corners: NDArray[np.float64], kinds: NDArray[np.intp], overlap: float
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression within each class, without a loop over boxes.

    A box stays unless one that stays, has its class and stands before it overlaps it by more than
    `overlap`. Starting with all boxes, that rule is applied until nothing changes, which takes
    one round more than the longest chain of suppressed boxes: two or three.

    Args:
        corners: shape (n, 4), pixels, most confident first.
        kinds: shape (n,), class of each box.
        overlap: IoU, 0 to 1.

    Returns:
        the indices that stay, in order.
    """
    beats = np.triu(iou_matrix(corners, corners) > overlap, 1) & (kinds[:, None] == kinds)
    stays = np.ones(len(corners), bool)
    while True:
        now = ~(beats & stays[:, None]).any(axis=0)
        if np.array_equal(now, stays):
            return np.flatnonzero(stays)
        stays = now


def _corners(
    rows: NDArray[np.float64], places: NDArray[np.intp], box: Letterbox
) -> NDArray[np.float64]:
    """The boxes of the rows at these places: corners in pixels of the picture, shape (n, 4)."""
    grid, stride = _grid(box.width, box.height)
    centre = (rows[:, :2] + grid[places]) * stride[places]
    half = np.exp(np.minimum(rows[:, 2:4], 10.0)) * stride[places] / 2
    return np.concatenate([centre - half, centre + half], axis=1) / box.scale


def _grid(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row of each cell, shape (n, 2), and its stride in pixels, shape (n, 1)."""
    places, strides = [], []
    for stride in STRIDES:
        ys, xs = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64))
        strides.append(np.full((xs.size, 1), float(stride)))
    return np.concatenate(places), np.concatenate(strides)
