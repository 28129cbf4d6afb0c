"""dlib's HOG detector with its 5-point predictor: needs nothing but a package registry.

Frontal faces only, no crowds. dlib's five points are four corners of the eyes and the base of the
nose; its 68-point predictor, which has a mouth, is not for commercial use. So three of our five
landmarks are estimates, see `from_dlib_points`.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from detection.domain.dlib_points import confidence_of, from_dlib_points
from detection.domain.face import Image, Picture, RawFace, pixels
from detection.ports import ModelInfo
from inference.engine import EngineError
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox


class DlibDetector:
    """Finds frontal faces from about 40 px on; one picture after the other.

    Pictures up to `long_side` are enlarged twice, since HOG starts at 80 px; larger ones are
    scaled down to twice `long_side`, which costs the same.
    """

    def __init__(self, predictor: Path, *, info: ModelInfo, long_side: int = 640) -> None:
        """Load the predictor.

        Raises:
            ConfigurationError: the file is no shape predictor.
        """
        self.info = info
        self._long_side = long_side
        self._detector = dlib.get_frontal_face_detector()
        try:
            self._predictor = dlib.shape_predictor(str(predictor))
        except RuntimeError as error:
            raise ConfigurationError(f"{predictor.name} cannot be loaded: {error}") from error

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture.

        Args:
            images: any sizes.
            long_side: see the class; the usual one by default, pixels.

        Raises:
            EngineError: dlib refused one of the pictures.
        """
        try:
            return [self._detect(pixels(image), long_side or self._long_side) for image in images]
        except (RuntimeError, TypeError) as error:
            raise EngineError(f"dlib: {error}") from error

    def warm_up(self) -> None:
        """Run once on an empty picture of the usual shape."""
        side = self._long_side
        self.detect([np.zeros((side * 9 // 32, side // 2, 3), np.uint8)])

    def _detect(self, image: Picture, long_side: int) -> list[RawFace]:
        longest = max(image.shape[:2])
        upsample = 1 if longest <= long_side else 0
        scale = min(1.0, 2 * long_side / longest)
        rgb = np.ascontiguousarray(_scaled(image, scale)[:, :, ::-1])
        boxes, scores, _ = self._detector.run(rgb, upsample, 0.0)
        return [
            self._face(rgb, box, score, scale) for box, score in zip(boxes, scores, strict=True)
        ]

    def _face(self, rgb: Picture, box: "dlib.rectangle", score: float, scale: float) -> RawFace:
        shape = self._predictor(rgb, box)
        points: NDArray[np.float64] = np.array(
            [(point.x, point.y) for point in shape.parts()], dtype=np.float64
        )
        return RawFace(
            box=BoundingBox(
                x1=box.left() / scale,
                y1=box.top() / scale,
                x2=(box.right() + 1) / scale,
                y2=(box.bottom() + 1) / scale,
            ),
            confidence=confidence_of(score),
            landmarks=from_dlib_points(points / scale),
        )


def _scaled(image: Picture, scale: float) -> Picture:
    if scale == 1.0:
        return image
    smaller: Picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return smaller
