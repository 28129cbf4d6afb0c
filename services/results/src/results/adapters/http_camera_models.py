"""Bodies of the camera registry, specification 3.1 and 3.2: one kind per stream type."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mesh.events import DetectionConfig, Location, StreamConfig, StreamType
from results.adapters.http_fields import TASKS, Body, CameraId, Name, Share, Task, refusal
from results.domain.cameras import Address, split_credentials

MASKS = ("encrypted_password", "********")
"""Texts that stand for a password without being one."""
_DELIMITER = re.compile(r"(?:\\x[0-9A-Fa-f]{2}){1,16}")
_CREDENTIAL_HEADERS = {"authorization", "cookie", "proxy-authorization"}
_STREAM = "stream_config"


def _no_credentials(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if name.lower() in _CREDENTIAL_HEADERS:
            message = f"{name[:40]} carries credentials; use username and password"
            raise refusal("CREDENTIALS_IN_HEADER", message, limit="no credentials", field=name[:40])
    return headers


def _delimiter(value: str) -> str:
    if not _DELIMITER.fullmatch(value):
        raise refusal("INVALID_FORMAT", "must be bytes such as \\xFF\\xD8", limit="\\xHH, 1 to 16")
    return value


Text = Annotated[str, Field(min_length=1, max_length=200)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
Size = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$")]
Rate = Annotated[float, Field(gt=0, le=240)]
Seconds = Annotated[float, Field(ge=1, le=120)]
Header = Annotated[str, Field(max_length=1000, pattern=r"^[^\r\n]*$")]
HttpHeaders = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")], Header],
    Field(max_length=20),
    AfterValidator(_no_credentials),
]


class RtspStream(Body):
    """An IP camera."""

    stream_type: Literal["RTSP"]
    rtsp_url: Url
    transport: Literal["tcp", "udp", "auto"] = "tcp"
    username: Text | None = None
    password: Text | None = None
    codec: Literal["h264", "h265", "mjpeg"] | None = None
    resolution: Size | None = None
    fps: Rate | None = None
    timeout_seconds: Seconds = 10.0


class UsbStream(Body):
    """A camera at the machine of one camera replica."""

    stream_type: Literal["USB"]
    device_id: Annotated[int, Field(ge=0, le=255)]
    resolution: Size | None = None
    fps: Rate | None = None
    backend: Literal["v4l2"] | None = None
    timeout_seconds: Seconds = 10.0


class MjpegStream(Body):
    """JPEG pictures over HTTP."""

    stream_type: Literal["HTTP_MJPEG"]
    url: Url
    auth_type: Literal["basic", "digest"] | None = None
    username: Text | None = None
    password: Text | None = None
    headers: HttpHeaders = Field(default_factory=dict)
    timeout_seconds: Seconds = 10.0


class WebSocketStream(Body):
    """A browser or a device that sends pictures over WebSocket."""

    stream_type: Literal["WEBSOCKET"]
    ws_url: Url
    protocol: Literal["binary", "base64"] = "binary"
    ping_interval: Annotated[float, Field(ge=1, le=300)] | None = None
    max_message_size: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] | None = None
    username: Text | None = None
    password: Text | None = None
    headers: HttpHeaders = Field(default_factory=dict)
    timeout_seconds: Seconds = 10.0


class SocketStream(Body):
    """A device with a protocol of its own over TCP."""

    stream_type: Literal["SOCKET"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,253}$")]
    port: Annotated[int, Field(ge=1, le=65_535)]
    protocol: Literal["custom_v1"] = "custom_v1"
    frame_delimiter: Annotated[str, AfterValidator(_delimiter)] | None = None
    keepalive: bool | None = None
    timeout_seconds: Seconds = 10.0


class FileStream(Body):
    """A video file of the server, where that is allowed."""

    stream_type: Literal["FILE"]
    path: Annotated[str, Field(min_length=1, max_length=4096)]
    fps: Rate | None = None
    loop: bool = True
    timeout_seconds: Seconds = 10.0


Stream = Annotated[
    RtspStream | UsbStream | MjpegStream | WebSocketStream | SocketStream | FileStream,
    Field(discriminator="stream_type"),
]
_ADDRESSES = {
    "RTSP": "rtsp_url", "HTTP_MJPEG": "url", "WEBSOCKET": "ws_url", "FILE": "path",
}  # fmt: skip
_EXTRAS = ("resolution", "backend", "ping_interval", "max_message_size", "keepalive")
_COPIED = (
    "transport", "codec", "fps", "device_id", "auth_type", "headers", "protocol", "host", "port",
    "loop", "timeout_seconds",
)  # fmt: skip


class Coordinates(Body):
    """A place on earth, WGS 84."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class LocationBody(Body):
    """Where a camera hangs."""

    site: Text | None = None
    floor: Annotated[int, Field(ge=-100, le=1000)] | None = None
    zone: Text | None = None
    coordinates: Coordinates | None = None

    def event(self) -> Location:
        """As it travels."""
        at = self.coordinates
        return Location(
            site=self.site,
            floor=self.floor,
            zone=self.zone,
            latitude=at.latitude if at else None,
            longitude=at.longitude if at else None,
        )


class DetectionConfigBody(Body):
    """How a camera's pictures are processed; what is left out keeps its value."""

    enabled: bool = True
    fps_limit: Annotated[float, Field(ge=0.1, le=30)] = 5.0
    min_face_size: Annotated[int, Field(ge=16, le=1000)] = 40
    confidence_threshold: Share = 0.65
    max_faces_per_frame: Annotated[int, Field(ge=1, le=200)] = 10
    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=len(TASKS))] = ("face",)
    overload: Literal["latest", "all"] = "latest"
    priority: Literal["urgent", "high", "normal", "low"] = "normal"
    max_age_ms: Annotated[int, Field(ge=200, le=60_000)] = 2000
    collection: Text | None = None
    long_side: (
        Annotated[
            int,
            Field(
                ge=320,
                le=1920,
                description="Pictures are scaled down to this for detection, pixels; null leaves it"
                " to the service, 1280 finds the faces of far crowds.",
            ),
        ]
        | None
    ) = None

    def changes(self) -> dict[str, Any]:
        """The fields that the client named."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class CameraBody(Body):
    """A camera to register; `camera_id` is assigned unless the client brings its own."""

    camera_id: CameraId | None = None
    name: Name
    location: LocationBody | None = None
    node: Text | None = None
    stream_config: Stream
    detection_config: DetectionConfigBody = DetectionConfigBody()


class CameraPatch(Body):
    """Changes of a camera; what is left out stays. `stream_config` is replaced as a whole."""

    name: Name = ""
    location: LocationBody | None = None
    node: Text | None = None
    stream_config: Stream | None = None
    detection_config: DetectionConfigBody = DetectionConfigBody()


def stream_event(stream: Any) -> tuple[StreamConfig, str | None, dict[str, Any]]:
    """A stream's configuration, its password in clear text, and what only clients read.

    Credentials within the address are taken out of it; fields of their own win.

    Raises:
        ApiError: The address is not one of this stream type.
    """
    kind = StreamType(stream.stream_type)
    address = _address(stream, kind)
    plain = {name: getattr(stream, name) for name in _COPIED if hasattr(stream, name)}
    delimiter = getattr(stream, "frame_delimiter", None)
    config = StreamConfig(
        stream_type=kind,
        url=address.url if address else None,
        username=getattr(stream, "username", None) or (address.username if address else None),
        frame_delimiter=bytes.fromhex(delimiter.replace("\\x", "")) if delimiter else None,
        **plain,
    )
    given = getattr(stream, "password", None)
    password = (None if given in MASKS else given) or (address.password if address else None)
    extras = {name: getattr(stream, name, None) for name in _EXTRAS}
    return config, password, {name: value for name, value in extras.items() if value is not None}


def detection_event(changes: dict[str, Any], before: DetectionConfig) -> DetectionConfig:
    """A camera's processing with the changes applied."""
    plain = {name: getattr(before, name) for name in DetectionConfig.__dataclass_fields__}
    merged = plain | changes
    return DetectionConfig(
        **{
            **merged,
            "tasks": tuple(dict.fromkeys(merged["tasks"])),
            "overload": type(before.overload)(merged["overload"]),
            "priority": type(before.priority)(merged["priority"]),
        }
    )


def _address(stream: Any, kind: StreamType) -> Address | None:
    name = _ADDRESSES.get(kind.value)
    if name is None:
        return None
    text: str = getattr(stream, name)
    if kind is StreamType.FILE:
        return Address(text)
    return split_credentials(text, kind, field=f"{_STREAM}.{name}")
