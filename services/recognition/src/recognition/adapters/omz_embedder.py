"""face-reidentification-retail-0095 of the Open Model Zoo, run by OpenVINO on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import openvino
from numpy.typing import NDArray

from mesh.errors import ConfigurationError
from mesh.events import FaceChip
from recognition.adapters.pictures import aligned
from recognition.domain.alignment import OMZ_128
from recognition.domain.embedding import Vectors, unit
from recognition.ports import EmbedderInfo

DIM = 256


class OmzEmbedder:
    """Embeds one face per inference: batches are no faster on a CPU."""

    def __init__(
        self, network: Path, weights: Path, info: EmbedderInfo, *, threads: int = 1
    ) -> None:
        """Load the network.

        Args:
            network: the `.xml` file.
            weights: the `.bin` file.
            info: what to say of the model.
            threads: threads of one inference.

        Raises:
            ConfigurationError: OpenVINO cannot load the file.
        """
        self._info = info
        self._lock = Lock()
        try:
            core = openvino.Core()
            compiled = core.compile_model(
                core.read_model(network, weights),
                "CPU",
                {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"},
            )
        except RuntimeError as error:
            raise ConfigurationError(f"{network}: OpenVINO cannot load it: {error}") from error
        self._request = compiled.create_infer_request()

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it."""
        return self._info

    def warm_up(self) -> None:
        """Run once on a grey picture."""
        self._infer(np.full((OMZ_128.size, OMZ_128.size, 3), 127, dtype=np.uint8))

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align onto the model's template and embed, shape (n, 256)."""
        rows = np.zeros((len(chips), DIM), dtype=np.float32)
        for row, chip in enumerate(chips):
            face = aligned(chip, OMZ_128)
            if face is not None:
                rows[row] = self._infer(face)
        return unit(rows)

    def _infer(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The raw vector, shape (256,), of a BGR picture, shape (128, 128, 3), 0 to 255."""
        tensor = np.ascontiguousarray(face.transpose(2, 0, 1)[np.newaxis], dtype=np.float32)
        with self._lock:
            result = self._request.infer({0: tensor})
            vector: NDArray[np.float32] = np.array(result[0], dtype=np.float32).reshape(-1)
        return vector
