"""Cameras as clients see them: registry entry, state, stream session (specification 3.2, 6.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from mesh.events import (
    Camera,
    CameraStatus,
    DetectionConfig,
    Location,
    StreamConfig,
    StreamState,
    StreamType,
)
from results.domain.errors import ApiError, invalid
from results.domain.times import iso, milliseconds

URL_FIELDS = {
    StreamType.RTSP: "rtsp_url",
    StreamType.HTTP_MJPEG: "url",
    StreamType.WEBSOCKET: "ws_url",
    StreamType.FILE: "path",
}
"""What the specification calls the address of each stream type, 3.1."""
URL_SCHEMES = {
    StreamType.RTSP: ("rtsp", "rtsps"),
    StreamType.HTTP_MJPEG: ("http", "https"),
    StreamType.WEBSOCKET: ("ws", "wss"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraEntry:
    """A camera of the registry."""

    camera: Camera
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Parts of the stream's configuration that only clients read, such as its resolution."""


@dataclass(frozen=True, slots=True)
class Address:
    """A stream's address, its credentials taken out."""

    url: str
    username: str | None = None
    password: str | None = None


def split_credentials(url: str, stream_type: StreamType, *, field: str) -> Address:
    """Take user name and password out of an address.

    Raises:
        ApiError: The address has another scheme, no host, or cannot be read.
    """
    schemes = URL_SCHEMES[stream_type]
    limit = f"{schemes[0]}://host[:port]/path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise invalid("INVALID_URL", f"{field}: {error}", field=field, limit=limit) from error
    if parts.scheme not in schemes or not parts.hostname:
        message = (
            f"{field} must start with {' or '.join(f'{s}://' for s in schemes)} and name a host"
        )
        raise invalid("INVALID_URL", message, field=field, limit=limit)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    clean = urlunsplit((parts.scheme, place, parts.path, parts.query, ""))
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Address(clean, username, password)


def same_peer(one: StreamConfig, other: StreamConfig) -> bool:
    """Whether a password for one may be used for the other: same type, user, host and port."""

    def peer(stream: StreamConfig) -> tuple[object, ...]:
        place = urlsplit(stream.url).netloc if stream.url else f"{stream.host}:{stream.port}"
        return (stream.stream_type, stream.username, place)

    return peer(one) == peer(other)


def render_camera(
    entry: CameraEntry, status: CameraStatus | None, *, subscribers: Sequence[str] = ()
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
        "status": render_status(camera, status),
        "session": render_session(status, subscribers) if status else None,
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
    shown: dict[str, Any] = {"stream_type": stream.stream_type.value}
    if stream.url is not None and stream.stream_type in URL_FIELDS:
        shown[URL_FIELDS[stream.stream_type]] = stream.url
    plain = ("transport", "username", "auth_type", "device_id", "host", "port", "protocol", "codec")
    shown |= {name: getattr(stream, name) for name in (*plain, "fps")}
    if stream.frame_delimiter is not None:
        shown["frame_delimiter"] = "".join(f"\\x{byte:02X}" for byte in stream.frame_delimiter)
    shown["headers"] = dict(stream.headers) or None
    if stream.stream_type is StreamType.FILE:
        shown["loop"] = stream.loop
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
    }


def render_status(camera: Camera, status: CameraStatus | None) -> dict[str, Any]:
    """The state of a camera's stream."""
    if status is None:
        waiting = StreamState.CONNECTING if camera.detection.enabled else StreamState.STOPPED
        return {
            "state": waiting.value,
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
        "last_connected": iso(status.established_at),
        "last_frame_at": iso(status.last_frame_at),
        "uptime_seconds": up // 1000 if live else 0,
        "frames_processed": status.frames_queued,
        "error_count": status.error_count,
        "last_error": status.last_error,
        "error": stream_error(status) if status.state is StreamState.ERROR else None,
    }


def render_session(status: CameraStatus, subscribers: Sequence[str]) -> dict[str, Any]:
    """The stream session, specification 3.2 and 6.3."""
    return {
        "session_id": status.session_id,
        "camera_id": status.camera_id,
        "state": status.state.value,
        "started_at": iso(status.started_at),
        "instance_id": status.instance_id,
        "connection": {
            "established_at": iso(status.established_at),
            "last_heartbeat": iso(status.updated_at),
            "reconnection_count": status.connection_resets,
            "total_downtime_seconds": round(status.total_downtime_seconds, 1),
        },
        "statistics": {
            "frames_captured": status.frames_captured,
            "frames_queued": status.frames_queued,
            "frames_skipped": status.frames_skipped,
            "frames_dropped": sum(status.frames_dropped.values()),
            "frames_dropped_by_reason": dict(status.frames_dropped),
            "avg_fps": round(status.avg_fps, 2),
            "avg_latency_ms": status.avg_latency_ms,
            "resolution": {"width": status.width, "height": status.height},
        },
        "health": {
            "is_healthy": status.is_healthy,
            "last_error": status.last_error,
            "error_count": status.error_count,
            "bandwidth_mbps": round(status.bandwidth_mbps, 3),
        },
        "subscribers": list(subscribers),
    }


def stream_error(status: CameraStatus) -> dict[str, Any]:
    """What the specification says of a lost stream, 5.2.2."""
    error: dict[str, Any] = unavailable_stream(status).envelope()["error"]
    return error


def unavailable_stream(status: CameraStatus) -> ApiError:
    """The refusal for a camera whose stream is in error."""
    cause = status.last_error or "Camera stream lost"
    return ApiError(
        503,
        "STREAM_UNAVAILABLE",
        f"{cause.rstrip('.')}. Attempting reconnection.",
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
