"""Detectors that are networks: letterbox, run, read the outputs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

import inference.engine
from detection.domain import scrfd, yolo_face, yunet
from detection.domain.face import Picture, RawFace
from detection.domain.letterbox import Letterbox, fit, fit_into
from detection.ports import EngineError, ModelInfo
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
        self._long_side = long_side
        try:
            self.warm_up()
        except KeyError as error:
            raise ConfigurationError(f"{info.model_id}: expected {error}") from error

    def detect(
        self, images: Sequence[Picture], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture, most confident first.

        Args:
            images: any sizes.
            long_side: pictures are scaled down to this instead of the usual, pixels; without
                effect where the network takes one size only.

        Raises:
            EngineError: the engine refused one of the pictures.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        side = long_side or self._long_side
        boxes = [letterbox(image, self._shape, side) for image in images]
        for index, box in enumerate(boxes):
            groups[box.height, box.width].append(index)
        found: list[list[RawFace]] = [[] for _ in images]
        for members in groups.values():
            frames = tensor([images[i] for i in members], [boxes[i] for i in members], self._shape)
            heads = self._run(frames)
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

    def _run(self, frames: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        try:
            return self._engine.run(frames)
        except inference.engine.EngineError as error:
            raise EngineError(str(error)) from error


def usual(long_side: int) -> tuple[int, int, int]:
    """The shape of a camera's picture: 16:9."""
    return long_side * 9 // 16, long_side, 3


def sample(shape: InputSpec, long_side: int) -> NDArray[np.float32]:
    """A made-up picture of the usual shape as the network's input, to measure engines with."""
    picture = np.random.default_rng(0).integers(0, 256, usual(long_side), np.uint8)
    smooth: Picture = cv2.GaussianBlur(picture, (0, 0), 2.0)
    return tensor([smooth], [letterbox(smooth, shape, long_side)], shape)


def letterbox(image: Picture, shape: InputSpec, long_side: int) -> Letterbox:
    """How a picture goes into the network: its own aspect, or the one size that it takes."""
    height, width = image.shape[:2]
    if shape.width and shape.height:
        return fit_into(width, height, input_width=shape.width, input_height=shape.height)
    return fit(width, height, long_side, multiple=shape.multiple)


def tensor(
    images: Sequence[Picture], boxes: Sequence[Letterbox], shape: InputSpec
) -> NDArray[np.float32]:
    """The pictures in their letterboxes, which have one size: (n, 3, height, width).

    Raises:
        EngineError: one of them is no picture of three channels.
    """
    mean, scale = np.asarray(shape.mean, np.float32), np.asarray(shape.scale, np.float32)
    plain = not mean.any() and (scale == 1).all()
    frames = np.empty((len(images), 3, boxes[0].height, boxes[0].width), np.float32)
    for frame, image, box in zip(frames, images, boxes, strict=True):
        size = (box.content_width, box.content_height)
        same = image.shape[1::-1] == size
        try:
            scaled = image if same else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            channels = cv2.split(scaled)
            if shape.colour == "RGB":
                channels = channels[::-1]
            for plane, channel in zip(frame, channels, strict=True):
                plane[: box.content_height, : box.content_width] = channel
            frame[:, box.content_height :] = 0.0
            frame[:, :, box.content_width :] = 0.0
        except (cv2.error, ValueError) as error:
            raise EngineError(
                f"a picture of shape {image.shape} cannot be used: {error}"
            ) from error
    if not plain:
        frames -= mean[:, None, None]
        frames *= (1 / scale)[:, None, None]
    return frames
