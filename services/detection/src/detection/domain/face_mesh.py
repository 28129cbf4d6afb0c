"""Dense landmarks of a face: contours, how open eyes and mouth are, expressions.

478 points of MediaPipe's face mesh (Grishchenko et al. 2020) and 52 blendshapes (Apple's ARKit
names). Left and right are the person's own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mesh.events import FaceAttributes, Point

POINTS = 478
SHAPES = 52
SHAPE_POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65),
    *(66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136),
    *(144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168),
    *(172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276),
    *(282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318),
    *(321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380),
    *(381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466),
    *(468, 469, 470, 471, 472, 473, 474, 475, 476, 477),
)
"""The 146 points that the blendshape network takes."""

BLINK_LEFT, BLINK_RIGHT, SMILE_LEFT, SMILE_RIGHT = 9, 10, 44, 45
"""Places of eyeBlink and mouthSmile among the blendshapes."""

_RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_OUTER_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)
_INNER_LIPS = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
_RIGHT_EAR = (33, 160, 158, 133, 153, 144)
_LEFT_EAR = (263, 387, 385, 362, 380, 373)
"""Outer corner, two points of the upper lid, inner corner, two points of the lower lid."""

Coordinates = NDArray[np.float32]
"""float32, shape (478, 3): x and y in pixels of the picture, depth in pixels away from the viewer
from somewhere within the head."""


@dataclass(frozen=True, slots=True)
class FaceMesh:
    """What the landmark network says of a face."""

    points: Coordinates
    shapes: NDArray[np.float32] | None
    """float32, shape (52,), 0 to 1 each; none where the blendshape network is absent."""


def attributes_of(mesh: FaceMesh) -> FaceAttributes:
    """Contours, openness of eyes and mouth, blink and smile; liveness and age are left open."""
    points, shapes = mesh.points, mesh.shapes
    return FaceAttributes(
        left_eye_openness=eye_aspect_ratio(points[list(_LEFT_EAR)]),
        right_eye_openness=eye_aspect_ratio(points[list(_RIGHT_EAR)]),
        left_eye_blink=None if shapes is None else _share(shapes[BLINK_LEFT]),
        right_eye_blink=None if shapes is None else _share(shapes[BLINK_RIGHT]),
        mouth_openness=_ratio(points[13] - points[14], points[78] - points[308]),
        smile=None if shapes is None else _share((shapes[SMILE_LEFT] + shapes[SMILE_RIGHT]) / 2),
        left_eye_contour=_points(points, _LEFT_EYE),
        right_eye_contour=_points(points, _RIGHT_EYE),
        mouth_contour=_points(points, (*_OUTER_LIPS, *_INNER_LIPS)),
    )


def eye_aspect_ratio(six: Coordinates) -> float:
    """Mean height over width of an eye (Soukupová and Čech 2016), in space.

    In the plane of the picture the eye of a head that is turned by 45 degrees would look twice as
    open as it is.

    Args:
        six: shape (6, 3): a corner, two points of the upper lid, the other corner, the two points
            of the lower lid that face them, in reverse order.
    """
    heights = math.dist(six[1], six[5]) + math.dist(six[2], six[4])
    return heights / (2.0 * max(math.dist(six[0], six[3]), 1e-6))


def _points(points: Coordinates, places: Sequence[int]) -> tuple[Point, ...]:
    return tuple(Point(x=x, y=y) for x, y in points[list(places), :2].astype(float).tolist())


def _ratio(height: Coordinates, width: Coordinates) -> float:
    return math.hypot(*height.tolist()) / max(math.hypot(*width.tolist()), 1e-6)


def _share(value: np.float32) -> float:
    return min(max(float(value), 0.0), 1.0)
