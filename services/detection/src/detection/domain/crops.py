"""What further models want to see of a face: where to cut, and how turned."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.domain.face import RawFace
from mesh.events import BoundingBox

Turn = NDArray[np.float64]
"""float64, shape (2, 3): takes a pixel (x, y, 1) of the picture to one of the cut."""

EYE_SIDE = 0.9
"""Side of the square around an eye, as a share of the distance of the eyes."""
MESH_SIDE = 1.6
"""Side of the square around a face for the landmark network, as a share of the box's mean side:
on LFW 1.5 times what the found landmarks span, which is how MediaPipe cuts the next frame."""


@dataclass(frozen=True, slots=True)
class Square:
    """A square of the picture, turned about its centre."""

    x: float
    """Of the centre, pixels."""
    y: float
    side: float
    """Pixels."""
    angle: float = 0.0
    """Radians, clockwise in the picture."""

    def onto(self, size: int) -> Turn:
        """The map from the picture to an upright cut of `size` by `size` pixels."""
        scale = size / self.side
        cos, sin = scale * math.cos(self.angle), scale * math.sin(self.angle)
        half = size / 2
        return np.array(
            [
                [cos, sin, half - cos * self.x - sin * self.y],
                [-sin, cos, half + sin * self.x - cos * self.y],
            ]
        )


def tilt(face: RawFace) -> float:
    """How far the line between the eyes is turned clockwise, radians."""
    left, right = face.landmarks[0], face.landmarks[1]
    return math.atan2(right.y - left.y, right.x - left.x)


def mesh_square(face: RawFace) -> Square:
    """The surroundings of a face, upright: what MediaPipe's landmark network was trained on."""
    box = face.box
    side = MESH_SIDE * (box.x2 - box.x1 + box.y2 - box.y1) / 2
    return Square((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, side, tilt(face))


def eye_squares(face: RawFace) -> tuple[Square, Square]:
    """The eyes, the one on the left of the picture first."""
    left, right = face.landmarks[0], face.landmarks[1]
    side = max(EYE_SIDE * math.hypot(right.x - left.x, right.y - left.y), 1.0)
    angle = tilt(face)
    return Square(left.x, left.y, side, angle), Square(right.x, right.y, side, angle)


def inside(box: BoundingBox, scale: float, *, width: int, height: int) -> BoundingBox:
    """The box grown by `scale` about its centre, shifted and if need be shrunk into the picture.

    As the liveness networks were trained (Silent-Face-Anti-Spoofing): the cut has the aspect of
    the box, and shows nothing but the picture.

    Args:
        box: of a face, within the picture.
        scale: sides of the cut in sides of the box.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    across, down = box.x2 - box.x1, box.y2 - box.y1
    grown = min(scale, width / across, height / down)
    across, down = across * grown, down * grown
    x1 = min(max((box.x1 + box.x2 - across) / 2, 0.0), width - across)
    y1 = min(max((box.y1 + box.y2 - down) / 2, 0.0), height - down)
    return BoundingBox(x1=x1, y1=y1, x2=x1 + across, y2=y1 + down)
