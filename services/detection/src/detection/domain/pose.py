"""Head pose from five landmarks, roughly: enough to tell a profile from a face.

A generic head (five points in space) is fitted to the landmarks under scaled orthography, the
first step of POSIT (DeMenthon and Davis 1995). On LFW yaw follows a pose network (OMZ
head-pose-adas-0001) with correlation 0.94 and slope 0.9; pitch is weak (0.44): five points hardly
show it.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mesh.events import Point, Pose

_HEAD = np.array(
    [
        [-1.00, -1.00, 0.00],
        [1.00, -1.00, 0.00],
        [0.00, 0.14, -1.05],
        [-0.90, 0.99, 0.05],
        [0.90, 0.99, 0.05],
    ]
)
"""Eyes, nose tip and mouth corners; half the distance of the eyes is 1, x right, y down, z away
from the viewer. Medians of YuNet's landmarks on LFW, the depths from a generic head."""

_CENTRED = _HEAD - _HEAD.mean(axis=0)
_SOLVER = np.linalg.pinv(_CENTRED)


def estimate_pose(landmarks: Sequence[Point]) -> Pose:
    """The pose of a head, degrees, from its five landmarks.

    Args:
        landmarks: left eye, right eye, nose, corners of the mouth, as seen in the picture.
    """
    points = np.array([(point.x, point.y) for point in landmarks], dtype=np.float64)
    affine = (_SOLVER @ (points - points.mean(axis=0))).T
    right, down = (_unit(row) for row in affine)
    eye_line = points[1] - points[0]
    return Pose(
        yaw=math.degrees(math.asin(-right[2])),
        pitch=math.degrees(math.asin(down[2])),
        roll=math.degrees(math.atan2(eye_line[1], eye_line[0])),
    )


def _unit(row: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(row))
    return np.clip(row / length, -1.0, 1.0) if length > 0.0 else np.zeros(3)
