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
    if not chip.image:
        return None
    picture: Picture | None = cv2.imdecode(
        np.frombuffer(chip.image, dtype=np.uint8), cv2.IMREAD_COLOR
    )
    return picture


def aligned(chips: Sequence[FaceChip], template: Template) -> tuple[Pictures, list[int]]:
    """The faces warped onto the template, and which chip each one comes from.

    Chips that are no picture, or whose landmarks are unusable, are left out.
    """
    pictures = {
        index: picture
        for index, chip in enumerate(chips)
        if len(chip.landmarks) == len(template.points) and (picture := decode(chip)) is not None
    }
    if not pictures:
        return np.zeros((0, template.size, template.size, 3), np.uint8), []
    points = np.array(
        [[(point.x, point.y) for point in chips[index].landmarks] for index in pictures]
    )
    matrices, usable = similarity_transforms(points, template.array())
    kept = [index for index, good in zip(pictures, usable, strict=True) if good]
    faces = np.empty((len(kept), template.size, template.size, 3), np.uint8)
    for face, index, matrix in zip(faces, kept, matrices[usable], strict=True):
        cv2.warpAffine(
            pictures[index], matrix, (template.size, template.size), face, cv2.INTER_LINEAR
        )
    return faces, kept
