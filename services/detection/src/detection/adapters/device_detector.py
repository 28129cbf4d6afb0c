"""Detectors that take pictures on the device where their network runs, and give faces only."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from detection.adapters.canvas import letterbox
from detection.adapters.device_heads import READERS, best
from detection.adapters.device_pictures import planes_of, scaled
from detection.adapters.network_detector import AT_ONCE_GPU, FAMILIES, sharing, usual
from detection.domain.face import Image, RawFace
from detection.domain.letterbox import Letterbox
from detection.ports import ModelInfo
from inference.engine import DeviceEngine, EngineError
from mesh.errors import ConfigurationError
from mesh.events import BoundingBox, Point
from mesh.models import InputSpec


class DeviceDetector:
    """Finds faces by a network, and copies nothing to the host but the faces.

    What it finds is what `NetworkDetector` finds, up to the rounding of the device.
    """

    def __init__(
        self,
        engine: DeviceEngine,
        *,
        info: ModelInfo,
        decoder: str,
        shape: InputSpec,
        long_side: int = 640,
    ) -> None:
        """Take the engine, and look once at what it puts out.

        Args:
            engine: runs the network.
            info: what is known of the model.
            decoder: family that the outputs belong to, one of `READERS`.
            shape: how a picture becomes its input.
            long_side: pictures are scaled down to this where the network takes any size, pixels.

        Raises:
            ConfigurationError: the outputs are not the family's.
        """
        self.info = info
        self._engine = engine
        self._read, self._family = READERS[decoder], FAMILIES[decoder]
        self._shape = shape
        self._long_side = long_side
        mean, scale = (
            np.broadcast_to(np.asarray(values, np.float32), 3)
            for values in (shape.mean, shape.scale)
        )
        self._mean, self._scale = (
            torch.tensor(values, device=engine.device)[:, None, None] for values in (mean, scale)
        )
        try:
            self.warm_up()
        except KeyError as error:
            raise ConfigurationError(f"{info.model_id}: expected {error}") from error

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture, most confident first; see `NetworkDetector.detect`.

        Raises:
            EngineError: the engine refused one of the pictures, or the device failed.
        """
        boxes = [letterbox(image, self._shape, long_side or self._long_side) for image in images]
        found: list[list[RawFace]] = [[] for _ in images]
        for members in sharing(boxes, AT_ONCE_GPU):
            try:
                rows = self._look([images[i] for i in members], [boxes[i] for i in members])
            except (RuntimeError, ValueError) as error:
                raise EngineError(f"the device cannot use these pictures: {error}") from error
            for number, *values in rows:
                index = members[int(number)]
                found[index].append(_face(values, boxes[index].scale))
        return found

    def warm_up(self) -> None:
        """Run once on an empty picture of the usual shape."""
        self.detect([np.zeros(usual(self._long_side), np.uint8)])

    def _look(self, images: Sequence[Image], boxes: Sequence[Letterbox]) -> list[list[float]]:
        """Picture, score, box and points of each face, in pixels of the input."""
        with torch.inference_mode():
            planes = [planes_of(image, self._engine.device) for image in images]
            heads = self._engine.run_on_device(self._lay(planes, boxes))
            size = boxes[0].width, boxes[0].height
            candidates = self._read(heads, size, self._family.confidence)
            rows: list[list[float]] = best(candidates, self._family.overlap).tolist()
        return rows

    def _lay(self, planes: Sequence[Any], boxes: Sequence[Letterbox]) -> Any:
        """The pictures in their letterboxes, which have one size: (n, 3, height, width)."""
        box, device = boxes[0], self._engine.device
        frames = torch.zeros((len(planes), 3, box.height, box.width), device=device)
        frames += -self._mean / self._scale
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, picture in enumerate(planes):
            alike[tuple(picture.shape)].append(index)
        for members in alike.values():
            width, height = boxes[members[0]].content_width, boxes[members[0]].content_height
            content = scaled(torch.stack([planes[i] for i in members]), width=width, height=height)
            turned = content if self._shape.colour == "RGB" else content.flip(1)
            frames[members, :, :height, :width] = (turned - self._mean) / self._scale
        return frames


def _face(values: Sequence[float], scale: float) -> RawFace:
    """A face in picture coordinates.

    Args:
        values: score, box and points, in pixels of the input.
        scale: input pixels per picture pixel.
    """
    score, *places = values
    x1, y1, x2, y2, *points = (value / scale for value in places)
    return RawFace(
        box=BoundingBox(x1=x1, y1=y1, x2=x2, y2=y2),
        confidence=min(score, 1.0),
        landmarks=tuple(Point(x=x, y=y) for x, y in zip(points[::2], points[1::2], strict=True)),
    )
