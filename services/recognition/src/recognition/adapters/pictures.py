"""Pictures as arrays: decoding chips and warping them onto a template."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.events import FaceChip
from recognition.domain.alignment import Template, similarity_transforms

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), BGR, 0 to 255."""
Pictures = NDArray[np.uint8]
"""Shape (n, height, width, 3), BGR, 0 to 255."""


def decode(chip: FaceChip) -> Picture | None:
    """The chip's pixels; `None` if its bytes are no picture."""
    return pixels(chip.image)


def pixels(data: bytes) -> Picture | None:
    """The pixels of a picture; `None` if it is none."""
    if not data:
        return None
    picture: Picture | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    return picture


def transforms(
    chips: Sequence[FaceChip], template: Template
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What moves each chip onto the template, shape (n, 2, 3), and whether it can be used."""
    whole = np.array([len(chip.landmarks) == len(template.points) for chip in chips], bool)
    points = np.zeros((len(chips), len(template.points), 2))
    for place, chip, good in zip(points, chips, whole, strict=True):
        if good:
            place[:] = [(point.x, point.y) for point in chip.landmarks]
    matrices, usable = similarity_transforms(points, template.array())
    return matrices, usable & whole


def aligned(chips: Sequence[FaceChip], template: Template) -> tuple[Pictures, list[int]]:
    """The faces warped onto the template, and which chip each one comes from.

    Chips that are no picture, or whose landmarks are unusable, are left out.
    """
    matrices, usable = transforms(chips, template)
    pictures = {
        index: picture
        for index, chip in enumerate(chips)
        if usable[index] and (picture := decode(chip)) is not None
    }
    faces = np.empty((len(pictures), template.size, template.size, 3), np.uint8)
    for face, (index, picture) in zip(faces, pictures.items(), strict=True):
        cv2.warpAffine(
            picture, matrices[index], (template.size, template.size), face, cv2.INTER_LINEAR
        )
    return faces, list(pictures)
