"""What a fallback chain is made of, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from inference.link_health import LinkState

Tool = TypeVar("Tool")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Generic[Tool]):
    """One way to get an answer."""

    name: str
    """For people and metrics, unique in the chain: gpu, cpu, cloud."""
    device: str
    """CPU, GPU-0, cloud."""
    model_id: str
    timeout: float
    """Seconds that one call may take."""
    build: Callable[[], Tool]
    """Loads it; called again after it failed, from another thread. May raise."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[Tool, Out]):
    """An answer, and whose it is."""

    value: Out
    tool: Tool
    link: Link[Tool]
    stood_in: bool
    """Whether the link stood in for the one that should have answered."""


@dataclass(frozen=True, slots=True)
class Change(Generic[Tool]):
    """Something about a chain that an operator should know."""

    kind: str
    """model_degraded, model_fallback or model_restored."""
    link: Link[Tool]
    """Whose state changed; for a fallback the link that should have answered."""
    state: LinkState
    """Of that link."""
    reason: str
    stand_in: Link[Tool] | None = None
    """Which link answers instead, of a fallback."""
