"""An embedder that measures itself."""

from collections.abc import Sequence
from threading import Lock

from mesh.clock import Clock
from mesh.events import FaceChip
from recognition.domain.embedding import Vectors
from recognition.domain.meter import EmbedderMeter, Reading
from recognition.ports import EmbedderInfo, FaceEmbedder


class MeteredEmbedder:
    """Measures another embedder; safe to call from several threads."""

    def __init__(self, embedder: FaceEmbedder, clock: Clock) -> None:
        self._embedder = embedder
        self._clock = clock
        self._meter = EmbedderMeter()
        self._lock = Lock()
        self._read_at = clock.monotonic()
        self._warm = False

    @property
    def info(self) -> EmbedderInfo:
        """The model behind it."""
        return self._embedder.info

    def warm_up(self) -> None:
        """Run once on a made-up picture."""
        self._embedder.warm_up()
        self._warm = True

    def check(self) -> str | None:
        """What is wrong with the model, or nothing; for readiness."""
        return None if self._warm else f"{self.info.model_id} is not warm yet"

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        """Align and embed chips, in order; see `FaceEmbedder`."""
        began = self._clock.monotonic()
        vectors = self._embedder.embed(chips)
        if chips:
            with self._lock:
                self._meter.embedded(len(chips), self._clock.monotonic() - began)
        return vectors

    def read(self) -> Reading:
        """How it did since the last reading."""
        with self._lock:
            now = self._clock.monotonic()
            reading = self._meter.read(now - self._read_at)
            self._read_at = now
        return reading
