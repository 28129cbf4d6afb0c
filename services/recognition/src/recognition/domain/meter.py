"""How the embedder does: latency, throughput, utilisation."""

from collections import deque
from dataclasses import dataclass

_REMEMBERED = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What happened since the last reading."""

    utilisation: float
    """Share of the time spent in inference, 0 to 1."""
    throughput: float
    """Faces per second."""
    latency_p50: float | None
    """Seconds per face over the last faces; none before the first."""
    latency_p99: float | None
    """Seconds per face."""


class EmbedderMeter:
    """Adds up inferences between readings; the caller guards it against other threads."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._faces = 0
        self._busy = 0.0

    def embedded(self, faces: int, seconds: float) -> None:
        """So many faces, at least one, took so long."""
        self._faces += faces
        self._busy += seconds
        self._latencies.extend([seconds / faces] * faces)

    def read(self, elapsed: float) -> Reading:
        """The reading of the last `elapsed` seconds; starts the next one."""
        ordered = sorted(self._latencies)
        reading = Reading(
            utilisation=min(self._busy / elapsed, 1.0) if elapsed > 0 else 0.0,
            throughput=self._faces / elapsed if elapsed > 0 else 0.0,
            latency_p50=ordered[len(ordered) // 2] if ordered else None,
            latency_p99=ordered[len(ordered) * 99 // 100] if ordered else None,
        )
        self._faces, self._busy = 0, 0.0
        return reading
