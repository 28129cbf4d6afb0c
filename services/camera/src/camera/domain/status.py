"""What is told of a stream: its status and its events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mesh.events import Camera, CameraStatus, LogEvent, StreamState
from mesh.identity import new_id

_WORDS = {
    StreamState.CONNECTING: "connecting",
    StreamState.LIVE: "connected",
    StreamState.ERROR: "disconnected",
    StreamState.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell people of that does not change the stream's state."""

    details: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def idle_status(camera: Camera, instance_id: str, now: datetime) -> CameraStatus:
    """The status of a camera that is switched off."""
    return CameraStatus(
        camera_id=camera.camera_id,
        camera_name=camera.name,
        instance_id=instance_id,
        state=StreamState.STOPPED,
        updated_at=now,
    )


def connection_event(
    status: CameraStatus, now: datetime, notice: Notice, *, severity: str | None = None
) -> LogEvent:
    """What happened to a stream as the event `camera_connection` (specification 8.1.2).

    Args:
        status: How the stream is after it.
        now: When it happened.
        notice: What happened, with further attributes or better values of the usual ones.
        severity: By default that of the state.
    """
    attributes = {
        "status": _WORDS[status.state],
        "connection_attempt": str(status.reconnection_attempts),
        "details": notice.details,
    }
    if status.error_code is not None:
        attributes["error_code"] = status.error_code
    return LogEvent(
        event_id=new_id("evt"),
        event_type="camera_connection",
        occurred_at=now,
        severity=severity or ("warning" if status.state is StreamState.ERROR else "info"),
        service="camera",
        instance_id=status.instance_id,
        camera_id=status.camera_id,
        camera_name=status.camera_name,
        message=notice.details,
        attributes={**attributes, **notice.attributes},
    )
