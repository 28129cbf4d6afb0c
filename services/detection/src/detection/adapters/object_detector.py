"""Persons, vehicles and other objects by a network of the YOLOX family."""

from collections.abc import Sequence

import numpy as np

import inference.engine
from detection.adapters.network_detector import letterbox, tensor
from detection.domain import yolox
from detection.domain.coco import CLASSES
from detection.domain.face import Picture
from detection.domain.thing import RawObject
from detection.ports import EngineError, ModelInfo
from inference.engine import Engine
from mesh.errors import ConfigurationError
from mesh.models import InputSpec

CONFIDENCE = 0.25
"""Below it nothing is reported, whatever a camera asks for."""
OVERLAP = 0.45
"""As its authors ship it."""


class YoloxDetector:
    """Finds objects of the 80 classes of COCO."""

    def __init__(self, engine: Engine, *, info: ModelInfo, shape: InputSpec) -> None:
        """Take the engine, and look once at what it puts out.

        Args:
            engine: runs the network.
            info: what is known of the model.
            shape: how a picture becomes its input; of one size.

        Raises:
            ConfigurationError: the outputs are not YOLOX's of 80 classes.
        """
        self.info = info
        self._engine = engine
        self._shape = shape
        try:
            self.warm_up()
        except EngineError as error:
            raise ConfigurationError(f"{info.model_id}: {error}") from error

    def detect(self, images: Sequence[Picture]) -> list[list[RawObject]]:
        """The objects of each picture, most confident first.

        Raises:
            EngineError: the engine refused one of the pictures.
        """
        if not images:
            return []
        boxes = [letterbox(image, self._shape, self._shape.width) for image in images]
        rows = self._run(tensor(images, boxes, self._shape))
        return [
            yolox.decode(found, box, classes=CLASSES, confidence=CONFIDENCE, overlap=OVERLAP)
            for found, box in zip(rows, boxes, strict=True)
        ]

    def warm_up(self) -> None:
        """Run once on an empty picture."""
        self.detect([np.zeros((self._shape.height, self._shape.width, 3), np.uint8)])

    def _run(self, frames: inference.engine.Tensor) -> inference.engine.Tensor:
        try:
            outputs = self._engine.run(frames)
        except inference.engine.EngineError as error:
            raise EngineError(str(error)) from error
        rows = next(iter(outputs.values()))
        expected = (len(frames), yolox.cells(*frames.shape[:1:-1]), 5 + len(CLASSES))
        if rows.shape != expected:
            raise EngineError(f"the output has the shape {rows.shape}, not {expected}")
        return rows
