"""Every field of a camera that is wrong is answered with its name and what it may be."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from mesh.addresses import AddressPolicy
from results.adapters.http_camera_models import (
    CameraBody,
    Coordinates,
    DetectionConfigBody,
    LocationBody,
)
from results.adapters.http_deps import GatewayPolicy
from results.adapters.http_stream_models import (
    FileStream,
    MjpegStream,
    RtspStream,
    SocketStream,
    UsbStream,
    WebSocketStream,
)

from .conftest import World

PATH = "/api/v1/cameras"
LONG = "x" * 5000
STREAMS: dict[type[BaseModel], dict[str, Any]] = {
    RtspStream: {"stream_type": "RTSP", "rtsp_url": "rtsp://192.0.2.1/live"},
    UsbStream: {"stream_type": "USB", "device_id": 0},
    MjpegStream: {"stream_type": "HTTP_MJPEG", "url": "http://192.0.2.1/video"},
    WebSocketStream: {"stream_type": "WEBSOCKET", "ws_url": "ws://192.0.2.1/stream"},
    SocketStream: {"stream_type": "SOCKET", "host": "192.0.2.1", "port": 9000},
    FileStream: {"stream_type": "FILE", "path": "clip.mp4"},
}
NO_URLS = (
    "", 7, LONG, "cam/video", "http:video", "file:///etc/passwd", "gopher://192.0.2.1/", "ftp://a/",
    "javascript:alert(1)", "concat:a|b", "data:,x", "//192.0.2.1/", "\thttp://192.0.2.1/",
    "http://192.0.2.1\\@evil/", "rtsp://", "ws://:81/", "rtsp://192.0.2.1:0/", "ws://a:99999/",
    "http://[::1/", "rtsp://a b/",
)  # fmt: skip
WRONG: dict[str, tuple[Any, ...]] = {
    "stream_type": (None, "", "rtsp", "HLS", 7),
    "timeout_seconds": (0, 0.9, 121, "soon", None),
    "frozen_seconds": (-1, 0.5, 3601, "never"),
    "rtsp_url": (*NO_URLS, None, "http://192.0.2.1/"),
    "sub_rtsp_url": (*NO_URLS, "http://192.0.2.1/", "rtsp://192.0.2.2/other-host"),
    "url": (*NO_URLS, None, "rtsp://192.0.2.1/"),
    "ws_url": (*NO_URLS, "http://192.0.2.1/"),
    "transport": ("", "icmp", "TCP", 1),
    "username": ("", 7, LONG),
    "password": ("", 7, LONG),
    "codec": ("", "vp9", "H264", 7),
    "hardware": ("", "cpu", "vaapi", "vdpau", "vulkan", "qsv", "drm"),
    "resolution": ("", "big", "1280", "0x720", "1280X720", "1280x720 ", "123456x1"),
    "fps": (0, -1, 241, "fast"),
    "device_id": (-1, 256, 1.5, "/dev/video0", None),
    "backend": ("", "dshow"),
    "auth_type": ("", "ntlm", "Basic"),
    "headers": (7, {"A b": "c"}, {"A": "b\r\nC: d"}, {"Cookie": "a"}, {"X-Api-Key": "a"},
                {"Token": "a"}, {"x-jwt": "a"}, {"X-ClientID-Secret": "a"}, {"AccessToken": "a"},
                {"A": LONG}, {str(n): "" for n in range(21)}),
    "protocol": ("", "mqtt", 7),
    "ping_interval": (0, 301, "often"),
    "max_message_size": (0, 1023, 16 * 1024 * 1024 + 1, "large"),
    "host": ("", "a b", "a/b", "user@a", "http://a", LONG, None),
    "port": (0, 65_536, "http", None),
    "frame_delimiter": ("", "FF", "\\xF", "\\xGG", "\\xFF" * 17),
    "keepalive": ("maybe", 7),
    "path": ("", 7, LONG, None, "http://a/clip.mp4", "concat:a|b", "file://host/a"),
    "loop": ("maybe", 7),
    "pace": ("", "slow"),
    "enabled": ("maybe", 7, None),
    "fps_limit": (0, 0.09, 31, "all", None),
    "min_face_size": (15, 1001, 20.5, None),
    "confidence_threshold": (-0.1, 1.1, "high", None),
    "max_faces_per_frame": (0, 201, 1.5, None),
    "tasks": ([], ["ears"], "face", None, ["face"] * 9),
    "overload": ("", "some", None),
    "priority": ("", "highest", None),
    "max_age_ms": (199, 60_001, "old", None),
    "collection": ("", LONG),
    "long_side": (319, 1921, "all"),
    "motion_threshold": (0, 0.0004, 0.51),
    "camera_id": ("", "cam_1", "per_550e8400-e29b-41d4-a716-446655440000", 7),
    "name": ("", " ", LONG, None),
    "location": (7, "here", []),
    "node": ("", LONG, 7),
    "stream_config": (None, 7, [], {}),
    "detection_config": (None, 7, []),
    "site": ("", LONG, 7),
    "floor": (-101, 1001, 1.5),
    "zone": ("", LONG, 7),
    "coordinates": (7, [], {}),
    "latitude": (-90.1, 91, None),
    "longitude": (-180.1, 181, None),
}  # fmt: skip
"""Values that no field of this name may have, whatever it is a field of."""


def a_body(stream: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": "Gate", "node": "desk", "stream_config": stream} | changes


def wrong(model: type[BaseModel], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path of every field of a model, with each of its wrong values."""
    for name in model.model_fields:
        for value in WRONG[name]:
            yield f"{path}{name}", {name: value}


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """A body with one wrong field, for every field and each of its wrong values, and its path."""
    stream, origin = STREAMS[RtspStream], {"latitude": 0, "longitude": 0}
    for kind, whole in STREAMS.items():
        for path, change in wrong(kind, "stream_config."):
            yield path, a_body(whole | change)
    for path, change in wrong(CameraBody, ""):
        yield path, a_body(stream, **change)
    for path, change in wrong(DetectionConfigBody, "detection_config."):
        yield path, a_body(stream, detection_config=change)
    for path, change in wrong(LocationBody, "location."):
        yield path, a_body(stream, location=change)
    for path, change in wrong(Coordinates, "location.coordinates."):
        yield path, a_body(stream, location={"coordinates": origin | change})


async def test_every_wrong_value_is_answered_with_its_field_and_what_is_allowed(
    world: World,
) -> None:
    object.__setattr__(world.deps, "policy", GatewayPolicy(allow_file_sources=True))
    missed: list[str] = []
    async with world.client() as client:
        for path, body in bodies():
            answer = await client.post(PATH, json=body)
            error = answer.json().get("error", {})
            field, limit = str(error.get("field")), error.get("limit")
            named = field == path or field.startswith(f"{path}.")
            if answer.status_code != 422 or not named or limit in (None, "", []):
                said = f"{answer.status_code} {field} {limit!r:.60}"
                missed.append(f"{path}: {body!r:.200} -> {said}")
    assert not missed, "\n".join(missed)
    assert world.cameras.announced == []


@pytest.mark.parametrize("host", ["10.1.2.3", "0xa.1", "167772161", "[::ffff:10.0.0.1]", "inside"])
@pytest.mark.parametrize("kind", [RtspStream, MjpegStream, WebSocketStream, SocketStream])
async def test_no_kind_of_stream_leads_into_a_forbidden_network(
    world: World, kind: type[BaseModel], host: str
) -> None:
    policy = GatewayPolicy(addresses=AddressPolicy.parse("10.0.0.0/8"))
    object.__setattr__(world.deps, "policy", policy)
    object.__setattr__(world.deps, "resolve", lambda *_: ["192.0.2.1", "10.0.0.7"])
    stream = STREAMS[kind]
    if kind is SocketStream:
        if host.startswith("["):
            host = host.strip("[]")
        name, stream = "host", stream | {"host": host}
    else:
        name = next(name for name in stream if name.endswith("url"))
        stream = stream | {name: stream[name].replace("192.0.2.1", host)}
    async with world.client() as client:
        error = (await client.post(PATH, json=a_body(stream))).json()["error"]
    assert (error["code"], error["field"]) == ("FORBIDDEN_ADDRESS", f"stream_config.{name}")
    assert "SIGHTLINE_FORBIDDEN_NETWORKS" in error["limit"]
