"""What YOLOX says, decoded (Ge et al. 2021): one row per cell of three grids.

A row holds centre and size relative to its cell, the probability of any object, and that of each
class if there is one; sigmoids are part of the network.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detection.domain.cells import grid
from detection.domain.geometry import nms
from detection.domain.letterbox import Letterbox
from detection.domain.thing import RawObject
from mesh.events import BoundingBox

MOST = 300
"""Boxes that are compared with each other, the most confident ones."""


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
    kept = nms(corners, overlap, kinds=kinds[chosen])
    return [
        RawObject(
            box=BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2),
            confidence=float(best[chosen[index]]),
            class_name=classes[kinds[chosen[index]]],
        )
        for index, (x1, y1, x2, y2) in zip(kept, corners[kept].tolist(), strict=True)
    ]


def _corners(
    rows: NDArray[np.float64], chosen: NDArray[np.intp], box: Letterbox
) -> NDArray[np.float64]:
    """The boxes of the rows of these cells: corners in pixels of the picture, shape (n, 4)."""
    places, stride = grid(box.width, box.height)
    centre = (rows[:, :2] + places[chosen]) * stride[chosen]
    half = np.exp(np.minimum(rows[:, 2:4], 10.0)) * stride[chosen] / 2
    return np.concatenate([centre - half, centre + half], axis=1) / box.scale
