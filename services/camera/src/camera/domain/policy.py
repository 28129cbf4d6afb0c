"""What holds for the streams of all cameras of a replica."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import eq
from urllib.parse import urlsplit

from mesh.events import Camera, StreamConfig, StreamType
from mesh.identity import new_epoch
from mesh.source.ring import Allowance, RingLimits
from mesh.source.sampling import Spread
from mesh.source.statistics import Meter

SamePassword = Callable[[bytes | None, bytes | None], bool]

SPOOL_FRAMES = 600
SPOOL_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePolicy:
    """How many frames may wait for the broker, and what is made of odd pictures."""

    instance_id: str
    live: RingLimits = field(default_factory=RingLimits)
    evidence: RingLimits = field(
        default_factory=lambda: RingLimits(
            frames=SPOOL_FRAMES, size=SPOOL_BYTES, reason="spool_full"
        )
    )
    """For cameras whose frames must not be shed: they wait while the broker is away."""
    together: Allowance = field(default_factory=Allowance)
    """What all such cameras of this process may hold."""
    meter: Meter | None = None
    spread: Spread = field(default_factory=Spread)
    """Keeps cameras of this process from being sampled at the same moments."""
    new_epoch: Callable[[datetime], int] = new_epoch
    frozen_seconds: float = 30.0
    """Exactly the same picture for so long is an error, where the camera does not say; 0 never."""
    motion_refresh: float = 5.0
    """Of a quiet scene one picture is sent in so many seconds."""
    stale_seconds: float = 30.0
    """Nothing but late pictures for so long ends the connection."""

    def frozen_after(self, camera: Camera) -> float:
        """Seconds of the same picture that are an error; 0 if none are, as with any file."""
        asked = camera.stream.frozen_seconds
        if camera.stream.stream_type is StreamType.FILE:
            return 0.0
        return self.frozen_seconds if asked is None else asked


def host_of(camera: Camera) -> str:
    """What a camera hangs on: the host that it is read from, else only itself."""
    stream = camera.stream
    if stream.stream_type in {StreamType.FILE, StreamType.USB}:
        return camera.camera_id
    try:
        name = stream.host or urlsplit(stream.url or "").hostname
    except ValueError:  # an address that no source will accept either
        name = None
    return (name or camera.camera_id).lower()


def same_connection(
    before: StreamConfig, after: StreamConfig, same_password: SamePassword = eq
) -> bool:
    """Whether a connection that was made with some settings serves others too.

    Args:
        before: The settings that it was made with.
        after: The others.
        same_password: Tells whether two tokens hold the same password.
    """
    same = same_password(before.password_encrypted, after.password_encrypted)
    return same and _without(before) == _without(after)


def _without(stream: StreamConfig) -> StreamConfig:
    """What matters to a connection, but for the password."""
    known = replace(stream, frozen_seconds=None, password_encrypted=None)
    if stream.stream_type is not StreamType.RTSP:
        return known
    return replace(known, codec=None, fps=None, resolution=None)  # hints: the camera decides
