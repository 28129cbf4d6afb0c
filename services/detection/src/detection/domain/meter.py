"""How a model does: latencies, throughput, utilisation, state."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_REMEMBERED = 512
_DEAD_AFTER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the meter shows since the last reading."""

    state: str
    """loading, available, degraded or failed."""
    utilisation: float
    """Share of the time spent in the engine, 0 to 1."""
    throughput: float
    """Frames per second."""
    latency_p50: float | None
    """Seconds per frame over the last frames; none before the first."""
    latency_p99: float | None
    """Seconds per frame."""


class ModelMeter:
    """Adds up what the engine does between readings; not thread-safe."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._frames = 0
        self._busy = 0.0
        self._failures = 0
        self._in_a_row = 0
        self._loaded = False

    def loaded(self) -> None:
        """The model is warm."""
        self._loaded = True

    def worked(self, frames: int, seconds: float) -> None:
        """The engine took `seconds` for `frames` pictures, at least one."""
        self._frames += frames
        self._busy += seconds
        self._latencies.extend([seconds / frames] * frames)
        self._in_a_row = 0

    def failed(self) -> None:
        """The engine failed on a picture."""
        self._failures += 1
        self._in_a_row += 1

    def read(self, elapsed: float) -> Reading:
        """The reading of the last `elapsed` seconds; starts the next one."""
        reading = Reading(
            state=self._state(),
            utilisation=min(1.0, self._busy / elapsed) if elapsed > 0 else 0.0,
            throughput=self._frames / elapsed if elapsed > 0 else 0.0,
            latency_p50=percentile(self._latencies, 0.50),
            latency_p99=percentile(self._latencies, 0.99),
        )
        self._frames, self._busy, self._failures = 0, 0.0, 0
        return reading

    def _state(self) -> str:
        if not self._loaded:
            return "loading"
        if self._in_a_row >= _DEAD_AFTER:
            return "failed"
        return "degraded" if self._failures else "available"


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed.

    Args:
        values: in any order.
        share: above 0, at most 1.
    """
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
