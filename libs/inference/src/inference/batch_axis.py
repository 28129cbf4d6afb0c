"""Whether a network may be given several items at once.

Many public exports have a fixed batch of one, outputs without a batch axis, or a batch axis that
mixes the items. So nothing is believed: the network is asked, when it is loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from inference.engine import EngineError, Outputs, Tensor
from mesh.errors import ConfigurationError

Run = Callable[[Tensor], Outputs]
"""Runs the bare network on what it takes."""

_ANY_SHAPE = (3, 64, 64)
_SAME = 0.05
_NOTHING = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAxis:
    """What the first axis of a network means."""

    batched: bool
    """Whether several items may be run together; else one by one."""
    bare: frozenset[str] = frozenset()
    """Outputs that have no batch axis and get one."""


def probe(run: Run, shape: Sequence[int | None]) -> BatchAxis:
    """Find out by running noise: each item alone, then both together.

    Args:
        run: the bare network.
        shape: of its input, (batch, channels, height, width), none where anything fits.

    Raises:
        ConfigurationError: the input has not four axes, or a fixed batch of more than one.
        EngineError: the network cannot be run at all.
    """
    if len(shape) != 4 or shape[0] not in {None, 1}:
        raise ConfigurationError(
            f"a network must take (n, channels, height, width) with n free or 1, not {shape}"
        )
    sides = [side or usual for side, usual in zip(shape[1:], _ANY_SHAPE, strict=True)]
    noise = np.random.default_rng(0).uniform(0, 255, (2, *sides)).astype(np.float32)
    first = run(noise[:1])
    if shape[0] is None and _is_batched(run, noise, [first, run(noise[1:])]):
        return BatchAxis(batched=True)
    bare = {name for name, value in first.items() if value.ndim == 0 or value.shape[0] != 1}
    return BatchAxis(batched=False, bare=frozenset(bare))


def _is_batched(run: Run, noise: Tensor, alone: Sequence[Outputs]) -> bool:
    try:
        together = run(noise)
    except EngineError:
        return False
    return all(
        value.shape == (2, *one[name].shape[1:]) and deviation(value[index], one[name][0]) < _SAME
        for name, value in together.items()
        for index, one in enumerate(alone)
        if one[name].ndim > 0
    ) and all(one[name].ndim > 0 for one in alone for name in one)


def joined(parts: Sequence[Outputs], axis: BatchAxis) -> Outputs:
    """The outputs of items that were run one by one, as those of a batch."""
    found = {}
    for name in parts[0]:
        values = [part[name][np.newaxis] if name in axis.bare else part[name] for part in parts]
        found[name] = values[0] if len(values) == 1 else np.concatenate(values)
    return found


def checked(batch: Tensor) -> Tensor:
    """The batch in one piece of memory.

    Raises:
        EngineError: it is not float32 of shape (n, channels, height, width), or empty.
    """
    if batch.ndim != 4 or batch.dtype != np.float32 or not batch.size:
        raise EngineError(
            f"expected float32 (n, channels, height, width), got {batch.dtype} {batch.shape}"
        )
    return np.ascontiguousarray(batch)


def deviation(values: Tensor, reference: Tensor) -> float:
    """How far values are from the reference, as a share of its root mean square.

    A reference that is nearly silent (root mean square below 0.01: scores where nothing is seen)
    counts as 0.01.

    Returns:
        0 for equal arrays; infinity where shapes differ or a value is not finite.
    """
    if values.shape != reference.shape or not np.isfinite(values).all():
        return float("inf")
    if not values.size:
        return 0.0
    wide = reference.astype(np.float64)
    error = float(np.sqrt(np.mean((values - wide) ** 2)))
    return error / max(float(np.sqrt(np.mean(wide**2))), _NOTHING)
