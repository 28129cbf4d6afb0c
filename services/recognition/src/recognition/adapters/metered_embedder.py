"""An embedder that is measured."""

from collections.abc import Sequence

from inference.engine import EngineError
from mesh.clock import Clock
from mesh.events import FaceChip
from mesh.model_status import ModelMeter
from recognition.domain.embedding import Vectors
from recognition.ports import EmbedderInfo, FaceEmbedder


class MeteredEmbedder:
    """Tells a meter how another embedder does; safe to call from several threads."""

    def __init__(self, embedder: FaceEmbedder, meter: ModelMeter, clock: Clock) -> None:
        self._embedder = embedder
        self._meter = meter
        self._clock = clock

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it."""
        return self._embedder.info

    def warm_up(self) -> None:
        """Run once on a made-up picture; from then on the model counts as loaded."""
        self._embedder.warm_up()
        self._meter.loaded()

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align and embed chips, in order; see `FaceEmbedder`."""
        began = self._clock.monotonic()
        try:
            vectors = self._embedder.embed(chips)
        except EngineError:
            self._meter.failed()
            raise
        if chips:
            self._meter.worked(len(chips), self._clock.monotonic() - began)
        return vectors
