"""Embedders that are networks: align, run, scale to unit length."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.engine import Engine
from mesh.errors import ConfigurationError
from mesh.events import FaceChip, Point
from mesh.models import InputSpec
from recognition.adapters.pictures import Picture, Pictures, aligned
from recognition.domain.alignment import Template
from recognition.domain.embedding import Vectors, unit
from recognition.ports import EmbedderInfo

AT_ONCE = 64
"""Faces per call of the engine, at most: what a crowd takes in memory has a bound."""


class NetworkEmbedder:
    """Embeds faces by a network on any engine; safe to call from several threads."""

    def __init__(
        self, engine: Engine, *, info: EmbedderInfo, template: Template, shape: InputSpec
    ) -> None:
        """Take the engine, and look once at what it puts out.

        Args:
            engine: runs the network.
            info: what is known of the model.
            template: how it wants faces aligned.
            shape: how a face becomes its input.

        Raises:
            ConfigurationError: the network does not give one vector of the model's size.
        """
        check_output(engine, info, template, shape)
        self._engine = engine
        self._info = info
        self._template = template
        self._shape = shape

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it."""
        return self._info

    def warm_up(self) -> None:
        """Run once on a made-up picture."""
        self._engine.run(sample(self._template, self._shape))

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align onto the model's template and embed, shape (n, dim).

        Raises:
            inference.engine.EngineError: the engine failed.
        """
        rows = np.zeros((len(chips), self._info.dim), dtype=np.float32)
        for start in range(0, len(chips), AT_ONCE):
            faces, kept = aligned(chips[start : start + AT_ONCE], self._template)
            if kept:
                found = self._engine.run(tensor(faces, self._shape))
                (values,) = found.values()
                rows[[start + index for index in kept]] = values.reshape(len(kept), -1)
        return unit(rows)


def tensor(faces: Pictures, shape: InputSpec) -> NDArray[np.float32]:
    """Aligned faces as the network's input, float32, shape (n, 3, size, size)."""
    channels = faces[..., ::-1] if shape.colour == "RGB" else faces
    batch = np.ascontiguousarray(channels.transpose(0, 3, 1, 2), dtype=np.float32)
    mean, scale = np.asarray(shape.mean, np.float32), np.asarray(shape.scale, np.float32)
    if mean.any() or (scale != 1).any():
        batch -= mean[:, None, None]
        batch *= (1 / scale)[:, None, None]
    return batch


def check_output(engine: Engine, info: EmbedderInfo, template: Template, shape: InputSpec) -> None:
    """Look once at what an engine puts out.

    Raises:
        ConfigurationError: it is not one vector of the model's size.
    """
    found = [values.shape for values in engine.run(sample(template, shape)).values()]
    if [np.prod(sides, dtype=int) for sides in found] != [info.dim]:
        raise ConfigurationError(
            f"{info.model_id}: expected one output of {info.dim} numbers, found {found}"
        )


def sample(template: Template, shape: InputSpec) -> NDArray[np.float32]:
    """A made-up face as the network's input, to measure engines with."""
    return tensor(_face(template.size)[np.newaxis], shape)


def sample_chip(template: Template) -> FaceChip:
    """A made-up face as a chip that lies as the template wants it."""
    _, image = cv2.imencode(".jpg", _face(template.size))
    points = tuple(Point(x=x, y=y) for x, y in template.points)
    return FaceChip(
        image=image.tobytes(), width=template.size, height=template.size, landmarks=points
    )


def _face(size: int) -> Picture:
    rows, columns = np.mgrid[0:size, 0:size] / size
    waves = 127 + 60 * np.sin(9 * rows) + 60 * np.cos(7 * columns)
    return np.repeat(waves.astype(np.uint8)[..., np.newaxis], 3, axis=2)
