"""Pictures: JPEG and PNG to pixels, faces to JPEG."""

from collections.abc import Sequence

import cv2
import numpy as np

from detection.domain.chip import ChipWindow
from detection.domain.face import GreyFace, Picture, pixels
from detection.domain.picture import UnreadableImageError, read_header
from detection.ports import ChipCut, FaceView
from mesh.events import BoundingBox

MAX_PIXELS = 50_000_000

GREY_SIDE = 112
"""Of a face that is measured, pixels."""


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """A JPEG or PNG, after a look at its header: uint8 (height, width, 3), BGR, upright by EXIF.

    Raises:
        UnreadableImageError: no JPEG or PNG, damaged, or more than `max_pixels`.
    """
    read_header(data, max_pixels=max_pixels)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise UnreadableImageError("corrupt", f"the picture is damaged: {error}") from error
    if image is None:
        raise UnreadableImageError("corrupt", "the picture is damaged")
    decoded: Picture = image
    return decoded


class OpenCvDecoder:
    """Decodes pictures with OpenCV, one by one."""

    def __init__(self, *, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels

    def decode(self, pictures: Sequence[bytes]) -> Sequence[Picture | UnreadableImageError]:
        """The pictures in order; see `decode_picture`."""
        return [self._decode(data) for data in pictures]

    def _decode(self, data: bytes) -> Picture | UnreadableImageError:
        try:
            return decode_picture(data, max_pixels=self._max_pixels)
        except UnreadableImageError as error:
            return error


class OpenCvFaceCutter:
    """Cuts faces with OpenCV, one by one."""

    def grey(self, faces: Sequence[FaceView]) -> Sequence[GreyFace]:
        """Each box as uint8 (112, 112) grey levels; at least one pixel of it is taken."""
        return [_grey(pixels(view.image), view.face.box) for view in faces]

    def chips(self, cuts: Sequence[ChipCut], *, quality: int) -> Sequence[bytes]:
        """Each window as JPEG 4:4:4 of its size."""
        return [
            encoded(_resize(_crop(pixels(cut.image), cut.window), cut.size), quality)
            for cut in cuts
        ]


def encoded(chip: Picture, quality: int) -> bytes:
    """A chip as JPEG 4:4:4 of `quality` (1 to 100)."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    _, data = cv2.imencode(".jpg", chip, options)
    return bytes(data)


def grey_part(box: BoundingBox, *, width: int, height: int) -> tuple[int, int, int, int]:
    """The whole pixels x1, y1, x2, y2 of a box that are measured; at least one."""
    x1, y1 = min(int(box.x1), width - 1), min(int(box.y1), height - 1)
    x2, y2 = max(round(box.x2), x1 + 1), max(round(box.y2), y1 + 1)
    return x1, y1, min(x2, width), min(y2, height)


def _grey(image: Picture, box: BoundingBox) -> GreyFace:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = grey_part(box, width=width, height=height)
    scaled: GreyFace = _resize(cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY), GREY_SIDE)
    return scaled


def _crop(image: Picture, window: ChipWindow) -> Picture:
    height, width = image.shape[:2]
    x1, y1 = max(window.x, 0), max(window.y, 0)
    x2, y2 = min(window.x + window.side, width), min(window.y + window.side, height)
    crop: Picture = cv2.copyMakeBorder(
        image[y1:y2, x1:x2],
        y1 - window.y,
        window.y + window.side - y2,
        x1 - window.x,
        window.x + window.side - x2,
        cv2.BORDER_REPLICATE,
    )
    return crop


def _resize(image: Picture, side: int) -> Picture:
    shrinks = min(image.shape[:2]) > side
    scaled: Picture = cv2.resize(
        image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return scaled
