"""Pictures as arrays: decoding chips and warping them onto a template."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.events import FaceChip
from recognition.domain.alignment import Template, similarity_transform

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), BGR, 0 to 255."""


def decode(chip: FaceChip) -> Picture | None:
    """The chip's pixels; `None` if its bytes are no picture."""
    if not chip.image:
        return None
    picture: Picture | None = cv2.imdecode(
        np.frombuffer(chip.image, dtype=np.uint8), cv2.IMREAD_COLOR
    )
    return picture


def aligned(chip: FaceChip, template: Template) -> Picture | None:
    """The face warped onto the template, `None` if the chip or its landmarks are unusable."""
    picture = decode(chip)
    if picture is None or len(chip.landmarks) != len(template.points):
        return None
    source = np.array([(point.x, point.y) for point in chip.landmarks], dtype=np.float64)
    try:
        matrix = similarity_transform(source, template.array())
    except ValueError:
        return None
    warped: Picture = cv2.warpAffine(
        picture, matrix, (template.size, template.size), flags=cv2.INTER_LINEAR
    )
    return warped
