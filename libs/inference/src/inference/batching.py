"""Batch sizes: a few buckets, padding and splitting."""

from collections.abc import Iterator, Sequence

import numpy as np

from inference.engine import Engine, EngineInfo, Outputs, Tensor

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes that are prepared ahead (compiled, captured), rising."""


def bucket_for(count: int, buckets: Sequence[int] = BUCKETS) -> int:
    """The smallest bucket that holds so many items; the largest where none does.

    Args:
        count: items, at least 1.
        buckets: rising.
    """
    return next((bucket for bucket in buckets if bucket >= count), buckets[-1])


def prepared(most: int) -> Sequence[int]:
    """The buckets that a caller needs who sends up to so many items, at least 1, at once."""
    return [bucket for bucket in BUCKETS if bucket <= bucket_for(most)]


def portions(count: int, buckets: Sequence[int] = BUCKETS) -> Iterator[tuple[int, int, int]]:
    """How a call is cut: (first item, items, bucket), in order; only the last one is padded.

    Args:
        count: items of the call.
        buckets: rising.
    """
    start = 0
    while start < count:
        size = min(count - start, buckets[-1])
        yield start, size, bucket_for(size, buckets)
        start += size


def padded(items: Tensor, bucket: int) -> Tensor:
    """The items, shape (n, …), followed by zeros up to `bucket`."""
    if len(items) == bucket:
        return items
    batch = np.zeros((bucket, *items.shape[1:]), items.dtype)
    batch[: len(items)] = items
    return batch


class BucketedEngine:
    """Runs another engine on prepared batch sizes only; calls of any size are cut and padded."""

    def __init__(self, engine: Engine, buckets: Sequence[int] = BUCKETS) -> None:
        self._engine = engine
        self._buckets = tuple(sorted(buckets))

    @property
    def info(self) -> EngineInfo:
        """The engine behind it."""
        return self._engine.info

    def run(self, batch: Tensor) -> Outputs:
        """Every output for a batch of any size; see `Engine.run`.

        Raises:
            EngineError: the engine refuses this input or failed on it.
        """
        if not len(batch):
            return self._engine.run(batch)
        parts = []
        for start, size, bucket in portions(len(batch), self._buckets):
            found = self._engine.run(padded(batch[start : start + size], bucket))
            parts.append({name: value[:size] for name, value in found.items()})
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Close the engine behind it."""
        self._engine.close()
