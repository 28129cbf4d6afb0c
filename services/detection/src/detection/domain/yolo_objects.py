"""Reading the output of a YOLO v8 to v12 export for objects.

Exports of v8, v9, v11 and v12 put out (4 + classes, cells): centre, width and height of the box in
input pixels, and a probability per class. Those of v10, and others that were exported with
suppression in the network, put out (boxes, 6): two corners in input pixels, confidence, class.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detection.domain.geometry import nms
from detection.domain.letterbox import Letterbox
from detection.domain.thing import RawObject
from detection.domain.yolox import MOST
from mesh.events import BoundingBox

_FINAL = 6
"""Numbers of a box that the network has already chosen."""


def decode(
    values: NDArray[np.float32],
    box: Letterbox,
    *,
    classes: Sequence[str],
    confidence: float,
    overlap: float,
) -> list[RawObject]:
    """The objects of one picture, most confident first, in pixels of the picture.

    Args:
        values: float32, shape (4 + classes, cells) or (boxes, 6).
        box: how the picture lies in the input.
        classes: names in the order of the network.
        confidence: of a class that is needed, 0 to 1.
        overlap: of two boxes of one class that overlap by more (IoU) the weaker one is dropped.

    Raises:
        KeyError: the output is not such a network's, or has other classes.
    """
    corners, scores, kinds = _boxes(values, len(classes))
    chosen = np.flatnonzero(scores >= confidence)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:MOST]
    corners, scores, kinds = corners[chosen] / box.scale, scores[chosen], kinds[chosen]
    kept = nms(corners, overlap, kinds=kinds)
    return [
        RawObject(
            box=BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2),
            confidence=float(scores[index]),
            class_name=classes[kinds[index]],
        )
        for index, (x1, y1, x2, y2) in zip(kept, corners[kept].tolist(), strict=True)
    ]


def _boxes(
    values: NDArray[np.float32], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.intp]]:
    """Corners (n, 4) in input pixels, confidence (n,) and class (n,) of every box."""
    if values.ndim == 2 and values.shape[0] == 4 + classes:
        centres, halves = values[:2].T.astype(np.float64), values[2:4].T.astype(np.float64) / 2
        corners = np.concatenate([centres - halves, centres + halves], axis=1)
        return corners, values[4:].max(axis=0), values[4:].argmax(axis=0)
    if values.ndim == 2 and values.shape[1] == _FINAL:
        kinds = values[:, 5].astype(np.intp)
        if ((kinds < 0) | (kinds >= classes)).any():
            raise KeyError(f"a class from 0 to {classes - 1}, found {kinds.min()} to {kinds.max()}")
        return values[:, :4].astype(np.float64), values[:, 4], kinds
    raise KeyError(f"{4 + classes} channels or rows of {_FINAL}, found {values.shape}")
