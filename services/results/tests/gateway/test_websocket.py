"""The live feed over a real WebSocket protocol, in process."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession

from mesh.events import CameraStatus, StreamState
from mesh.testing import NOON, PERSON_ID, a_frame_result, a_person, a_record, a_sighting

PATH = "/api/v1/detections/ws/client_123"
CAMERA = "cam_00000000-0000-4000-8000-000000000001"


@pytest.fixture
def browser(world: Any) -> Iterator[TestClient]:
    with TestClient(world.app) as client:
        assert client.portal is not None
        client.portal.call(_attach, world)
        yield client


async def _attach(world: Any) -> None:
    world.feed.attach(asyncio.get_running_loop())


def connect(browser: TestClient, world: Any, role: str = "viewer") -> WebSocketTestSession:
    return browser.websocket_connect(PATH, subprotocols=["bearer", world.token(role)])


def subscribe(socket: WebSocketTestSession, camera_id: str = "*", **more: Any) -> Any:
    socket.send_json({"type": "subscribe", "camera_id": camera_id, **more})
    return socket.receive_json()


def test_a_client_is_greeted_and_its_subprotocol_confirmed(browser: Any, world: Any) -> None:
    with connect(browser, world) as socket:
        assert socket.accepted_subprotocol == "bearer"
        greeting = socket.receive_json()
    assert greeting["type"] == "connection_established"
    assert greeting["client_id"] == "client_123"


@pytest.mark.parametrize("protocols", [None, ["bearer"], ["bearer", "nonsense"], ["other", "x"]])
def test_no_or_a_wrong_token_is_denied_with_the_envelope(browser: Any, protocols: Any) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        browser.websocket_connect(PATH, subprotocols=protocols),
    ):
        pass
    assert denied.value.status_code == 401
    assert denied.value.json()["error"]["code"] == "UNAUTHORIZED"


def test_a_subscriber_gets_results_with_names_and_the_key_of_the_picture(
    browser: Any, world: Any
) -> None:
    with connect(browser, world) as socket:
        socket.receive_json()
        assert subscribe(socket)["type"] == "subscribed"
        result = a_frame_result()
        world.feed.handle(a_record(result, topic="sightline.results"))
        event = socket.receive_json()
    data = event["data"]
    assert event["type"] == "detection_event"
    assert data["frame_key"] == result.frame.frame_key
    assert data["picture"] == {"width": 640, "height": 360}
    assert data["detections"][0]["person"]["name"] == "Ada Lovelace"


def test_the_same_frame_is_sent_once(browser: Any, world: Any) -> None:
    with connect(browser, world) as socket:
        socket.receive_json()
        subscribe(socket)
        for _ in range(3):
            world.feed.handle(a_record(a_frame_result(), topic="sightline.results"))
        socket.receive_json()
        socket.send_json({"type": "ping", "id": 7})
        assert socket.receive_json()["id"] == 7


def test_filters_leave_out_faint_faces_and_other_people(browser: Any, world: Any) -> None:
    with connect(browser, world) as socket:
        socket.receive_json()
        answer = subscribe(socket, filters={"min_confidence": 0.95})
        assert answer["filters"] == {"min_confidence": 0.95, "person_ids": None}
        world.feed.handle(a_record(a_frame_result(), topic="sightline.results"))
        subscribe(socket, filters={"person_ids": ["per_201"]})
        world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
        subscribe(socket, filters={"person_ids": [PERSON_ID]})
        world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
        assert socket.receive_json()["type"] == "sighting_event"


def test_a_client_may_ask_for_events_of_some_types(browser: Any, world: Any) -> None:
    with connect(browser, world) as socket:
        socket.receive_json()
        answer = subscribe(socket, events=["sighting_event"])
        assert answer["events"] == ["sighting_event"]
        world.feed.handle(a_record(a_frame_result(), topic="sightline.results"))
        world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
        assert socket.receive_json()["type"] == "sighting_event"


def test_unsubscribing_ends_it(browser: Any, world: Any) -> None:
    world.add_camera(camera_id=CAMERA)
    with connect(browser, world) as socket:
        socket.receive_json()
        subscribe(socket, CAMERA, pictures=True)
        assert world.deps.hub.subscribers(CAMERA) == ["client_123"]
        assert world.deps.pictures.watched() == {CAMERA}
        socket.send_json({"type": "unsubscribe", "camera_id": CAMERA})
        assert socket.receive_json()["type"] == "unsubscribed"
        assert world.deps.hub.subscribers(CAMERA) == []


def test_camera_states_are_pushed(browser: Any, world: Any) -> None:
    status = CameraStatus(
        camera_id=CAMERA, camera_name="Front door", instance_id="camera-1",
        state=StreamState.ERROR, error_code="unreachable", last_error="connection refused",
        reconnection_attempts=3, next_retry_at=NOON, updated_at=NOON, details="waits",
    )  # fmt: skip
    with connect(browser, world) as socket:
        socket.receive_json()
        subscribe(socket)
        world.feed.handle(a_record(status, topic="sightline.camera-status"))
        event = socket.receive_json()
    assert event["type"] == "camera_event"
    assert event["data"]["error"]["code"] == "STREAM_UNAVAILABLE"
    assert event["data"]["error"]["reconnection_attempts"] == 3
    assert (event["data"]["details"], event["data"]["last_error"]) == (
        "waits", "connection refused",
    )  # fmt: skip


def test_a_renamed_person_has_the_new_name_at_once(browser: Any, world: Any) -> None:
    with connect(browser, world) as socket:
        socket.receive_json()
        subscribe(socket)
        world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
        assert socket.receive_json()["data"]["person_name"] == "Ada Lovelace"
        world.feed.handle(a_record(a_person(name="Ada King"), topic="sightline.persons"))
        world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
        assert socket.receive_json()["data"]["person_name"] == "Ada King"
        world.feed.handle(a_record(None, topic="sightline.persons", key=PERSON_ID))
        world.feed.handle(a_record(a_sighting(), topic="sightline.sightings"))
        assert socket.receive_json()["data"]["person_name"] is None


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ("no json", "INVALID_JSON", "message"),
        ({"type": "dance"}, "VALUE_NOT_ALLOWED", "type"),
        ({}, "MISSING_FIELD", "type"),
        ({"type": "subscribe"}, "MISSING_FIELD", "camera_id"),
        ({"type": "ping", "colour": 1}, "UNKNOWN_FIELD", "colour"),
        ({"type": "subscribe", "camera_id": CAMERA}, "CAMERA_NOT_FOUND", "camera_id"),
        (
            {"type": "subscribe", "camera_id": "*", "filters": {"min_confidence": 2}},
            "OUT_OF_RANGE",
            "filters.min_confidence",
        ),
        (
            {"type": "subscribe", "camera_id": "*", "events": ["frame_event"]},
            "VALUE_NOT_ALLOWED",
            "events.0",
        ),
        ({"type": "subscribe", "camera_id": "*", "events": []}, "TOO_SHORT", "events"),
    ],
)
def test_a_bad_message_is_answered_and_the_connection_goes_on(
    browser: Any, world: Any, message: Any, code: str, field: str
) -> None:
    with connect(browser, world) as socket:
        socket.receive_json()
        if isinstance(message, str):
            socket.send_text(message)
        else:
            socket.send_json(message)
        answer = socket.receive_json()
        socket.send_json({"type": "ping"})
        assert socket.receive_json()["type"] == "pong"
    assert answer["type"] == "error"
    assert (answer["error"]["code"], answer["error"]["field"]) == (code, field)
