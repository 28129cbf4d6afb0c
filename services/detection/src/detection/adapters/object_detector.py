"""Persons, vehicles and other objects by a network of the YOLO families."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from detection.adapters.canvas import Canvas, letterbox
from detection.domain import cells, yolo_objects, yolox
from detection.domain.coco import CLASSES
from detection.domain.face import Image
from detection.domain.letterbox import Letterbox
from detection.domain.thing import RawObject
from detection.ports import ModelInfo
from inference.engine import Engine, EngineError, Tensor
from mesh.errors import ConfigurationError
from mesh.models import InputSpec

CONFIDENCE = 0.25
"""Below it nothing is reported, whatever a camera asks for."""
OVERLAP = 0.45
"""As their authors ship it."""

AT_ONCE = 8
"""Pictures per call of the engine, at most; one of 416 x 416 takes 2 MB."""


def _yolox(rows: Tensor, box: Letterbox) -> list[RawObject]:
    expected = (cells.count(box.width, box.height), 5 + len(CLASSES))
    if rows.shape != expected:
        raise KeyError(f"the shape {expected}, found {rows.shape}")
    return yolox.decode(rows, box, classes=CLASSES, confidence=CONFIDENCE, overlap=OVERLAP)


def _yolov8(values: Tensor, box: Letterbox) -> list[RawObject]:
    return yolo_objects.decode(values, box, classes=CLASSES, confidence=CONFIDENCE, overlap=OVERLAP)


Decode = Callable[[Tensor, Letterbox], list[RawObject]]
FAMILIES: Mapping[str, Decode] = MappingProxyType({"yolox": _yolox, "yolov8": _yolov8})
"""How the output for a picture is read, by `ModelSpec.decoder`; YOLO v8 to v12 are one family."""


class YoloDetector:
    """Finds objects of the 80 classes of COCO."""

    def __init__(
        self, engine: Engine, *, info: ModelInfo, shape: InputSpec, decoder: str | None = "yolox"
    ) -> None:
        """Take the engine, and look once at what it puts out.

        Args:
            engine: runs the network.
            info: what is known of the model.
            shape: how a picture becomes its input; of one size.
            decoder: family that the outputs belong to, one of `FAMILIES`.

        Raises:
            ConfigurationError: the outputs are not those of the family with 80 classes.
        """
        decode = FAMILIES.get(decoder or "")
        if decode is None:
            known = ", ".join(FAMILIES)
            raise ConfigurationError(f"{info.model_id}: decoder {decoder} is none of {known}")
        self._decode = decode
        self.info = info
        self._engine = engine
        self._shape = shape
        self._canvas = Canvas(shape)
        try:
            self.warm_up()
        except EngineError as error:
            raise ConfigurationError(f"{info.model_id}: {error}") from error

    def detect(self, images: Sequence[Image]) -> list[list[RawObject]]:
        """The objects of each picture, most confident first.

        Raises:
            EngineError: the engine refused one of the pictures.
        """
        return [
            found
            for start in range(0, len(images), AT_ONCE)
            for found in self._detect(images[start : start + AT_ONCE])
        ]

    def warm_up(self) -> None:
        """Run once on an empty picture."""
        self.detect([np.zeros((self._shape.height, self._shape.width, 3), np.uint8)])

    def _detect(self, images: Sequence[Image]) -> list[list[RawObject]]:
        boxes = [letterbox(image, self._shape, self._shape.width) for image in images]
        rows = self._run(self._canvas.lay(images, boxes))
        try:
            return [self._decode(found, box) for found, box in zip(rows, boxes, strict=True)]
        except KeyError as error:
            raise EngineError(f"the output needs {error.args[0]}") from error

    def _run(self, frames: Tensor) -> Tensor:
        outputs = self._engine.run(frames)
        rows = next(iter(outputs.values()))
        if len(rows) != len(frames):
            raise EngineError(f"the output is for {len(rows)} pictures, not for {len(frames)}")
        return rows
