"""Engines side by side on one sample: the time of a run, and the deviation from the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from inference.batch_axis import deviation
from inference.engine import Engine, EngineError, EngineInfo, Outputs, Tensor
from mesh.clock import Clock

TOLERANCE: Mapping[str, float] = MappingProxyType({"f32": 0.01, "f16": 0.03, "bf16": 0.06})
"""Root mean square error that an output may have, as a share of the reference's root mean square;
by the engine's precision."""

_WARM_RUNS = 2
_RUNS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one engine did with the sample."""

    info: EngineInfo
    seconds: float
    """Shortest of a few runs: what else the machine does only adds to it."""
    deviation: float
    """Of its worst output from the reference, see `batch_axis.deviation`; 0 for the reference."""
    eligible: bool = True
    """Whether it may be chosen; else it is only the reference."""

    @property
    def agrees(self) -> bool:
        """Whether the outputs are within the tolerance of its precision."""
        return self.deviation <= TOLERANCE[self.info.precision]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An engine that could not be tried."""

    engine: str
    reason: str


def measure(
    engines: Sequence[Engine], sample: Tensor, *, eligible: Sequence[bool], clock: Clock
) -> tuple[list[Trial], list[Refusal]]:
    """Run the sample on every engine in turns, so that a busy moment hits all of them.

    Args:
        engines: the reference first.
        sample: one item as the model will see it.
        eligible: which of them may be chosen.
        clock: takes the time.

    Returns:
        A trial per engine that worked, in order, and why the others did not.
    """
    outputs: dict[int, Outputs] = {}
    refused = []
    for index, engine in enumerate(engines):
        try:
            for _ in range(_WARM_RUNS):
                outputs[index] = engine.run(sample)
        except EngineError as error:
            outputs.pop(index, None)
            refused.append(Refusal(engine=str(engine.info), reason=str(error)))
    seconds: dict[int, list[float]] = {index: [] for index in outputs}
    for _ in range(_RUNS):
        for index in list(seconds):
            began = clock.monotonic()
            try:
                engines[index].run(sample)
            except EngineError as error:
                del seconds[index]
                refused.append(Refusal(engine=str(engines[index].info), reason=str(error)))
            else:
                seconds[index].append(clock.monotonic() - began)
    reference = next((outputs[index] for index in seconds), {})
    return [
        Trial(
            info=engines[index].info,
            seconds=min(taken),
            deviation=_worst(outputs[index], reference),
            eligible=eligible[index],
        )
        for index, taken in seconds.items()
    ], refused


def _worst(found: Outputs, reference: Outputs) -> float:
    if set(found) != set(reference):
        return float("inf")
    return max(deviation(found[name], reference[name]) for name in reference)
