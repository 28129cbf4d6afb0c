"""Cameras as clients see them: registry entry, state, stream session (specification 3.2, 6.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.events import (
    Camera,
    CameraStatus,
    DetectionConfig,
    Location,
    StreamConfig,
    StreamState,
    StreamType,
)
from results.domain.camera_state import SILENT, waiting_state
from results.domain.cameras import STREAM_FIELDS, URL_FIELDS, CameraEntry, is_pushed
from results.domain.errors import ApiError
from results.domain.times import iso, milliseconds

_OF_KIND = {
    StreamType.FILE: ("loop",),
    StreamType.WEBSOCKET: ("max_message_bytes",),
    StreamType.SOCKET: ("keepalive", "max_message_bytes"),
}
"""Fields that always have a value and mean something for these types alone."""
NO_MOTION = "no_motion"
"""Reason of frames that the camera's motion gate held back."""


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """What became of a stream session's frames after they left their source, by any connection."""

    processed: int
    """Frames with a result, as long as the ledger is kept."""
    detections: int | None
    """Faces and objects in them, of the last eight days, counted by minutes or hours."""


def render_camera(
    entry: CameraEntry,
    status: CameraStatus | None,
    *,
    subscribers: Sequence[str] = (),
    counts: SessionCounts | None = None,
) -> dict[str, Any]:
    """A camera, specification 3.2, its stream session, 6.3, and its error, 5.2.2."""
    camera = entry.camera
    return {
        "camera_id": camera.camera_id,
        "name": camera.name,
        "location": render_location(camera.location),
        "node": camera.node,
        "stream_config": render_stream(camera.stream, entry.extras),
        "detection_config": render_detection_config(camera.detection),
        "status": render_status(camera, status, counts),
        "session": render_session(status, subscribers, counts) if status else None,
        "created_at": iso(camera.created_at),
        "updated_at": iso(camera.updated_at),
        "revision": camera.revision,
    }


def render_location(location: Location | None) -> dict[str, Any] | None:
    """Where a camera hangs."""
    if location is None:
        return None
    known = location.latitude is not None and location.longitude is not None
    place = {"latitude": location.latitude, "longitude": location.longitude}
    return {
        "site": location.site,
        "floor": location.floor,
        "zone": location.zone,
        "coordinates": place if known else None,
    }


def render_stream(stream: StreamConfig, extras: Mapping[str, Any]) -> dict[str, Any]:
    """How a camera is reached, in the specification's words; the password is never shown."""
    kind = stream.stream_type
    shown: dict[str, Any] = {"stream_type": kind.value}
    if stream.url is not None and kind in URL_FIELDS:
        shown[URL_FIELDS[kind]] = stream.url
    plain = ("transport", "username", "auth_type", "device_id", "host", "port", "protocol", "codec")
    more = ("fps", "resolution", "hardware", "pace", "frozen_seconds", *_OF_KIND.get(kind, ()))
    for name in ("sub_url", *plain, *more):
        shown[STREAM_FIELDS.get(name, name)] = getattr(stream, name)
    if kind is StreamType.WEBSOCKET and not is_pushed(stream):
        shown["ping_interval"] = stream.ping_interval
    if stream.frame_delimiter is not None:
        shown["frame_delimiter"] = "".join(f"\\x{byte:02X}" for byte in stream.frame_delimiter)
    shown["headers"] = dict(stream.headers) or None
    shown |= {"timeout_seconds": stream.timeout_seconds} | dict(extras)
    shown["has_password"] = stream.password_encrypted is not None
    return {name: value for name, value in shown.items() if value is not None}


def render_detection_config(config: DetectionConfig) -> dict[str, Any]:
    """How a camera's pictures are processed."""
    return {
        "enabled": config.enabled,
        "fps_limit": config.fps_limit,
        "min_face_size": config.min_face_size,
        "confidence_threshold": config.confidence_threshold,
        "max_faces_per_frame": config.max_faces_per_frame,
        "tasks": list(config.tasks),
        "overload": config.overload.value,
        "priority": config.priority.value,
        "max_age_ms": config.max_age_ms,
        "collection": config.collection,
        "long_side": config.long_side,
        "motion_threshold": config.motion_threshold,
    }


def render_status(
    camera: Camera, status: CameraStatus | None, counts: SessionCounts | None = None
) -> dict[str, Any]:
    """The state of a camera's stream."""
    if status is None:
        return {
            "state": waiting_state(camera).value,
            "details": None,
            "last_connected": None,
            "uptime_seconds": 0,
            "frames_processed": 0,
            "error_count": 0,
            "last_error": None,
            "error": None,
        }
    live = status.state is StreamState.LIVE
    up = milliseconds(status.established_at, status.updated_at) if status.established_at else 0
    return {
        "state": status.state.value,
        "details": status.details,
        "last_connected": iso(status.established_at),
        "last_frame_at": iso(status.last_frame_at),
        "uptime_seconds": up // 1000 if live else 0,
        "frames_processed": counts.processed if counts else None,
        "error_count": status.error_count,
        "last_error": status.last_error,
        "error": stream_error(status) if status.state is StreamState.ERROR else None,
    }


def render_session(
    status: CameraStatus, subscribers: Sequence[str], counts: SessionCounts | None = None
) -> dict[str, Any]:
    """The stream session, specification 3.2 and 6.3."""
    return {
        "session_id": status.session_id,
        "camera_id": status.camera_id,
        "state": status.state.value,
        "started_at": iso(status.started_at),
        "instance_id": status.instance_id or None,
        "connection": {
            "established_at": iso(status.established_at),
            "last_heartbeat": iso(status.updated_at),
            "reconnection_count": status.connection_resets,
            "total_downtime_seconds": round(status.total_downtime_seconds, 1),
            "transport": status.transport,
            "codec": status.codec,
        },
        "statistics": {
            "frames_captured": status.frames_captured,
            "frames_queued": status.frames_queued,
            "frames_processed": counts.processed if counts else None,
            "detections_found": counts.detections if counts else None,
            "frames_skipped": status.frames_skipped,
            "frames_dropped": _dropped(status.frames_dropped),
            "frames_dropped_by_reason": dict(status.frames_dropped),
            "avg_fps": round(status.avg_fps, 2),
            "avg_latency_ms": status.avg_latency_ms,
            "resolution": {"width": status.width, "height": status.height},
        },
        "time": {
            "timestamp_source": status.timestamp_source.value if status.timestamp_source else None,
            "clock_skew_ms": status.clock_skew_ms,
            "clock_jumps": status.clock_jumps,
        },
        "health": {
            "is_healthy": status.is_healthy,
            "last_error": status.last_error,
            "error_code": status.error_code,
            "error_count": status.error_count,
            "bandwidth_mbps": round(status.bandwidth_mbps, 3),
            "cpu_usage_percent": status.cpu_usage_percent,
        },
        "subscribers": list(subscribers),
    }


def _dropped(frames: Mapping[str, int]) -> int:
    """How many frames were given up against the camera's will: a quiet scene is its will."""
    return sum(count for reason, count in frames.items() if reason != NO_MOTION)


def stream_error(status: CameraStatus) -> dict[str, Any]:
    """What the specification says of a lost stream, 5.2.2."""
    error: dict[str, Any] = unavailable_stream(status).envelope()["error"]
    return error


def unavailable_stream(status: CameraStatus) -> ApiError:
    """The refusal for a camera whose stream is in error."""
    cause = (status.last_error or "Camera stream lost").rstrip(".")
    comfort = "" if status.error_code == SILENT else " Attempting reconnection."
    return ApiError(
        503,
        "STREAM_UNAVAILABLE",
        f"{cause}.{comfort}",
        field="camera_id",
        details={
            "camera_id": status.camera_id,
            "camera_name": status.camera_name,
            "cause": status.error_code,
            "last_frame_at": iso(status.last_frame_at),
            "reconnection_attempts": status.reconnection_attempts,
            "next_retry_at": iso(status.next_retry_at),
        },
        headers={"Retry-After": str(_until(status))},
    )


def _until(status: CameraStatus) -> int:
    if status.next_retry_at is None:
        return 1
    return max(1, milliseconds(status.updated_at, status.next_retry_at) // 1000)
