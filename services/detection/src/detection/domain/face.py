"""A face as a detector reports it."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mesh.events import BoundingBox, Point

Picture: TypeAlias = NDArray[np.uint8]
"""The pixels of a picture in memory: uint8, shape (height, width, 3), BGR."""


class Image(Protocol):
    """A decoded picture, wherever its pixels lie; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width in pixels, and 3."""

    def __array__(self, dtype: None = None, /, *, copy: bool | None = None) -> Picture:
        """See `pixels`."""


GreyFace: TypeAlias = NDArray[np.uint8]
"""A face scaled for measuring: uint8, shape (112, 112), grey levels."""


def pixels(image: Image) -> Picture:
    """The pixels of a picture, brought into memory if they lie elsewhere; to be read only."""
    found: Picture = np.asarray(image)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFace:
    """Box, confidence and five landmarks of one face, in pixels of the picture."""

    box: BoundingBox
    confidence: float
    """0 to 1."""
    landmarks: tuple[Point, ...]
    """Left eye, right eye, nose, left and right corner of the mouth, as seen in the picture."""


@dataclass(frozen=True, slots=True)
class EyeState:
    """Whether the eyes of a face are open; left and right are the person's own."""

    left_open: float
    """Probability, 0 to 1."""
    right_open: float
    """Probability, 0 to 1."""
