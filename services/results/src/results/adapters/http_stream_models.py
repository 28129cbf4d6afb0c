"""Bodies of streams, specification 3.1: one kind per stream type."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from results.adapters.http_fields import Body, refusal

_DELIMITER = re.compile(r"(?:\\x[0-9A-Fa-f]{2}){1,16}")
_CREDENTIAL_WORDS = {
    "accesskey", "accesstoken", "apikey", "auth", "authorization", "authtoken", "cookie",
    "credential", "credentials", "jwt", "key", "passwd", "password", "pwd", "secret", "token",
}  # fmt: skip


def _no_credentials(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if not _CREDENTIAL_WORDS.isdisjoint(name.lower().split("-")):
            message = f"{name[:40]} carries credentials; use username and password"
            raise refusal("CREDENTIALS_IN_HEADER", message, limit="no credentials", field=name[:40])
    return headers


def _delimiter(value: str) -> str:
    if not _DELIMITER.fullmatch(value):
        raise refusal("INVALID_FORMAT", "must be bytes such as \\xFF\\xD8", limit="\\xHH, 1 to 16")
    return value


def _never_or_seconds(value: float) -> float:
    if 0 < value < 1:
        raise refusal("OUT_OF_RANGE", "must be 0 for never, or 1 to 3600", limit="0, or 1 to 3600")
    return value


Text = Annotated[str, Field(min_length=1, max_length=200)]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        description="`{username}` and `{password}` in path or query are filled in at connecting.",
    ),
]
Size = Annotated[str, Field(pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$")]
Rate = Annotated[float, Field(gt=0, le=240)]
Seconds = Annotated[float, Field(ge=1, le=120)]
MessageSize = Annotated[
    int, Field(ge=1024, le=16 * 1024 * 1024, description="Longest message or picture, bytes.")
]
Header = Annotated[str, Field(max_length=1000, pattern=r"^[^\r\n]*$")]
HttpHeaders = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")], Header],
    Field(max_length=20),
    AfterValidator(_no_credentials),
]


class StreamBody(Body):
    """What streams of every type have."""

    timeout_seconds: Seconds = 10.0
    frozen_seconds: (
        Annotated[
            float,
            Field(
                ge=0,
                le=3600,
                description="Exactly the same picture for so long is an error; 0 never, null"
                " leaves it to the service.",
            ),
            AfterValidator(_never_or_seconds),
        ]
        | None
    ) = None


class RtspStream(StreamBody):
    """An IP camera."""

    stream_type: Literal["RTSP"]
    rtsp_url: Url
    sub_rtsp_url: (
        Annotated[
            Url,
            Field(
                description="Second, smaller stream of the same camera: detection looks at it,"
                " faces are cut from the main one."
            ),
        ]
        | None
    ) = None
    transport: Annotated[
        Literal["tcp", "udp", "auto"],
        Field(description="auto: UDP, and TCP where no picture comes through."),
    ] = "tcp"
    username: Text | None = None
    password: Text | None = None
    codec: Literal["h264", "h265", "mjpeg"] | None = None
    hardware: (
        Annotated[
            Literal["cuda"],
            Field(
                description="Hardware that decodes, of those that the packaged FFmpeg can use;"
                " null decodes on the CPU."
            ),
        ]
        | None
    ) = None
    resolution: Size | None = None
    fps: Rate | None = None


class UsbStream(StreamBody):
    """A camera at the machine of one camera replica: the camera's `node` names it."""

    stream_type: Literal["USB"]
    device_id: Annotated[int, Field(ge=0, le=255)]
    resolution: Size | None = None
    fps: Rate | None = None
    codec: Literal["mjpeg", "h264", "raw"] | None = None
    backend: Literal["v4l2"] | None = None


class MjpegStream(StreamBody):
    """JPEG pictures over HTTP."""

    stream_type: Literal["HTTP_MJPEG"]
    url: Url
    auth_type: Literal["basic", "digest"] | None = None
    username: Text | None = None
    password: Text | None = None
    headers: HttpHeaders = Field(default_factory=dict)


class WebSocketStream(StreamBody):
    """A device that sends pictures over WebSocket.

    Without `ws_url` browsers push them to the gateway: `WS /api/v1/cameras/{camera_id}/push`.
    """

    stream_type: Literal["WEBSOCKET"]
    ws_url: Url | None = None
    protocol: Literal["binary", "base64"] = "binary"
    ping_interval: Annotated[float, Field(ge=1, le=300)] | None = None
    max_message_size: MessageSize | None = None
    username: Text | None = None
    password: Text | None = None
    headers: HttpHeaders = Field(default_factory=dict)

    @model_validator(mode="after")
    def pushed_without_what_is_for_connecting(self) -> Self:
        """Who pushes brings a token of this installation, and is pinged like any other client."""
        for name in ("username", "password", "headers", "ping_interval"):
            if self.ws_url is None and getattr(self, name):
                message = f"{name} is for a camera with ws_url, which is connected to"
                raise refusal("NOT_APPLICABLE", message, limit="left out", field=name)
        return self


class SocketStream(StreamBody):
    """A device that sends pictures over TCP."""

    stream_type: Literal["SOCKET"]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,253}$")]
    port: Annotated[int, Field(ge=1, le=65_535)]
    protocol: Annotated[
        Literal["custom_v1", "length_prefixed"],
        Field(description="custom_v1: JPEGs one after the other, each begins with the delimiter."),
    ] = "custom_v1"
    frame_delimiter: Annotated[str, AfterValidator(_delimiter)] | None = None
    max_message_size: MessageSize | None = None
    keepalive: bool | None = None

    @model_validator(mode="after")
    def delimited_by_one_thing(self) -> Self:
        """A length or a delimiter says where a picture ends."""
        if self.protocol == "length_prefixed" and self.frame_delimiter is not None:
            message = "frame_delimiter is for the protocol custom_v1"
            raise refusal("NOT_APPLICABLE", message, limit="left out", field="frame_delimiter")
        return self


class FileStream(StreamBody):
    """A video file of the server or a folder of pictures, where that is allowed."""

    stream_type: Literal["FILE"]
    path: Annotated[str, Field(min_length=1, max_length=4096)]
    fps: Rate | None = None
    loop: bool = True
    pace: (
        Annotated[
            Literal["realtime", "fast"], Field(description="fast: as fast as it can be processed.")
        ]
        | None
    ) = None


Stream = Annotated[
    RtspStream | UsbStream | MjpegStream | WebSocketStream | SocketStream | FileStream,
    Field(discriminator="stream_type"),
]
