"""Pictures: JPEG and PNG to pixels, faces to JPEG."""

import cv2
import numpy as np

from detection.domain.chip import ChipWindow
from detection.domain.face import GreyFace, Picture
from detection.domain.picture import UnreadableImageError, read_header
from mesh.events import BoundingBox

MAX_PIXELS = 50_000_000

_GREY_SIDE = 112


class OpenCvDecoder:
    """Decodes JPEG and PNG, after a look at the header; turns pictures upright by their EXIF."""

    def __init__(self, *, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels

    def decode(self, data: bytes) -> Picture:
        """The picture as uint8 (height, width, 3), BGR.

        Raises:
            UnreadableImageError: no JPEG or PNG, damaged, or more than the allowed pixels.
        """
        read_header(data, max_pixels=self._max_pixels)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise UnreadableImageError("corrupt", f"the picture is damaged: {error}") from error
        if image is None:
            raise UnreadableImageError("corrupt", "the picture is damaged")
        decoded: Picture = image
        return decoded


class OpenCvFaceCutter:
    """Cuts faces with OpenCV."""

    def grey(self, image: Picture, box: BoundingBox) -> GreyFace:
        """The box as uint8 (112, 112) grey levels; at least one pixel of it is taken."""
        height, width = image.shape[:2]
        x1, y1 = min(int(box.x1), width - 1), min(int(box.y1), height - 1)
        x2, y2 = max(round(box.x2), x1 + 1), max(round(box.y2), y1 + 1)
        grey = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
        scaled: GreyFace = _resize(grey, _GREY_SIDE)
        return scaled

    def chip(self, image: Picture, window: ChipWindow, *, size: int, quality: int) -> bytes:
        """The window as JPEG 4:4:4 of `size` x `size` pixels."""
        height, width = image.shape[:2]
        x1, y1 = max(window.x, 0), max(window.y, 0)
        x2, y2 = min(window.x + window.side, width), min(window.y + window.side, height)
        crop = cv2.copyMakeBorder(
            image[y1:y2, x1:x2],
            y1 - window.y,
            window.y + window.side - y2,
            x1 - window.x,
            window.x + window.side - x2,
            cv2.BORDER_REPLICATE,
        )
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        _, encoded = cv2.imencode(".jpg", _resize(crop, size), options)
        return bytes(encoded)


def _resize(image: Picture, side: int) -> Picture:
    shrinks = min(image.shape[:2]) > side
    scaled: Picture = cv2.resize(
        image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return scaled
