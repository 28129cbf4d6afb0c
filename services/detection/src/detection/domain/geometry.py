"""Boxes: overlap, suppression of duplicates, clipping."""

import numpy as np
from numpy.typing import NDArray

from mesh.events import BoundingBox

Sides = NDArray[np.float64]

_FEW = 24
"""Boxes of a camera's picture; a crowd has more."""


def iou_matrix(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every box of `left` with every box of `right`.

    Args:
        left: shape (n, 4), corners x1 y1 x2 y2 in pixels.
        right: shape (m, 4).

    Returns:
        shape (n, m), 0 to 1; boxes without area overlap nothing.
    """
    overlap = _common(left, right, 0) * _common(left, right, 1)
    union = _areas(left)[:, None] + _areas(right)[None, :] - overlap
    shares = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0.0)
    bounded: Sides = np.minimum(shares, 1.0)
    return bounded


def nms(
    boxes: NDArray[np.float64], threshold: float, *, kinds: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    A box stays unless one that stays, has its kind and stands before it overlaps it by more than
    `threshold`. A few boxes are looked at one by one, as arrays of them cost more to call for
    than to compute. Many are looked at together: starting with all boxes, the rule is applied
    until nothing changes, which takes one round more than the longest chain of suppressed boxes:
    two or three.

    Args:
        boxes: shape (n, 4), corners in pixels, most confident first.
        threshold: IoU, 0 to 1.
        kinds: shape (n,), what each box shows; absent: all show the same.

    Returns:
        the indices that stay, in order.
    """
    if len(boxes) <= _FEW:
        return _few_that_stay(boxes, threshold, kinds)
    order = np.arange(len(boxes))
    beats = (iou_matrix(boxes, boxes) > threshold) & (order[:, None] < order)
    if kinds is not None:
        beats &= kinds[:, None] == kinds
    stays: NDArray[np.bool_] = np.ones(len(boxes), np.bool_)
    while True:
        now = np.logical_not((beats & stays[:, None]).any(axis=0))
        if (now == stays).all():
            return np.flatnonzero(stays)
        stays = now


def _few_that_stay(
    boxes: Sides, threshold: float, kinds: NDArray[np.intp] | None
) -> NDArray[np.intp]:
    """As `nms`, one by one."""
    rows, areas = boxes.tolist(), _areas(boxes).tolist()
    shown = [0] * len(rows) if kinds is None else kinds.tolist()
    stay: list[int] = []
    for index, (x1, y1, x2, y2) in enumerate(rows):
        for other in stay:
            if shown[other] != shown[index]:
                continue
            left, top, right, bottom = rows[other]
            width, height = min(right, x2) - max(left, x1), min(bottom, y2) - max(top, y1)
            if width <= 0.0 or height <= 0.0:
                continue
            common = width * height
            union = areas[other] + areas[index] - common
            if union > 0.0 and min(common / union, 1.0) > threshold:
                break
        else:
            stay.append(index)
    return np.array(stay, np.intp)


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


def _common(left: NDArray[np.float64], right: NDArray[np.float64], axis: int) -> Sides:
    """How long the boxes overlap along an axis, shape (n, m)."""
    ends = np.minimum(left[:, axis + 2, None], right[:, axis + 2])
    shared: Sides = np.maximum(ends - np.maximum(left[:, axis, None], right[:, axis]), 0.0)
    return shared


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides: Sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return sides[:, 0] * sides[:, 1]
