"""The product's way from the bytes of a picture to a face chip, and the way around the chip."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from detection.adapters.jpeg import OpenCvFaceCutter, decode_picture
from detection.domain.chip import ChipGrade, ChipWindow, chip_size, chip_window, into_chip
from detection.domain.face import Picture, RawFace
from detection.domain.picture import UnreadableImageError
from detection.domain.selection import FaceFilter, select_faces
from detection.ports import ChipCut, FaceDetector
from mesh.errors import ConfigurationError
from mesh.events import DetectionConfig, FaceChip


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture and the face in its middle."""

    picture: Picture
    face: RawFace

    def chip(self, grade: ChipGrade) -> FaceChip:
        """The face as detection sends it."""
        window = chip_window(self.face.box)
        size = chip_size(window, grade)
        cut = ChipCut(self.picture, window, size)
        [image] = OpenCvFaceCutter().chips([cut], quality=grade.quality)
        return FaceChip(
            image=image,
            width=size,
            height=size,
            landmarks=into_chip(self.face.landmarks, window, size),
        )

    def whole(self) -> FaceChip:
        """The whole picture, lossless: what aligns it has every pixel."""
        height, width = self.picture.shape[:2]
        return FaceChip(
            image=_lossless(self.picture),
            width=width,
            height=height,
            landmarks=self.face.landmarks,
        )

    def window(self) -> FaceChip:
        """The chip's window, unscaled and lossless, for models that find landmarks themselves."""
        window = chip_window(self.face.box)
        return FaceChip(
            image=_lossless(_crop(self.picture, window)),
            width=window.side,
            height=window.side,
            landmarks=into_chip(self.face.landmarks, window, window.side),
        )


def decode(path: Path) -> Picture:
    """The pixels of a picture file, as detection decodes it.

    Raises:
        ConfigurationError: it is damaged, or neither JPEG nor PNG; the message names it.
    """
    try:
        return decode_picture(path.read_bytes())
    except UnreadableImageError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def faces_of(
    detector: FaceDetector, picture: Picture, limits: FaceFilter | None = None
) -> list[RawFace]:
    """The faces that detection would report of a picture, by a camera's usual limits if by none."""
    height, width = picture.shape[:2]
    [found] = detector.detect([picture])
    return select_faces(found, limits or _limits(), width=width, height=height)


def look(detector: FaceDetector, picture: Picture, limits: FaceFilter | None = None) -> Seen | None:
    """The face nearest to the middle, of those that `faces_of` finds.

    Labelled pictures show their person there.
    """
    faces = faces_of(detector, picture, limits)
    height, width = picture.shape[:2]
    if not faces:
        return None
    return Seen(
        picture,
        min(
            faces,
            key=lambda face: (
                abs(face.box.x1 + face.box.x2 - width) + abs(face.box.y1 + face.box.y2 - height)
            ),
        ),
    )


def _limits() -> FaceFilter:
    """What a camera that nobody configured reports."""
    camera = DetectionConfig()
    return FaceFilter(
        min_confidence=camera.confidence_threshold,
        min_face_size=camera.min_face_size,
        max_faces=camera.max_faces_per_frame,
    )


def _crop(picture: Picture, window: ChipWindow) -> Picture:
    side = window.side
    padded = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REPLICATE)
    x, y = window.x + side, window.y + side
    crop: Picture = padded[y : y + side, x : x + side]
    return crop


def _lossless(picture: Picture) -> bytes:
    options = [cv2.IMWRITE_PNG_COMPRESSION, 0]
    return bytes(cv2.imencode(".png", np.ascontiguousarray(picture), options)[1])
