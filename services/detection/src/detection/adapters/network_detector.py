"""Detectors that are networks: letterbox, run, read the outputs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.adapters.canvas import Canvas, letterbox
from detection.domain import scrfd, yolo_face, yunet
from detection.domain.face import Image, Picture, RawFace
from detection.domain.letterbox import Letterbox
from detection.ports import ModelInfo
from inference.devices import is_gpu
from inference.engine import Engine
from mesh.errors import ConfigurationError
from mesh.models import InputSpec


class Decode(Protocol):
    """Reads the outputs of one frame; raises KeyError where they are another network's."""

    def __call__(
        self,
        heads: Mapping[str, NDArray[np.float32]],
        letterbox: Letterbox,
        /,
        *,
        confidence: float,
        overlap: float,
    ) -> list[RawFace]:
        """The faces, most confident first, in picture coordinates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Networks whose outputs are read alike."""

    decode: Decode
    confidence: float
    """Faces below it are left out, 0 to 1."""
    overlap: float
    """Of two boxes with a greater IoU the less confident is left out."""


FAMILIES = MappingProxyType(
    {
        "yunet": Family(decode=yunet.decode, confidence=0.6, overlap=0.3),
        "scrfd": Family(decode=scrfd.decode, confidence=0.5, overlap=0.4),
        "yolov8-face": Family(decode=yolo_face.decode, confidence=0.4, overlap=0.45),
    }
)
"""By `ModelSpec.decoder`; confidence and overlap as their authors ship them."""

AT_ONCE_CPU, AT_ONCE_GPU = 8, 32
"""Pictures per call of the engine, at most; one of 640 x 384 takes 3 MB."""


class NetworkDetector:
    """Finds faces by a network on any engine.

    Pictures that fit the same letterbox share a run of the network.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        info: ModelInfo,
        family: Family,
        shape: InputSpec,
        long_side: int = 640,
    ) -> None:
        """Take the engine, and look once at what it puts out.

        Args:
            engine: runs the network.
            info: what is known of the model.
            family: how its outputs are read.
            shape: how a picture becomes its input.
            long_side: pictures are scaled down to this where the network takes any size, pixels.

        Raises:
            ConfigurationError: the outputs are not the family's.
        """
        self.info = info
        self._engine = engine
        self._family = family
        self._shape = shape
        self._canvas = Canvas(shape)
        self._at_once = AT_ONCE_GPU if is_gpu(engine.info.device) else AT_ONCE_CPU
        self._long_side = long_side
        try:
            self.warm_up()
        except KeyError as error:
            raise ConfigurationError(f"{info.model_id}: expected {error}") from error

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture, most confident first.

        Args:
            images: any sizes.
            long_side: pictures are scaled down to this instead of the usual, pixels; without
                effect where the network takes one size only.

        Raises:
            EngineError: the engine refused one of the pictures.
        """
        side = long_side or self._long_side
        boxes = [letterbox(image, self._shape, side) for image in images]
        found: list[list[RawFace]] = [[] for _ in images]
        for members in sharing(boxes, self._at_once):
            laid = self._canvas.lay([images[i] for i in members], [boxes[i] for i in members])
            heads = self._engine.run(laid)
            for row, index in enumerate(members):
                found[index] = self._family.decode(
                    {name: values[row] for name, values in heads.items()},
                    boxes[index],
                    confidence=self._family.confidence,
                    overlap=self._family.overlap,
                )
        return found

    def warm_up(self) -> None:
        """Run once on an empty picture of the usual shape."""
        self.detect([np.zeros(usual(self._long_side), np.uint8)])


def sharing(boxes: Sequence[Letterbox], most: int) -> Iterator[Sequence[int]]:
    """Which pictures share a run of the network: inputs of one size, at most `most`."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, box in enumerate(boxes):
        groups[box.height, box.width].append(index)
    for group in groups.values():
        for start in range(0, len(group), most):
            yield group[start : start + most]


def usual(long_side: int) -> tuple[int, int, int]:
    """The shape of a camera's picture: 16:9."""
    return long_side * 9 // 16, long_side, 3


def sample(shape: InputSpec, long_side: int) -> NDArray[np.float32]:
    """A made-up picture of the usual shape as the network's input, to measure engines with."""
    picture = np.random.default_rng(0).integers(0, 256, usual(long_side), np.uint8)
    smooth: Picture = cv2.GaussianBlur(picture, (0, 0), 2.0)
    return Canvas(shape).lay([smooth], [letterbox(smooth, shape, long_side)])
