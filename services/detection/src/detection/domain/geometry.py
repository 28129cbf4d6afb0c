"""Boxes: overlap, suppression of duplicates, clipping."""

import numpy as np
from numpy.typing import NDArray

from mesh.events import BoundingBox


def iou_matrix(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every box of `left` with every box of `right`.

    Args:
        left: shape (n, 4), corners x1 y1 x2 y2 in pixels.
        right: shape (m, 4).

    Returns:
        shape (n, m), 0 to 1; boxes without area overlap nothing.
    """
    corner_min = np.maximum(left[:, None, :2], right[None, :, :2])
    corner_max = np.minimum(left[:, None, 2:], right[None, :, 2:])
    overlap = np.prod(np.clip(corner_max - corner_min, 0.0, None), axis=2)
    union = _areas(left)[:, None] + _areas(right)[None, :] - overlap
    shares = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0.0)
    bounded: NDArray[np.float64] = np.clip(shares, 0.0, 1.0)
    return bounded


def nms(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float
) -> NDArray[np.intp]:
    """Non-maximum suppression: the indices of the boxes to keep, best score first.

    Of boxes that overlap by more than `threshold` (IoU) only the best is kept; equal scores keep
    their order.

    Args:
        boxes: shape (n, 4), corners in pixels.
        scores: shape (n,).
        threshold: 0 to 1.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[np.intp] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        overlaps = iou_matrix(boxes[best][None, :], boxes[rest])[0]
        order = rest[overlaps <= threshold]
    return np.asarray(kept, dtype=np.intp)


def clip_box(box: BoundingBox, *, width: int, height: int) -> BoundingBox | None:
    """The part of the box inside a picture of `width` by `height` pixels; none if it is empty."""
    x1, y1 = max(box.x1, 0.0), max(box.y1, 0.0)
    x2, y2 = min(box.x2, float(width)), min(box.y2, float(height))
    if x2 <= x1 or y2 <= y1:
        return None
    return BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2)


def shorter_side(box: BoundingBox) -> float:
    """The shorter side of the box, pixels."""
    return min(box.x2 - box.x1, box.y2 - box.y1)


def area(box: BoundingBox) -> float:
    """Area of the box, square pixels."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides: NDArray[np.float64] = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None)
    return sides[:, 0] * sides[:, 1]
