"""dlib's ResNet: 128 numbers a face; needs no download, and takes a tenth of a second."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import dlib
import numpy as np

from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from recognition.adapters.pictures import Picture, decode
from recognition.domain.embedding import Vectors, unit
from recognition.ports import EmbedderInfo

DIM = 128
_CHIP_TO_BOX = 1.4
"""A chip is this many times as wide as the detector's box that it surrounds."""
_MODEL_INPUT = 150
_MODEL_PADDING = 0.25


class DlibEmbedder:
    """Finds dlib's own five points in the chip, aligns by them and embeds."""

    def __init__(self, *, predictor: Path, network: Path, info: EmbedderInfo) -> None:
        """Load the two files.

        Raises:
            ConfigurationError: dlib cannot load one of them.
        """
        self._info = info
        self._lock = Lock()
        try:
            self._predictor = dlib.shape_predictor(str(predictor))
            self._network = dlib.face_recognition_model_v1(str(network))
        except RuntimeError as error:
            raise ConfigurationError(f"{predictor}, {network}: dlib: {error}") from error

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it."""
        return self._info

    def warm_up(self) -> None:
        """Run once on a grey picture."""
        self._infer(np.full((_MODEL_INPUT, _MODEL_INPUT, 3), 127, dtype=np.uint8))

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align by dlib's own points and embed, shape (n, 128)."""
        rows = np.zeros((len(chips), DIM), dtype=np.float32)
        for row, chip in enumerate(chips):
            picture = decode(chip)
            if picture is not None:
                rows[row] = self._infer(picture)
        return unit(rows)

    def _infer(self, picture: Picture) -> list[float]:
        colours = np.ascontiguousarray(picture[:, :, ::-1])
        height, width = colours.shape[:2]
        side = min(height, width) / _CHIP_TO_BOX
        left, top = round((width - side) / 2), round((height - side) / 2)
        box = dlib.rectangle(left, top, left + round(side), top + round(side))
        with self._lock:
            shape = self._predictor(colours, box)
            face = dlib.get_face_chip(colours, shape, _MODEL_INPUT, _MODEL_PADDING)
            vector: list[float] = list(self._network.compute_face_descriptor(face))
        return vector
