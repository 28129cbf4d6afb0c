"""What every stream of the stage shares."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from operator import eq

from camera.domain.backoff import Backoff
from camera.domain.policy import CapturePolicy, SamePassword
from camera.ports import FramePublisher, Gauges, LargePictures, SourceFactory, StatusPublisher
from camera.stage.turns import Turns
from mesh.clock import Clock

Wait = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or after so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParts:
    """What every stream of the stage shares."""

    sources: SourceFactory
    frames: FramePublisher
    reports: StatusPublisher
    gauges: Gauges
    clock: Clock
    policy: CapturePolicy
    backoff: Backoff = field(default_factory=Backoff)
    turns: Turns = field(default_factory=Turns)
    large: LargePictures = lambda *_: None
    """Without it, large pictures are made small enough."""
    same_password: SamePassword = eq
    """Whether two tokens hold the same password, so that a connection may stay."""
    max_retries: int = 0
    """A stream that failed more often in a row is stopped; 0 never gives up."""
    patience: float = 50.0
    """A connection that neither showed a picture nor failed for so long hangs, seconds."""
    wait: Wait = wait_for_event
    thread_seconds: Callable[[], float] = time.thread_time
    """Processor time of the calling thread."""
