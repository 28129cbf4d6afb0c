"""The heartbeat of the loaded model: once a second, from a thread of its own."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Protocol

from mesh.errors import TransientError
from mesh.events import ModelStatus
from mesh.stage import Output
from recognition.adapters.metered_embedder import MeteredEmbedder
from recognition.ports import Surroundings

_INTERVAL_SECONDS = 1.0
_PATIENCE = timedelta(seconds=5)
_STATM = Path("/proc/self/statm")
_PAGES_PER_MIB = 256


class Publisher(Protocol):
    """`mesh.kafka.EventProducer`; used from one thread."""

    def send(self, output: Output) -> None:
        """Queue an event."""

    def flush(self, timeout: timedelta) -> None:
        """Wait for the acknowledgements."""


class ModelHeartbeat:
    """Publishes `ModelStatus`; a broker that is away costs heartbeats, nothing else."""

    def __init__(
        self,
        embedder: MeteredEmbedder,
        producer: Publisher,
        around: Surroundings,
        *,
        threshold: Callable[[], float],
        max_batch: int,
    ) -> None:
        """Take what it reports.

        Args:
            embedder: the model, and how it does.
            producer: this thread's own.
            around: instance, clock, topics.
            threshold: the similarity in force.
            max_batch: frames per batch, at most.
        """
        self._embedder = embedder
        self._producer = producer
        self._around = around
        self._threshold = threshold
        self._max_batch = max_batch

    def run(self, stop: Event, warn: Callable[[str], None]) -> None:
        """Publish every second until `stop` is set; blocks.

        Args:
            stop: ends it within a second.
            warn: told why a heartbeat was lost.
        """
        topic = self._around.topics("model-status")
        while not stop.is_set():
            status = self.status()
            try:
                self._producer.send(Output(topic, status.model_id, status))
                self._producer.flush(_PATIENCE)
            except TransientError as error:
                warn(str(error))
            stop.wait(_INTERVAL_SECONDS)

    def status(self) -> ModelStatus:
        """What happened since the last status."""
        info, reading = self._embedder.info, self._embedder.read()
        return ModelStatus(
            model_id=info.model_id,
            instance_id=self._around.instance_id,
            service="recognition",
            task="face-recognition",
            name=info.name,
            version=info.version,
            licence=info.licence,
            sha256=info.sha256,
            pack=info.pack,
            device=info.device,
            engine=info.engine,
            state="available" if self._embedder.check() is None else "loading",
            embedding_size=info.dim,
            threshold=self._threshold(),
            aliases=info.aliases,
            utilisation=reading.utilisation,
            queue=0,
            latency_p50_ms=_milliseconds(reading.latency_p50),
            latency_p99_ms=_milliseconds(reading.latency_p99),
            throughput_fps=reading.throughput,
            memory_mb=_resident_mib(),
            max_batch=self._max_batch,
            heartbeat_at=self._around.clock.now(),
        )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000.0 * seconds


def _resident_mib() -> float | None:
    """Resident memory of this process, where the system tells it."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text(encoding="ascii").split()[1]) / _PAGES_PER_MIB
