"""From the candidates of a network to faces: the best of each place, in picture coordinates."""

import numpy as np
from numpy.typing import NDArray

from detection.domain.face import RawFace
from detection.domain.geometry import nms
from mesh.events import BoundingBox, Point

Values = NDArray[np.float64]

MAX_CANDIDATES = 1000
"""Candidates that are compared with each other; the less confident ones are left out."""


def best_faces(scores: Values, boxes: Values, points: Values, *, overlap: float) -> list[RawFace]:
    """The faces to report, most confident first.

    Args:
        scores: shape (n,), 0 to 1.
        boxes: shape (n, 4), corners in pixels of the picture.
        points: shape (n, 5, 2), landmarks in pixels of the picture.
        overlap: of two boxes with a greater IoU the less confident is left out.
    """
    best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    kept = best[nms(boxes[best], overlap)]
    return [
        RawFace(
            box=BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2),
            confidence=min(score, 1.0),
            landmarks=tuple(Point(x=x, y=y) for x, y in places),
        )
        for score, (x1, y1, x2, y2), places in zip(
            scores[kept].tolist(), boxes[kept].tolist(), points[kept].tolist(), strict=True
        )
    ]
