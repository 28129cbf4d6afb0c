"""Cameras that are gone: nothing came from them for so long that nothing refers to them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregator.domain.state import CameraState


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePolicy:
    """How long a camera is remembered after its last frame."""

    registered: timedelta = timedelta(days=7)
    """A camera that exists."""
    unregistered: timedelta = timedelta(hours=1)
    """A deleted one, or the reserved one of a gateway process; as long as its frames are kept."""


def is_idle(state: CameraState, now: datetime, policy: IdlePolicy, *, is_registered: bool) -> bool:
    """Whether a camera without open sightings was silent for long enough to be forgotten.

    Args:
        state: Of the camera.
        now: The wall clock, UTC.
        policy: How long is long enough.
        is_registered: The camera exists, as far as is known.
    """
    after = policy.registered if is_registered else min(policy.registered, policy.unregistered)
    if state.is_open:
        return False
    return not state.seen or now - state.seen[-1].stage.ended_at > after
