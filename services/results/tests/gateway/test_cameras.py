"""The camera registry over HTTP."""

import io
from typing import Any

import pytest
from PIL import Image

from mesh.events import CameraStatus, FrameCaptured, StreamState, TimestampSource
from mesh.testing import CAMERA_ID, NOON, a_frame_captured, a_frame_header
from results.adapters.http_deps import GatewayPolicy
from results.domain.camera_report import SessionCounts

from .conftest import World, a_picture

PATH = "/api/v1/cameras"
STREAM: dict[str, Any] = {
    "stream_type": "RTSP",
    "rtsp_url": "rtsp://192.168.1.100:554/stream1",
    "transport": "tcp",
    "username": "admin",
    "password": "hunter2",
    "codec": "h264",
    "resolution": "1920x1080",
    "fps": 25,
    "timeout_seconds": 10,
}
STREAMS: dict[str, dict[str, Any]] = {
    "RTSP": STREAM,
    "USB": {
        "stream_type": "USB", "device_id": 0, "resolution": "1280x720", "fps": 30,
        "backend": "v4l2",
    },
    "HTTP_MJPEG": {
        "stream_type": "HTTP_MJPEG", "url": "http://192.168.1.101:8080/video",
        "auth_type": "basic", "username": "user", "password": "encrypted_password",
        "headers": {"User-Agent": "DetectionProvider/1.0"},
    },
    "WEBSOCKET": {
        "stream_type": "WEBSOCKET", "ws_url": "ws://192.168.1.102:8080/stream",
        "protocol": "binary", "ping_interval": 30, "max_message_size": 5_242_880,
    },
    "SOCKET": {
        "stream_type": "SOCKET", "host": "192.168.1.103", "port": 9000, "protocol": "custom_v1",
        "frame_delimiter": "\\xFF\\xD8\\xFF\\xE0", "keepalive": True,
    },
}  # fmt: skip
"""The specification's examples, 3.1."""


def a_body(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Main Entrance",
        "location": {
            "site": "HQ Building", "floor": 1, "zone": "Lobby",
            "coordinates": {"latitude": 37.7749, "longitude": -122.4194},
        },
        "stream_config": STREAM,
        "detection_config": {
            "enabled": True, "fps_limit": 5, "min_face_size": 80, "confidence_threshold": 0.65,
            "max_faces_per_frame": 10,
        },
    } | changes  # fmt: skip


async def created(world: World, **changes: Any) -> dict[str, Any]:
    async with world.client() as client:
        response = await client.post(PATH, json=a_body(**changes))
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("kind", STREAMS)
async def test_the_specifications_streams_come_back_without_their_passwords(
    world: World, kind: str
) -> None:
    node = {"node": "desk"} if kind == "USB" else {}
    body = await created(world, stream_config=STREAMS[kind], **node)
    shown = body["stream_config"]
    secret = {"password"}
    for name, value in STREAMS[kind].items():
        if name not in secret:
            assert shown[name] == value
    assert not secret & shown.keys()
    assert body["status"]["state"] == "connecting"


async def test_a_password_travels_encrypted_only(world: World) -> None:
    body = await created(world)
    entry = world.cameras.camera(body["camera_id"])
    assert entry is not None
    token = entry.camera.stream.password_encrypted
    assert token is not None
    assert b"hunter2" not in token
    assert world.deps.cipher.decrypt(token) == b"hunter2"
    assert body["stream_config"]["has_password"] is True


async def test_credentials_within_an_address_are_taken_out_of_it(world: World) -> None:
    stream = {"stream_type": "RTSP", "rtsp_url": "rtsp://root:p%40ss@[fe80::1]:8554/a?b=c"}
    body = await created(world, stream_config=stream)
    assert body["stream_config"]["rtsp_url"] == "rtsp://[fe80::1]:8554/a?b=c"
    assert body["stream_config"]["username"] == "root"
    entry = world.cameras.camera(body["camera_id"])
    assert entry is not None
    assert entry.camera.stream.password_encrypted is not None
    assert world.deps.cipher.decrypt(entry.camera.stream.password_encrypted) == b"p@ss"


async def test_a_password_in_the_query_of_an_address_leaves_a_place_for_it(world: World) -> None:
    pasted = "http://cam:81/mjpg?user=root&PWD=p%40ss&res={username}"
    body = await created(world, stream_config={"stream_type": "HTTP_MJPEG", "url": pasted})
    shown = body["stream_config"]
    assert shown["url"] == "http://cam:81/mjpg?user=root&PWD={password}&res={username}"
    assert shown["has_password"] is True
    entry = world.cameras.camera(body["camera_id"])
    assert entry is not None
    assert entry.camera.stream.password_encrypted is not None
    assert world.deps.cipher.decrypt(entry.camera.stream.password_encrypted) == b"p@ss"
    path, again = f"{PATH}/{body['camera_id']}", {"stream_type": "HTTP_MJPEG", "url": shown["url"]}
    moved = again | {"url": "http://other/?pwd={password}"}
    async with world.client() as client:
        kept = await client.patch(path, json={"stream_config": again})
        lost = await client.patch(path, json={"stream_config": moved})
    assert kept.json()["stream_config"]["has_password"] is True
    assert (lost.status_code, lost.json()["error"]["field"]) == (422, "stream_config.password")


async def test_a_new_host_never_gets_the_old_password(world: World) -> None:
    body = await created(world)
    path = f"{PATH}/{body['camera_id']}"
    same = {"stream_type": "RTSP", "username": "admin", "rtsp_url": "rtsp://192.168.1.100:554/2"}
    other = same | {"rtsp_url": "rtsp://evil.example:554/2"}
    async with world.client() as client:
        kept = await client.patch(path, json={"stream_config": same})
        dropped = await client.patch(path, json={"stream_config": other})
    assert kept.json()["stream_config"]["has_password"] is True
    assert dropped.json()["stream_config"]["has_password"] is False


async def test_what_a_change_does_not_name_stays(world: World) -> None:
    body = await created(world)
    path = f"{PATH}/{body['camera_id']}"
    change = {"name": "Back door", "detection_config": {"fps_limit": 2}, "location": None}
    async with world.client() as client:
        changed = (await client.patch(path, json=change)).json()
        shown = (await client.get(path)).json()
    assert changed == shown
    assert changed["name"] == "Back door"
    assert changed["location"] is None
    assert changed["revision"] == 2
    assert changed["stream_config"] == body["stream_config"]
    assert changed["detection_config"] == body["detection_config"] | {"fps_limit": 2}


async def test_detection_is_stopped_and_started(world: World) -> None:
    body = await created(world)
    path = f"{PATH}/{body['camera_id']}"
    async with world.client("operator") as client:
        stopped = (await client.post(f"{path}/stop-detection")).json()
        started = (await client.post(f"{path}/start-detection")).json()
    assert stopped["detection_config"]["enabled"] is False
    assert stopped["status"]["state"] == "stopped"
    assert started["detection_config"]["enabled"] is True


async def test_a_deleted_camera_is_gone(world: World) -> None:
    body = await created(world)
    path = f"{PATH}/{body['camera_id']}"
    async with world.client() as client:
        assert (await client.delete(path)).status_code == 204
        for answer in (
            await client.get(path), await client.delete(path), await client.patch(path, json={}),
            await client.post(f"{path}/start-detection"),
        ):  # fmt: skip
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "CAMERA_NOT_FOUND"
        again = await client.post(PATH, json=a_body(camera_id=body["camera_id"]))
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CAMERA_EXISTS")


async def test_a_stream_in_error_shows_when_it_is_tried_again(world: World) -> None:
    body = await created(world)
    camera_id = body["camera_id"]
    world.deps.state.set_status(
        camera_id,
        CameraStatus(
            camera_id=camera_id, camera_name="Main Entrance", instance_id="camera-1",
            state=StreamState.ERROR, error_code="unauthorized", last_error="401 Unauthorized",
            error_count=3, reconnection_attempts=3, next_retry_at=NOON, last_frame_at=NOON,
            frames_dropped={"ring": 2, "no_motion": 40}, updated_at=NOON,
        ),
    )  # fmt: skip
    async with world.client() as client:
        shown = (await client.get(f"{PATH}/{camera_id}")).json()
        live = await client.get("/api/v1/detections/live", params={"camera_id": camera_id})
    error = shown["status"]["error"]
    assert shown["status"]["state"] == "error"
    statistics = shown["session"]["statistics"]
    assert statistics["frames_dropped"] == 2, "of a quiet scene nothing is missing"
    assert statistics["frames_dropped_by_reason"]["no_motion"] == 40
    assert error["code"] == "STREAM_UNAVAILABLE"
    assert error["cause"] == "unauthorized"
    assert error["reconnection_attempts"] == 3
    assert error["next_retry_at"] == error["last_frame_at"] == "2026-01-01T12:00:00.000Z"
    assert live.status_code == 503
    assert live.json()["error"]["code"] == "STREAM_UNAVAILABLE"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"name": " "}, "INVALID_FORMAT", "name"),
        ({"name": None}, "INVALID_TYPE", "name"),
        ({"colour": 1}, "UNKNOWN_FIELD", "colour"),
        ({"camera_id": "cam_001"}, "INVALID_ID", "camera_id"),
        ({"stream_config": {}}, "MISSING_FIELD", "stream_config.stream_type"),
        (
            {"stream_config": {"stream_type": "HLS"}},
            "VALUE_NOT_ALLOWED",
            "stream_config.stream_type",
        ),
        ({"stream_config": {"stream_type": "RTSP"}}, "MISSING_FIELD", "stream_config.rtsp_url"),
        (
            {"stream_config": {"stream_type": "RTSP", "rtsp_url": "http://x/y"}},
            "INVALID_URL",
            "stream_config.rtsp_url",
        ),
        (
            {"stream_config": {"stream_type": "RTSP", "rtsp_url": "rtsp://x:99999/y"}},
            "INVALID_URL",
            "stream_config.rtsp_url",
        ),
        ({"stream_config": STREAM | {"device_id": 0}}, "UNKNOWN_FIELD", "stream_config.device_id"),
        (
            {"stream_config": STREAM | {"transport": "icmp"}},
            "VALUE_NOT_ALLOWED",
            "stream_config.transport",
        ),
        (
            {"stream_config": STREAM | {"resolution": "big"}},
            "INVALID_FORMAT",
            "stream_config.resolution",
        ),
        (
            {"stream_config": STREAMS["SOCKET"] | {"port": 70000}},
            "OUT_OF_RANGE",
            "stream_config.port",
        ),
        (
            {"stream_config": STREAMS["SOCKET"] | {"frame_delimiter": "FF"}},
            "INVALID_FORMAT",
            "stream_config.frame_delimiter",
        ),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"headers": {"Authorization": "Basic x"}}},
            "CREDENTIALS_IN_HEADER",
            "stream_config.headers.Authorization",
        ),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"headers": {"X-Access-Token": "hunter2"}}},
            "CREDENTIALS_IN_HEADER",
            "stream_config.headers.X-Access-Token",
        ),
        (
            {
                "stream_config": STREAMS["HTTP_MJPEG"]
                | {"url": "http://cam/?token=hunter2", "password": "another"}
            },
            "CREDENTIALS_IN_URL",
            "stream_config.password",
        ),
        (
            {"stream_config": {"stream_type": "FILE", "path": "/etc/passwd"}},
            "FILE_SOURCE_NOT_ALLOWED",
            "stream_config.stream_type",
        ),
        (
            {"stream_config": STREAM | {"hardware": "vaapi"}},
            "VALUE_NOT_ALLOWED",
            "stream_config.hardware",
        ),
        (
            {"stream_config": STREAM | {"sub_rtsp_url": "rtsp://192.168.1.7/sub"}},
            "INVALID_URL",
            "stream_config.sub_rtsp_url",
        ),
        (
            {"stream_config": STREAM | {"sub_rtsp_url": "gopher://192.168.1.100/sub"}},
            "INVALID_URL",
            "stream_config.sub_rtsp_url",
        ),
        (
            {"stream_config": STREAM | {"frozen_seconds": 0.5}},
            "OUT_OF_RANGE",
            "stream_config.frozen_seconds",
        ),
        ({"stream_config": STREAMS["USB"]}, "MISSING_FIELD", "node"),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"url": "file:///etc/passwd"}},
            "INVALID_URL",
            "stream_config.url",
        ),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"url": "http://169.254.169.254/latest"}},
            "FORBIDDEN_ADDRESS",
            "stream_config.url",
        ),
        (
            {"stream_config": STREAMS["SOCKET"] | {"host": "metadata.example"}},
            "FORBIDDEN_ADDRESS",
            "stream_config.host",
        ),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"url": "http://a:b@cam/?pwd=hunter2"}},
            "CREDENTIALS_IN_URL",
            "stream_config.url",
        ),
        (
            {
                "stream_config": STREAM
                | {
                    "sub_rtsp_url": "rtsp://192.168.1.100/?pass=hunter2",
                    "rtsp_url": "rtsp://192.168.1.100/?pass=other",
                    "password": None,
                }
            },
            "CREDENTIALS_IN_URL",
            "stream_config.sub_rtsp_url",
        ),
        (
            {"stream_config": {"stream_type": "HTTP_MJPEG", "url": "http://cam/{password}.mjpg"}},
            "MISSING_FIELD",
            "stream_config.password",
        ),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"url": "http://{password}.example/"}},
            "INVALID_URL",
            "stream_config.url",
        ),
        (
            {"stream_config": STREAMS["HTTP_MJPEG"] | {"auth_type": "ntlm"}},
            "VALUE_NOT_ALLOWED",
            "stream_config.auth_type",
        ),
        (
            {"stream_config": {"stream_type": "WEBSOCKET", "password": "hunter2"}},
            "NOT_APPLICABLE",
            "stream_config.password",
        ),
        (
            {"stream_config": {"stream_type": "WEBSOCKET", "ping_interval": 30}},
            "NOT_APPLICABLE",
            "stream_config.ping_interval",
        ),
        (
            {"stream_config": STREAMS["WEBSOCKET"] | {"ping_interval": 0}},
            "OUT_OF_RANGE",
            "stream_config.ping_interval",
        ),
        (
            {"stream_config": STREAMS["SOCKET"] | {"protocol": "length_prefixed"}},
            "NOT_APPLICABLE",
            "stream_config.frame_delimiter",
        ),
        (
            {"stream_config": STREAMS["SOCKET"] | {"max_message_size": 100}},
            "OUT_OF_RANGE",
            "stream_config.max_message_size",
        ),
        (
            {"detection_config": {"motion_threshold": 0.9}},
            "OUT_OF_RANGE",
            "detection_config.motion_threshold",
        ),
        ({"detection_config": {"fps_limit": 0}}, "OUT_OF_RANGE", "detection_config.fps_limit"),
        (
            {"detection_config": {"tasks": ["ears"]}},
            "VALUE_NOT_ALLOWED",
            "detection_config.tasks.0",
        ),
        (
            {"location": {"coordinates": {"latitude": 91, "longitude": 0}}},
            "OUT_OF_RANGE",
            "location.coordinates.latitude",
        ),
    ],
)
async def test_a_bad_camera_is_refused_by_field(
    world: World, changes: dict[str, Any], code: str, field: str
) -> None:
    async with world.client() as client:
        response = await client.post(PATH, json=a_body(**changes))
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, code, field)
    assert error["limit"] is not None
    assert "hunter2" not in response.text
    assert world.cameras.announced == []


MORE: dict[str, dict[str, Any]] = {
    "RTSP": {
        "sub_rtsp_url": "rtsp://192.168.1.100:554/sub", "transport": "auto", "hardware": "cuda",
        "frozen_seconds": 0.0,
    },
    "USB": {"codec": "mjpeg", "frozen_seconds": 60.0},
    "HTTP_MJPEG": {"auth_type": "digest", "frozen_seconds": 5.0},
    "WEBSOCKET": {"protocol": "base64", "ping_interval": 5.0, "max_message_size": 2048},
    "SOCKET": {"keepalive": False, "max_message_size": 4096},
    "FILE": {"path": "/srv/pictures", "pace": "fast", "loop": False},
}  # fmt: skip
"""What the specification has no words for."""


@pytest.mark.parametrize("kind", MORE)
async def test_every_field_travels_in_the_record_and_comes_back(world: World, kind: str) -> None:
    object.__setattr__(world.deps, "policy", GatewayPolicy(allow_file_sources=True))
    given = STREAMS.get(kind, {"stream_type": kind}) | MORE[kind]
    node = {"node": "desk"} if kind == "USB" else {}
    limits = {"motion_threshold": 0.01}
    body = await created(world, stream_config=given, detection_config=limits, **node)
    assert {name: body["stream_config"][name] for name in MORE[kind]} == MORE[kind]
    assert body["detection_config"]["motion_threshold"] == 0.01
    entry = world.cameras.camera(body["camera_id"])
    assert entry is not None
    assert entry.extras == ({"backend": "v4l2"} if kind == "USB" else {})
    stream = entry.camera.stream
    names = {"sub_rtsp_url": "sub_url", "path": "url", "max_message_size": "max_message_bytes"}
    assert {name: getattr(stream, names.get(name, name)) for name in MORE[kind]} == MORE[kind]


async def test_a_camera_that_is_pushed_has_no_address(world: World) -> None:
    body = await created(world, stream_config={"stream_type": "WEBSOCKET"})
    assert not {"ws_url", "ping_interval"} & set(body["stream_config"])
    assert body["stream_config"]["max_message_size"] == 5 * 1024 * 1024


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stream_config": STREAM | {"rtsp_url": "rtsp://[::ffff:a9fe:a9fe]/"}}, "rtsp_url"),
        ({"stream_config": STREAM | {"rtsp_url": "rtsp://2852039166/"}}, "rtsp_url"),
        ({"stream_config": STREAM | {"rtsp_url": "rtsp://metadata.example/"}}, "rtsp_url"),
    ],
)
async def test_no_change_leads_into_a_forbidden_network(
    world: World, change: dict[str, Any], field: str
) -> None:
    body = await created(world)
    async with world.client("operator") as client:
        response = await client.patch(f"{PATH}/{body['camera_id']}", json=change)
        renamed = await client.patch(f"{PATH}/{body['camera_id']}", json={"name": "Gate"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "FORBIDDEN_ADDRESS")
    assert (error["field"], renamed.status_code) == (f"stream_config.{field}", 200)


async def test_a_device_does_not_lose_its_node(world: World) -> None:
    body = await created(world, stream_config=STREAMS["USB"], node="desk")
    async with world.client("operator") as client:
        path = f"{PATH}/{body['camera_id']}"
        lost = await client.patch(path, json={"node": None})
        moved = await client.patch(path, json={"node": "hall"})
    assert (lost.status_code, lost.json()["error"]["field"]) == (422, "node")
    assert moved.json()["node"] == "hall"


async def test_a_session_tells_of_time_and_of_what_became_of_its_frames(world: World) -> None:
    body = await created(world)
    camera_id = body["camera_id"]
    status = CameraStatus(
        camera_id=camera_id, camera_name="Main Entrance", instance_id="camera-1", epoch=7,
        session_id="sess_1", state=StreamState.LIVE, clock_skew_ms=-2500.0, clock_jumps=1,
        timestamp_source=TimestampSource.RTCP, cpu_usage_percent=12.5, transport="udp",
        codec="h265", updated_at=NOON,
    )  # fmt: skip
    world.deps.state.set_status(camera_id, status)
    world.sessions[camera_id] = SessionCounts(processed=10650, detections=823)
    async with world.client("viewer") as client:
        shown = (await client.get(f"{PATH}/{camera_id}")).json()["session"]
        listed = (await client.get(PATH)).json()["cameras"][0]
    assert shown == listed["session"]
    assert listed["status"]["frames_processed"] == 10650
    assert shown["time"] == {
        "timestamp_source": "rtcp", "clock_skew_ms": -2500.0, "clock_jumps": 1,
    }  # fmt: skip
    assert (shown["connection"]["transport"], shown["connection"]["codec"]) == ("udp", "h265")
    assert shown["health"]["cpu_usage_percent"] == 12.5
    assert shown["statistics"]["frames_processed"] == 10650
    assert shown["statistics"]["detections_found"] == 823


async def test_file_sources_are_possible_where_they_are_allowed(world: World) -> None:
    object.__setattr__(world.deps, "policy", GatewayPolicy(allow_file_sources=True))
    body = await created(world, stream_config={"stream_type": "FILE", "path": "a.mp4", "fps": 5})
    assert body["stream_config"]["path"] == "a.mp4"


async def test_cameras_are_listed_with_paging(world: World) -> None:
    for name in "cab":
        await created(world, name=name)
    async with world.client("viewer") as client:
        page = (await client.get(PATH, params={"page_size": 2})).json()
        bad = await client.get(PATH, params={"page_size": 101})
    assert [camera["name"] for camera in page["cameras"]] == ["a", "b"]
    assert page["pagination"] == {"page": 1, "page_size": 2, "has_more": True}
    assert (bad.json()["error"]["field"], bad.json()["error"]["limit"]) == ("page_size", 100)


def a_frame(number: int, picture: bytes) -> FrameCaptured:
    header = a_frame_header(sequence_number=number, width=64, height=48)
    return a_frame_captured(frame=header, image=picture)


async def test_a_picture_of_a_watched_camera_is_shown_by_key_and_width(world: World) -> None:
    first, second = a_frame(1, a_picture()), a_frame(2, a_picture(kind="PNG"))
    world.deps.pictures.watch([CAMERA_ID])
    world.deps.pictures.add(first)
    world.deps.pictures.add(second)
    path = f"{PATH}/{CAMERA_ID}/picture"
    async with world.client("viewer") as client:
        newest = await client.get(path)
        named = await client.get(path, params={"frame_key": first.frame.frame_key, "width": 16})
        wide = await client.get(path, params={"frame_key": first.frame.frame_key, "width": 640})
    assert newest.headers["X-Frame-Key"] == second.frame.frame_key
    assert newest.headers["Content-Type"] == "image/jpeg"
    assert newest.headers["Cache-Control"] == "no-store"
    with Image.open(io.BytesIO(named.content)) as image:
        assert image.size == (16, 12)
    assert wide.content == first.image


async def test_a_picture_that_is_not_there_is_not_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.adapters.http_cameras._PICTURE_WAIT_SECONDS", 0)
    async with world.client("viewer") as client:
        response = await client.get(f"{PATH}/{CAMERA_ID}/picture")
        bad = await client.get(f"{PATH}/{CAMERA_ID}/picture", params={"width": 5})
    assert response.json()["error"]["code"] == "PICTURE_NOT_FOUND"
    assert bad.json()["error"]["field"] == "width"
    assert world.deps.pictures.watched() == {CAMERA_ID}
