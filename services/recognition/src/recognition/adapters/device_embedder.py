"""Embedders whose faces do not leave the device: decode, align, run, and only then come back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.engine import DeviceEngine, EngineError
from inference.torch_pictures import DeviceDecoder, warped
from mesh.events import FaceChip
from mesh.models import InputSpec
from recognition.adapters.network_embedder import AT_ONCE, check_output, sample_chip
from recognition.adapters.pictures import pixels, transforms
from recognition.domain.alignment import Template
from recognition.domain.embedding import Vectors, unit
from recognition.ports import EmbedderInfo


class DeviceEmbedder:
    """Embeds faces on the device of its engine; safe to call from several threads.

    It makes what `NetworkEmbedder` makes of the same engine, but for the rounding of the device.
    """

    def __init__(
        self, engine: DeviceEngine, *, info: EmbedderInfo, template: Template, shape: InputSpec
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
        self._decode = DeviceDecoder(engine.device, pixels)
        self._input = _Input(shape, engine.device)

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it."""
        return self._info

    def warm_up(self) -> None:
        """Embed a made-up chip: the decoder of the device has to be made ready too."""
        self.embed([sample_chip(self._template)])

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align onto the model's template and embed, shape (n, dim).

        Raises:
            inference.engine.EngineError: the engine failed.
        """
        rows = np.zeros((len(chips), self._info.dim), dtype=np.float32)
        kept: list[int] = []
        found: list[Any] = []
        try:
            with torch.inference_mode():
                for start in range(0, len(chips), AT_ONCE):
                    places, vectors = self._portion(chips[start : start + AT_ONCE])
                    kept += [start + place for place in places]
                    found += vectors
                if kept:
                    rows[kept] = torch.cat(found).cpu().numpy()
        except RuntimeError as error:
            raise EngineError(f"torch: {error}") from error
        return unit(rows)

    def _portion(self, chips: Sequence[FaceChip]) -> tuple[list[int], list[Any]]:
        """Which of the chips are faces, and their vectors on the device, shape (faces, dim)."""
        matrices, usable = transforms(chips, self._template)
        places = [index for index, good in enumerate(usable) if good and chips[index].image]
        pictures = self._decode([chips[index].image for index in places])
        seen = [index for index, one in enumerate(pictures) if one is not None]
        if not seen:
            return [], []
        kept = [places[index] for index in seen]
        faces = warped([pictures[index] for index in seen], matrices[kept], self._template.size)
        (values,) = self._engine.run_on_device(self._input(faces)).values()
        return kept, [values.reshape(len(kept), -1)]


class _Input:
    """Faces of a device, RGB, as a network wants them."""

    def __init__(self, shape: InputSpec, device: Any) -> None:
        self._swap = shape.colour != "RGB"
        self._mean = _column(shape.mean).to(device)
        self._scale = _column(shape.scale).to(device)

    def __call__(self, faces: Any) -> Any:
        """Shape (n, 3, size, size) as before."""
        return ((faces.flip(1) if self._swap else faces) - self._mean) / self._scale


def _column(values: Sequence[float]) -> Any:
    """One number per channel, or one for all, shape (channels, 1, 1)."""
    wide: NDArray[np.float32] = np.array(values, dtype=np.float32).reshape(-1, 1, 1)
    return torch.from_numpy(wide)
