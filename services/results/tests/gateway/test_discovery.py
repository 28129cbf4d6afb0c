"""Looking for cameras over HTTP, while the replicas of the camera service are played."""

from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import TransientError
from mesh.events import Answer, DiscoverCameras, FoundDevice, FoundStream
from mesh.testing import NOON

from .conftest import World

PATH = "/api/v1/cameras/discover"
BULLET = FoundDevice(
    kind="onvif", identity="urn:uuid:1", name="Bullet", address="192.0.2.10", node="one",
    manufacturer="Acme", clock_offset_ms=-12.5,
    streams=(
        FoundStream(name="main", url="rtsp://192.0.2.10/1", codec="h264", width=1920, height=1080),
        FoundStream(name="sub", url="rtsp://192.0.2.10/2", codec="h264", width=640, height=360),
    ),
)  # fmt: skip
LOCKED = replace(
    BULLET, node="two", streams=(), error_code="unauthorized", error="it wants a password"
)
WEBCAM = FoundDevice(
    kind="usb", identity="two/1-2", name="Webcam", node="two", device_id=0,
    streams=(FoundStream(name="MJPG", codec="mjpeg", width=1280, height=720, fps=30.0),),
)  # fmt: skip


def found(command: DiscoverCameras, *devices: FoundDevice, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "request_id": command.request_id, "kind": "discovery", "status": "success",
        "message": "found", "answered_at": NOON, "devices": devices,
    }  # fmt: skip
    return Answer(**values | changes)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.adapters.http_discovery._WAY_SECONDS", -0.45)


async def test_what_the_replicas_found_is_put_together(world: World) -> None:
    def two(command: DiscoverCameras) -> Answer:
        world.deps.answers.deliver(found(command, LOCKED, WEBCAM))
        return found(command, BULLET)

    world.answer_command = two
    async with world.client("operator") as client:
        answer = await client.get(PATH, params={"timeout_seconds": 0.5})
    body = answer.json()
    assert (answer.status_code, body["answered"]) == (200, 2)
    bullet, webcam = body["devices"]
    assert (bullet["identity"], bullet["error"], len(bullet["streams"])) == ("urn:uuid:1", None, 2)
    assert bullet["camera"] == {
        "name": "Bullet",
        "stream_config": {
            "stream_type": "RTSP", "rtsp_url": "rtsp://192.0.2.10/1",
            "sub_rtsp_url": "rtsp://192.0.2.10/2",
        },
    }  # fmt: skip
    assert webcam["camera"] == {
        "name": "Webcam", "node": "two",
        "stream_config": {"stream_type": "USB", "device_id": 0, "resolution": "1280x720"},
    }  # fmt: skip
    (command,) = world.sent("camera.commands")
    assert (command.kinds, command.timeout_ms, command.hosts) == (("onvif", "usb"), 500, ())
    async with world.client() as client:
        for device in (bullet, webcam):
            registered = await client.post("/api/v1/cameras", json=device["camera"])
            assert registered.status_code == 201, registered.text


async def test_nothing_is_suggested_that_could_not_be_registered(world: World) -> None:
    channel = BULLET.streams[0]
    recorder = replace(BULLET, identity="urn:uuid:2", streams=(channel, channel))
    mute = replace(BULLET, identity="urn:uuid:3", streams=(replace(channel, url=None),))
    astray = replace(WEBCAM, node=None)
    world.answer_command = lambda command: found(command, recorder, mute, astray)
    async with world.client("operator") as client:
        body = (await client.get(PATH, params={"timeout_seconds": 0.5})).json()
    first, second, third = (each["camera"] for each in body["devices"])
    assert "sub_rtsp_url" not in first["stream_config"]
    assert second is third is None


async def test_credentials_travel_encrypted_and_are_told_nobody(world: World) -> None:
    world.answer_command = lambda command: found(command, LOCKED)
    asked = {
        "kinds": ["onvif"], "timeout_seconds": 0.5, "hosts": ["192.0.2.10:8080"],
        "username": "admin", "password": "hunter2",
    }  # fmt: skip
    async with world.client("operator") as client:
        answer = await client.post(PATH, json=asked)
        in_query = await client.get(PATH, params={"password": "hunter2"})
    (device,) = answer.json()["devices"]
    assert device["error"] == {"code": "unauthorized", "message": "it wants a password"}
    assert device["camera"] is None
    (command,) = world.sent("camera.commands")
    assert command.hosts == ("192.0.2.10:8080",)
    assert b"hunter2" not in command.password_encrypted
    assert world.deps.cipher.decrypt(command.password_encrypted) == b"hunter2"
    assert (in_query.status_code, in_query.json()["error"]["field"]) == (422, "password")
    assert "hunter2" not in answer.text + in_query.text


async def test_without_a_replica_or_a_broker_the_client_is_told(world: World) -> None:
    asked = {"timeout_seconds": 0.5}
    async with world.client("operator") as client:
        silent = await client.get(PATH, params=asked)
        world.answer_command = lambda command: found(
            command, status="error", code="DISCOVERY_OFF", message="looking is switched off"
        )
        off = await client.get(PATH, params=asked)
        world.publisher.failure = TransientError("no broker")
        away = await client.get(PATH, params=asked)
    assert [each.status_code for each in (silent, off, away)] == [503, 503, 503]
    assert silent.json()["error"]["code"] == "NO_CAMERA_REPLICA"
    assert (off.json()["error"]["code"], off.headers["Retry-After"]) == ("DISCOVERY_OFF", "5")
    assert away.json()["error"]["dependency"] == "broker"


async def test_one_replica_that_cannot_look_is_a_problem_and_no_failure(world: World) -> None:
    def two(command: DiscoverCameras) -> Answer:
        world.deps.answers.deliver(found(command, status="error", code="CRASHED", message="a bug"))
        return found(command, WEBCAM)

    world.answer_command = two
    async with world.client("operator") as client:
        body = (await client.get(PATH, params={"timeout_seconds": 0.5, "kinds": "usb"})).json()
    assert [each["name"] for each in body["devices"]] == ["Webcam"]
    assert body["problems"] == [{"code": "CRASHED", "message": "a bug"}]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"kinds": ["bluetooth"]}, "VALUE_NOT_ALLOWED", "kinds.0"),
        ({"timeout_seconds": 60}, "OUT_OF_RANGE", "timeout_seconds"),
        ({"hosts": ["a b"]}, "INVALID_FORMAT", "hosts.0"),
        ({"hosts": ["192.0.2.1", "169.254.169.254:80"]}, "FORBIDDEN_ADDRESS", "hosts.1"),
    ],
)
async def test_a_bad_search_is_refused_by_field(
    world: World, changes: dict[str, Any], code: str, field: str
) -> None:
    async with world.client("operator") as client:
        answer = await client.post(PATH, json=changes)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, code, field)
    assert error["limit"] is not None
    assert world.sent("camera.commands") == []


async def test_only_operators_look_and_kinds_are_checked(world: World) -> None:
    async with world.client("viewer") as client:
        forbidden = await client.get(PATH)
    async with world.client("operator") as client:
        wrong = await client.get(PATH, params={"kinds": "onvif,zigbee"})
    assert forbidden.status_code == 403
    assert wrong.json()["error"]["limit"] == ["onvif", "usb"]
