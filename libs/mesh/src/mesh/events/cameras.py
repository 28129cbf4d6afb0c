"""Cameras: how they are reached, processed, and how they are doing.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Priority(StrEnum):
    """Weight of a frame within its lane."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class StreamType(StrEnum):
    """How a camera is reached."""

    RTSP = "RTSP"
    USB = "USB"
    HTTP_MJPEG = "HTTP_MJPEG"
    WEBSOCKET = "WEBSOCKET"
    SOCKET = "SOCKET"
    FILE = "FILE"


class Overload(StrEnum):
    """What may happen to a camera's frames under load."""

    LATEST = "latest"
    """Newest wins, older than max_age is shed."""
    ALL = "all"
    """Nothing is shed, results may be late."""


class StreamState(StrEnum):
    """Life of a stream."""

    CONNECTING = "connecting"
    LIVE = "live"
    ERROR = "error"
    STOPPED = "stopped"


class TimestampSource(StrEnum):
    """Where a camera timestamp comes from."""

    RTCP = "rtcp"
    """RTCP sender report of the camera."""
    HEADER = "header"
    """Header sent with the picture."""
    CLIENT = "client"
    """Stated by the client that pushed the frame."""
    ARRIVAL = "arrival"
    """Time of arrival; the camera told none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionConfig:
    """How a camera's pictures are processed."""

    enabled: bool = True
    """Capture and process."""
    fps_limit: float = 5.0
    """Frames per second after sampling, 0.1 to 30."""
    min_face_size: int = 40
    """Faces with a shorter side below this are left out, pixels, 16 to 1000."""
    confidence_threshold: float = 0.65
    """Detections below this are left out, 0 to 1."""
    max_faces_per_frame: int = 10
    """At most this many faces a frame, largest first, 1 to 200."""
    tasks: tuple[str, ...] = ("face",)
    """What to look for: face, person, vehicle, object, drowsiness, liveness, activity,
    age_gender.
    """
    overload: Overload = Overload.LATEST
    """What may happen under load."""
    priority: Priority = Priority.NORMAL
    """Weight among cameras of the same lane."""
    max_age_ms: int = 2000
    """Live frames older than this are shed, milliseconds, 200 to 60000."""
    collection: str | None = None
    """Search only this collection of the gallery; null searches all."""
    long_side: int | None = None
    """Pictures are scaled down to this for detection, pixels, 320 to 1920; null leaves it to the
    service, 1280 finds faces of far crowds.
    """
    motion_threshold: float | None = None
    """Frames that differ from the last one sent in less than this share of the picture are shed,
    0.0005 to 0.5; null sends all.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a camera hangs."""

    site: str | None = None
    """Site or building."""
    floor: int | None = None
    """Floor number."""
    zone: str | None = None
    """Zone on the floor."""
    latitude: float | None = None
    """Degrees, -90 to 90, WGS 84."""
    longitude: float | None = None
    """Degrees, -180 to 180, WGS 84."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """How to reach a camera."""

    stream_type: StreamType
    """Kind of stream."""
    url: str | None = None
    """Address for RTSP, HTTP_MJPEG, WEBSOCKET; a path for FILE; without credentials."""
    transport: str | None = None
    """tcp, udp or auto, for RTSP."""
    username: str | None = None
    """User name."""
    password_encrypted: bytes | None = None
    """Password, Fernet token; never in clear text."""
    auth_type: str | None = None
    """basic or digest."""
    device_id: int | None = None
    """Device number for USB."""
    host: str | None = None
    """Host for SOCKET."""
    port: int | None = None
    """Port for SOCKET, 1 to 65535."""
    protocol: str | None = None
    """Framing for WEBSOCKET and SOCKET."""
    frame_delimiter: bytes | None = None
    """Delimiter for SOCKET."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Extra headers for HTTP_MJPEG and WEBSOCKET; no credentials."""
    codec: str | None = None
    """Expected codec."""
    fps: float | None = None
    """Frames per second that the camera sends; paces a FILE."""
    loop: bool = True
    """Start a FILE again at its end."""
    timeout_seconds: float = 10.0
    """Connect and read time-out, 1 to 120."""
    sub_url: str | None = None
    """Second, smaller stream of the same RTSP camera: detection looks at it, faces are cut from the
    main one; without credentials.
    """
    hardware: str | None = None
    """Hardware that decodes, by its FFmpeg name such as cuda or vaapi; null decodes on the CPU."""
    resolution: str | None = None
    """Size asked of a USB camera, WIDTHxHEIGHT."""
    ping_interval: float = 30.0
    """Time between two pings of a WEBSOCKET, seconds, 1 to 300."""
    max_message_bytes: int = 5_242_880
    """Longest message of a WEBSOCKET or picture of a SOCKET, bytes, 1024 to 16777216."""
    keepalive: bool = True
    """Ask the kernel to probe an idle SOCKET."""
    pace: str | None = None
    """realtime or fast, for FILE; null is realtime."""
    frozen_seconds: float | None = None
    """Exactly the same picture for so long is an error, seconds, 1 to 3600; 0 never, null leaves it
    to the service.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Registry entry of a camera; a tombstone means deleted."""

    camera_id: str
    """cam_<uuid>."""
    name: str
    """Name for people."""
    location: Location | None = None
    """Where it hangs."""
    node: str | None = None
    """Node that has the device, for USB."""
    stream: StreamConfig
    """How to reach it."""
    detection: DetectionConfig
    """How to process its pictures."""
    created_at: datetime
    """UTC."""
    updated_at: datetime
    """UTC."""
    revision: int
    """Grows with every change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStatus:
    """State, session statistics and health of a camera's stream."""

    camera_id: str
    """Camera."""
    camera_name: str
    """Name for people."""
    session_id: str | None = None
    """sess_<uuid>, the same since started_at."""
    epoch: int | None = None
    """Epoch of the present or the last connection."""
    instance_id: str
    """Replica that owns the stream."""
    state: StreamState
    """Where the stream is in its life."""
    details: str | None = None
    """What the stream waits for, for people; null where the state says all."""
    started_at: datetime | None = None
    """When this replica took the camera up, UTC."""
    established_at: datetime | None = None
    """When the present connection was made, UTC."""
    last_frame_at: datetime | None = None
    """When the last frame arrived, UTC."""
    next_retry_at: datetime | None = None
    """When the next attempt is due, UTC."""
    reconnection_attempts: int = 0
    """Attempts since the last live connection."""
    connection_resets: int = 0
    """Connections lost since started_at."""
    total_downtime_seconds: float = 0.0
    """Not live since started_at, seconds."""
    frames_captured: int = 0
    """Frames that came since started_at."""
    frames_queued: int = 0
    """Frames published since started_at."""
    frames_dropped: Mapping[str, int] = field(default_factory=dict)
    """Frames given up since started_at, by reason."""
    frames_skipped: int = 0
    """Of these, what sampling left out, decoded or not."""
    avg_fps: float = 0.0
    """Frames that came per second, over the last 10 s."""
    avg_latency_ms: float | None = None
    """received_timestamp minus camera_timestamp, milliseconds, over the last 10 s."""
    bandwidth_mbps: float = 0.0
    """Received, megabits per second, over the last 10 s."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    clock_skew_ms: float | None = None
    """The camera's clock minus ours, milliseconds, over the last 10 s; null if it never told its
    time.
    """
    clock_jumps: int = 0
    """Times that the camera's clock jumped since started_at."""
    timestamp_source: TimestampSource | None = None
    """Who says when the last frame was taken."""
    cpu_usage_percent: float | None = None
    """Of one core, for reading and encoding this stream, over the last 10 s; null if not known."""
    transport: str | None = None
    """How the pictures travel at present, such as tcp or udp."""
    codec: str | None = None
    """Codec of the pictures at present, such as h264."""
    is_healthy: bool = False
    """Live and receiving."""
    error_count: int = 0
    """Errors since started_at."""
    error_code: str | None = None
    """Machine-readable code of the last error: unreachable, unauthorized, not_found, unsupported,
    stream_ended, timeout, frozen, stale, forbidden_address, dependency_unavailable, crashed.
    """
    last_error: str | None = None
    """Sentence of the last error, without credentials."""
    updated_at: datetime
    """UTC."""
