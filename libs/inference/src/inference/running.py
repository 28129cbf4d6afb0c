"""How a service wants a model to run, and how it is made ready."""

from dataclasses import dataclass
from typing import Protocol

from inference.engine import EngineOptions

WARM_UP_RUNS = 10
"""Specification, 7.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where and by what a model is to run."""

    wanted: str = "auto"
    """auto: the fastest engine that agrees with the model's first one; or an engine's name."""
    device: str = "CPU"
    precision: str | None = None
    """f32, bf16 or f16; absent: the engine's own choice."""
    streams: int = 1
    """Items that a CPU works on at the same time, where the engine can."""
    apart: bool = False
    """Whether engines are tried in a process of their own: costs a second, saves 70 MB."""

    def options(self, *, threads: int, max_batch: int = 1) -> EngineOptions:
        """The same for an engine; see `EngineOptions`."""
        return EngineOptions(
            device=self.device,
            precision=self.precision,
            threads=threads,
            streams=self.streams,
            max_batch=max_batch,
        )


class Warmable(Protocol):
    """What is slow at first."""

    def warm_up(self) -> None:
        """Run once."""


def warm(tool: Warmable) -> None:
    """Run it until later calls are no faster."""
    for _ in range(WARM_UP_RUNS):
        tool.warm_up()
