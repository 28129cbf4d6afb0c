"""The product's adapters and the engines by themselves, on the device that is measured."""

from dataclasses import dataclass

from bench.bare_engines import Bare, Tensor, bare_engine
from bench.contenders import a_detector, an_embedder
from detection.ports import FaceDetector
from inference.engine import EngineOptions
from inference.opening import open_engine
from mesh.models import ModelSpec, ModelStore
from recognition.ports import FaceEmbedder

LARGEST = 32
"""Items of a call, at most."""
_CPU = "CPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Loads models from a store."""

    store: ModelStore
    threads: int = 1
    """Of an engine on a CPU."""
    device: str = _CPU
    """CPU, GPU-0, …"""

    def detector(self, model: ModelSpec, engine: str) -> FaceDetector:
        """A detector as the service loads it.

        Raises:
            ConfigurationError: a file is missing, or the engine has no such device or fails on it.
        """
        return a_detector(model.model_id, self.store, self._options, engine=engine)

    def embedder(self, model: ModelSpec, engine: str) -> FaceEmbedder:
        """An embedder as the service loads it; see `detector`."""
        return an_embedder(model.model_id, self.store, self._options, engine=engine)

    def bare(self, model: ModelSpec, engine: str, item: Tensor) -> Bare:
        """The engine by itself: as its manual calls it on a CPU, as the product does elsewhere.

        Args:
            model: to run.
            engine: that runs it.
            item: as the model will see it, shape (1, …).

        Raises:
            ConfigurationError: see `detector`.
        """
        files = self.store.locate(model)
        if self.device != _CPU:
            runner, _ = open_engine(model, files, item, options=self._options, wanted=engine)
            return runner.run
        network = next(path for path in files.values() if path.suffix in {".onnx", ".xml"})
        weights = next((path for path in files.values() if path.suffix == ".bin"), None)
        return bare_engine(engine, network, weights, threads=self.threads)

    @property
    def _options(self) -> EngineOptions:
        return EngineOptions(device=self.device, threads=self.threads, max_batch=LARGEST)
