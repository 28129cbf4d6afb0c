"""What state a camera is in: as was last told of it, unless nobody tells any more."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mesh.events import Camera, CameraStatus, StreamState
from results.domain.cameras import is_pushed

SILENT_AFTER = timedelta(seconds=30)
"""Whoever reads a camera tells of it every two seconds, whatever its state."""
SILENT = "silent"
"""Error code of a camera that somebody should read and nobody tells of."""
_UNREAD = (
    f"nobody has told of this camera for {SILENT_AFTER.total_seconds():.0f} s: the camera service, "
    "the node that it hangs on, or Kafka is away"
)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was last told of a camera."""

    status: CameraStatus | None
    age: timedelta
    """How long ago it came here, by this gateway's clock; since it listens, if nothing came."""


def heard_of(camera: Camera, heard: Heard, now: datetime) -> CameraStatus | None:
    """A camera's status; an error of its own where nobody has told of it for too long.

    One that clients push to is over instead: nobody takes it over from a gateway that died. One
    that is switched off is stopped, whoever is there to stop it.

    Args:
        camera: As it is registered.
        heard: What was last told of it.
        now: The present, UTC.
    """
    status = heard.status
    if heard.age < SILENT_AFTER:
        return status
    told = None if status is None else status.state
    if told in (None, StreamState.STOPPED):
        # Of a camera that is off nobody tells, and of one that was just switched on nobody yet.
        asked_for = camera.detection.enabled and not is_pushed(camera.stream)
        if not asked_for or now - camera.updated_at < SILENT_AFTER:
            return status
    return _silent(camera, status)


def waiting_state(camera: Camera) -> StreamState:
    """The state of a camera of which nothing was told yet."""
    return StreamState.CONNECTING if camera.detection.enabled else StreamState.STOPPED


def _silent(camera: Camera, status: CameraStatus | None) -> CameraStatus:
    last = status or CameraStatus(
        camera_id=camera.camera_id,
        camera_name=camera.name,
        instance_id="",
        state=waiting_state(camera),
        updated_at=camera.updated_at,
    )
    over = replace(
        last,
        state=StreamState.STOPPED,
        is_healthy=False,
        details=None,
        established_at=None,
        next_retry_at=None,
        avg_fps=0.0,
        bandwidth_mbps=0.0,
        cpu_usage_percent=None,
    )
    if is_pushed(camera.stream):
        why = "the gateway that pictures were pushed to fell silent"
        return replace(over, last_error=why, error_code="unreachable")
    if not camera.detection.enabled:
        return over
    return replace(over, state=StreamState.ERROR, last_error=_UNREAD, error_code=SILENT)
