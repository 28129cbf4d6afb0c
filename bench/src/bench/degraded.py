"""Pictures made worse in known ways, as cameras make them.

Each way has a strength from 0 (hardly worse) to 1 (hardly a face any more), and is told where the
face is, so that a strength means the same for large and small ones.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from detection.domain.face import Picture
from mesh.events import BoundingBox

Chance = np.random.Generator
Way = Callable[[Picture, BoundingBox, float, Chance], Picture]

_NOISE = 3.0
"""Of a sensor in the dark, standard deviation in grey levels."""


def blurred(picture: Picture, box: BoundingBox, strength: float, _: Chance) -> Picture:
    """Out of focus: a Gaussian of 0.5 to 5 % of the face's side."""
    sigma = _side(box) * _between(0.005, 0.05, strength)
    return _picture(cv2.GaussianBlur(picture, (0, 0), sigma))


def far(picture: Picture, box: BoundingBox, strength: float, _: Chance) -> Picture:
    """Small: the face's side becomes 100 to 24 px, or stays as it is if it is smaller."""
    share = min(_between(100.0, 24.0, strength) / _side(box), 1.0)
    return _picture(cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))


def dark(picture: Picture, _: BoundingBox, strength: float, chance: Chance) -> Picture:
    """Too little light: 60 to 4 % of it, with the sensor's noise."""
    levels = picture * _between(0.6, 0.04, strength) + chance.normal(0.0, _NOISE, picture.shape)
    return _clipped(levels)


def glaring(picture: Picture, _: BoundingBox, strength: float, __: Chance) -> Picture:
    """Too much light: 1.2 to 5 times as much, clipped."""
    return _clipped(picture * _between(1.2, 5.0, strength))


def compressed(picture: Picture, _: BoundingBox, strength: float, __: Chance) -> Picture:
    """JPEG of quality 40 to 2."""
    options = [cv2.IMWRITE_JPEG_QUALITY, round(_between(40.0, 2.0, strength))]
    data = cv2.imencode(".jpg", picture, options)[1]
    return _picture(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))


def hidden(picture: Picture, box: BoundingBox, strength: float, chance: Chance) -> Picture:
    """Something plain before 10 to 60 % of the face, coming from one of its four sides."""
    x1, y1, x2, y2 = (round(value) for value in (box.x1, box.y1, box.x2, box.y2))
    share = _between(0.1, 0.6, strength)
    across, down = round((x2 - x1) * share), round((y2 - y1) * share)
    left, top, right, bottom = [
        (x1, y1, x1 + across, y2),
        (x2 - across, y1, x2, y2),
        (x1, y1, x2, y1 + down),
        (x1, y2 - down, x2, y2),
    ][int(chance.integers(4))]
    covered = picture.copy()
    covered[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = chance.integers(20, 200)
    return covered


def surveilled(picture: Picture, box: BoundingBox, strength: float, chance: Chance) -> Picture:
    """Blurred, far and compressed at once, each half as much."""
    for way in (blurred, compressed, far):
        picture = way(picture, box, strength / 2, chance)
    return picture


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "blurred": blurred,
        "far": far,
        "dark": dark,
        "glaring": glaring,
        "compressed": compressed,
        "hidden": hidden,
        "surveilled": surveilled,
    }
)
"""By name."""


def _side(box: BoundingBox) -> float:
    """The longer one, pixels."""
    return max(box.x2 - box.x1, box.y2 - box.y1)


def _between(little: float, much: float, strength: float) -> float:
    return little + (much - little) * strength


def _clipped(levels: np.ndarray) -> Picture:
    return _picture(np.clip(levels, 0, 255).round().astype(np.uint8))


def _picture(pixels: np.ndarray) -> Picture:
    return np.ascontiguousarray(pixels, np.uint8)
