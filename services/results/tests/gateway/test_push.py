"""Clients push the pictures of a camera over a WebSocket, in process."""

import asyncio
import base64
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from typing_extensions import override

from mesh.clock import SystemClock
from mesh.errors import RejectedRecordError, TransientError
from mesh.events import (
    CameraStatus,
    DetectionConfig,
    FrameCaptured,
    Lane,
    LedgerEntry,
    Overload,
    Priority,
    Purpose,
    StreamConfig,
    StreamState,
    StreamType,
    TimestampSource,
)
from mesh.record import Record
from mesh.stage import Output
from mesh.testing import a_camera, a_record
from results.adapters.gateway_metrics import GatewayMetrics
from results.adapters.pushes import Pushes
from results.domain.endings import AWAY, DELETED, REPLACED, STOPPING, SWITCHED_OFF, full

from .conftest import CAMERA_ID, World, a_picture

PATH = f"/api/v1/cameras/{CAMERA_ID}/push"


def a_pushed(**changes: Any) -> StreamConfig:
    """The stream of a camera that waits for clients."""
    values: dict[str, Any] = {"stream_type": StreamType.WEBSOCKET, "timeout_seconds": 300.0}
    return StreamConfig(**values | changes)


class Leaping(SystemClock):
    """A clock whose seconds pass from call to call, so that sampling leaves nothing out."""

    def __init__(self) -> None:
        self._ticks = itertools.count()

    @override
    def monotonic(self) -> float:
        return float(next(self._ticks))


@pytest.fixture
def browser(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    object.__setattr__(world.deps, "clock", Leaping())
    monkeypatch.setattr("results.adapters.pushes.REPORT_SECONDS", 0.02)
    with TestClient(world.app) as client:
        assert client.portal is not None
        client.portal.call(_attach, world)
        yield client


async def _attach(world: World) -> None:
    world.feed.attach(asyncio.get_running_loop())


def connect(
    browser: TestClient, world: World, *, role: str = "operator", **detection: Any
) -> WebSocketTestSession:
    if world.cameras.camera(CAMERA_ID) is None:
        world.add_camera(stream=a_pushed(), detection=DetectionConfig(**detection))
    return browser.websocket_connect(PATH, subprotocols=["bearer", world.token(role)])


def until(found: Callable[[], Any]) -> Any:
    """What is there as soon as it is there."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.01)
    raise AssertionError("it did not come")


def frames(world: World, lane: str = "live") -> list[FrameCaptured]:
    return world.sent(f"frames.{lane}")


def closed(world: World) -> list[LedgerEntry]:
    return [entry for entry in world.sent("ledger") if entry.closes_epoch]


def statuses(world: World) -> list[CameraStatus | None]:
    return world.sent("camera-status")


def refusal(socket: WebSocketTestSession) -> str:
    answer = socket.receive_json()
    assert answer["type"] == "error"
    code: str = answer["error"]["code"]
    return code


def ending(socket: WebSocketTestSession) -> tuple[int, str]:
    """How the gateway closes the connection, whatever it answers before."""
    while (message := socket.receive())["type"] != "websocket.close":
        pass
    return message["code"], message["reason"]


@pytest.mark.parametrize(
    ("role", "camera", "status", "code"),
    [
        (None, {}, 401, "UNAUTHORIZED"),
        ("viewer", {}, 403, "FORBIDDEN"),
        ("operator", None, 404, "CAMERA_NOT_FOUND"),
        ("operator", {}, 409, "CAMERA_NOT_PUSHED"),
        (
            "operator",
            {"stream": a_pushed(), "detection": DetectionConfig(enabled=False)},
            409,
            "CAMERA_STOPPED",
        ),
    ],
)
def test_who_may_not_push_is_told_why(
    browser: TestClient, world: World, role: str | None, camera: Any, status: int, code: str
) -> None:
    if camera is not None:
        world.add_camera(**camera)
    protocols = ["bearer", world.token(role)] if role else None
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        browser.websocket_connect(PATH, subprotocols=protocols),
    ):
        pass
    assert (denied.value.status_code, denied.value.json()["error"]["code"]) == (status, code)


def test_pictures_in_every_form_become_frames_and_the_books_balance(
    browser: TestClient, world: World
) -> None:
    taken = datetime.now(UTC) - timedelta(seconds=1)
    text = base64.b64encode(a_picture(kind="PNG")).decode()
    with connect(browser, world) as socket:
        assert socket.accepted_subprotocol == "bearer"
        connecting = until(lambda: statuses(world))[0]
        assert connecting is not None
        assert connecting.state is StreamState.CONNECTING
        socket.send_bytes(a_picture())
        socket.send_text(text)
        socket.send_json(
            {"image_data": f"data:image/png;base64,{text}", "timestamp": taken.isoformat()}
        )
        until(lambda: len(frames(world)) == 3)
        until(lambda: StreamState.LIVE in [each.state for each in statuses(world) if each])
        until(lambda: 3 in [each.frames_queued for each in statuses(world) if each])
    (last,) = until(lambda: closed(world))
    first, second, third = frames(world)
    assert [each.frame.sequence_number for each in (first, second, third)] == [0, 1, 2]
    assert {each.frame.epoch for each in (first, second, third)} == {last.epoch}
    assert (first.frame.lane, first.frame.purpose) == (Lane.LIVE, Purpose.SURVEILLANCE)
    assert first.frame.deadline == first.frame.received_timestamp + timedelta(seconds=2)
    assert (first.image_format, second.image_format) == ("jpeg", "png")
    assert first.frame.timestamp_source is TimestampSource.ARRIVAL
    assert third.frame.timestamp_source is TimestampSource.CLIENT
    assert third.frame.camera_timestamp == taken
    assert (first.frame.width, first.frame.height) == (64, 48)
    assert (last.outcome, last.ranges[0].last, last.service) == ("captured", 2, "results")
    final = statuses(world)[-1]
    assert final is not None
    assert (final.state, final.frames_queued, final.error_code) == (StreamState.STOPPED, 3, None)
    words = [event.attributes["status"] for event in world.sent("events")]
    assert words == ["connecting", "connected", "stopped"]
    assert world.audit[-1].action == "push_pictures"


def test_what_is_no_picture_is_answered_and_not_numbered(browser: TestClient, world: World) -> None:
    with connect(browser, world) as socket:
        socket.send_bytes(b"\xff\xd8\xff no picture")
        assert refusal(socket) == "IMAGE_UNREADABLE"
        for text, code in [
            ("no base64!", "INVALID_BASE64"),
            ('{"image": ""}', "UNKNOWN_FIELD"),
            ("{", "INVALID_JSON"),
        ]:
            socket.send_text(text)
            assert refusal(socket) == code
        socket.send_bytes(a_picture())
        until(lambda: frames(world))
        answer = socket.receive_json()
        assert (answer["type"], answer["received"]) == ("accepted", 1)
    assert [each.frame.sequence_number for each in frames(world)] == [0]
    final = until(lambda: [each for each in statuses(world) if each and each.error_count][-1:])[0]
    assert final.error_count == 4


def test_a_message_beyond_the_limit_ends_the_connection(browser: TestClient, world: World) -> None:
    with connect(browser, world) as socket:
        socket.send_bytes(b"\xff" * (5 * 1024 * 1024 + 300))
        assert ending(socket) == (1009, "the message is longer than 5242880 bytes")
    final = until(lambda: [each for each in statuses(world) if each and each.error_count])[-1]
    assert (final.state, final.error_code) == (StreamState.STOPPED, "unsupported")


def test_sampling_leaves_pictures_out_before_they_are_numbered(
    browser: TestClient, world: World
) -> None:
    object.__setattr__(world.deps, "clock", SystemClock())
    with connect(browser, world, fps_limit=0.01) as socket:
        for _ in range(3):
            socket.send_bytes(a_picture())
    until(lambda: closed(world))
    assert [each.frame.sequence_number for each in frames(world)] == [0]
    final = statuses(world)[-1]
    assert final is not None
    assert (final.frames_captured, final.frames_skipped) == (3, 2)


def test_the_newest_of_two_clients_pushes(browser: TestClient, world: World) -> None:
    with connect(browser, world) as first:
        first.send_bytes(a_picture())
        until(lambda: frames(world))
        with connect(browser, world) as second:
            assert ending(first) == (REPLACED.code, REPLACED.reason)
            second.send_bytes(a_picture())
            until(lambda: len(frames(world)) == 2)
            assert len(world.deps.pushes) == 1
            until(lambda: statuses(world)[-1].state is StreamState.LIVE)  # type: ignore[union-attr]
    old, new = (each.frame for each in frames(world))
    assert new.epoch > old.epoch
    assert new.sequence_number == 0


def test_a_gateway_takes_so_many_clients_and_tells_the_next_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    pushes = Pushes(
        world.publisher,
        world.deps.topics,
        SystemClock(),
        instance_id="gateway-1",
        limit=1,
        metrics=GatewayMetrics(registry),
    )
    monkeypatch.setattr("results.adapters.pushes.REPORT_SECONDS", 0.02)
    object.__setattr__(world.deps, "pushes", pushes)
    other = f"cam_{uuid.UUID(int=7)}"
    world.add_camera(camera_id=other, stream=a_pushed())
    with TestClient(world.app) as browser:
        with connect(browser, world) as first:
            protocols = ["bearer", world.token("operator")]
            with browser.websocket_connect(
                f"/api/v1/cameras/{other}/push", subprotocols=protocols
            ) as second:
                assert ending(second) == (4429, full(1).reason)
                assert len(full(100).reason.encode()) <= 123
            with connect(browser, world):
                assert ending(first) == (REPLACED.code, REPLACED.reason)
                assert registry.get_sample_value("sightline_push_clients") == 1
        until(lambda: registry.get_sample_value("sightline_push_clients") == 0)
    assert registry.get_sample_value("sightline_push_clients_refused_total") == 1


def test_a_newer_client_of_another_gateway_takes_over(browser: TestClient, world: World) -> None:
    with connect(browser, world) as socket:
        socket.send_bytes(a_picture())
        mine = until(lambda: [each for each in statuses(world) if each and each.epoch])[-1]
        for epoch, state in [(1, StreamState.LIVE), (mine.epoch + 1, StreamState.STOPPED)]:
            other = replace(mine, instance_id="gateway-2", epoch=epoch, state=state)
            world.feed.handle(a_record(other, topic="sightline.camera-status"))
        assert len(world.deps.pushes) == 1
        newer = replace(mine, instance_id="gateway-2", epoch=mine.epoch + 1)
        world.feed.handle(a_record(newer, topic="sightline.camera-status"))
        assert ending(socket) == (REPLACED.code, REPLACED.reason)
    assert until(lambda: closed(world))


def test_a_camera_that_is_switched_off_or_becomes_another_sends_its_client_away(
    browser: TestClient, world: World
) -> None:
    off = a_camera(camera_id=CAMERA_ID, stream=a_pushed(), detection=DetectionConfig(enabled=False))
    with connect(browser, world) as socket:
        world.feed.handle(a_record(off, topic="sightline.cameras"))
        assert ending(socket) == (SWITCHED_OFF.code, SWITCHED_OFF.reason)


def test_a_deleted_camera_has_no_status_any_more(browser: TestClient, world: World) -> None:
    with connect(browser, world) as socket:
        socket.send_bytes(a_picture())
        until(lambda: [each for each in statuses(world) if each])
        gone: Record[Any] = a_record(None, key=CAMERA_ID, topic="sightline.cameras")
        world.feed.handle(gone)
        assert ending(socket) == (DELETED.code, DELETED.reason)
    assert until(lambda: statuses(world)[-1] is None)


def test_other_settings_apply_without_a_new_connection(browser: TestClient, world: World) -> None:
    every = a_camera(
        camera_id=CAMERA_ID, stream=a_pushed(), detection=DetectionConfig(overload=Overload.ALL)
    )
    with connect(browser, world) as socket:
        socket.send_bytes(a_picture())
        until(lambda: frames(world))
        world.feed.handle(a_record(every, topic="sightline.cameras"))
        until(lambda: world.deps.pushes._present[CAMERA_ID].session.camera == every)
        socket.send_bytes(a_picture())
        until(lambda: frames(world, "evidence"))
        assert len(until(lambda: closed(world))) == 1
    (second,) = frames(world, "evidence")
    assert (second.frame.sequence_number, second.frame.deadline) == (0, None)
    assert len(until(lambda: closed(world)[1:] and closed(world))) == 2


def test_urgent_pictures_have_their_lane(browser: TestClient, world: World) -> None:
    with connect(browser, world, priority=Priority.URGENT) as socket:
        socket.send_bytes(a_picture())
        assert len(until(lambda: frames(world, "urgent"))) == 1


def test_while_the_broker_is_away_nobody_pushes_and_the_ledger_hears_later(
    browser: TestClient, world: World
) -> None:
    with connect(browser, world) as socket:
        until(lambda: statuses(world))
        world.publisher.failure = TransientError("no broker")
        socket.send_bytes(a_picture())
        assert ending(socket) == (AWAY.code, AWAY.reason)
    world.publisher.failure = None
    assert until(lambda: closed(world))
    shed = [entry for entry in world.sent("ledger") if entry.outcome == "shed"]
    assert [entry.reason for entry in shed] == ["unacknowledged"]
    final = statuses(world)[-1]
    assert final is not None
    assert (final.state, final.error_code) == (StreamState.STOPPED, "dependency_unavailable")


def test_a_record_that_the_broker_refuses_is_shed_alone(browser: TestClient, world: World) -> None:
    def refuse(output: Output) -> None:
        event = output.event
        if isinstance(event, FrameCaptured) and event.frame.sequence_number == 0:
            raise RejectedRecordError("too large")

    world.publisher.react = refuse
    with connect(browser, world) as socket:
        for _ in range(3):
            socket.send_bytes(a_picture())
        until(lambda: {each.frame.sequence_number for each in frames(world)} == {0, 1, 2})
    until(lambda: closed(world))
    shed = [entry for entry in world.sent("ledger") if entry.outcome == "shed"]
    assert [(entry.reason, entry.ranges[0].first, entry.ranges[0].last) for entry in shed] == [
        ("too_large", 0, 0)
    ]


def test_a_client_that_falls_silent_is_let_go(browser: TestClient, world: World) -> None:
    world.add_camera(stream=a_pushed(timeout_seconds=0.05))
    with connect(browser, world) as socket:
        assert ending(socket) == (4408, "no picture came for 0.05 s")
    final = until(lambda: [each for each in statuses(world) if each and each.error_code])[-1]
    assert (final.state, final.error_code) == (StreamState.STOPPED, "timeout")


def test_clients_learn_that_the_gateway_stops(browser: TestClient, world: World) -> None:
    with connect(browser, world) as socket:
        socket.send_bytes(a_picture())
        until(lambda: frames(world))
        assert browser.portal is not None
        browser.portal.call(world.deps.pushes.stop)
        assert closed(world)
        assert ending(socket) == (STOPPING.code, STOPPING.reason)
