"""The gateway as a process on the real broker, registry and database."""

import base64
import io
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from local.network import free_ports
from mesh.auth import Tokens
from mesh.claims import ClaimChecks
from mesh.events import Answer, FrameCaptured, Lane, StreamState
from mesh.kafka import EventProducer, KafkaTail
from mesh.record import Record
from mesh.stage import Output
from mesh.testing import CAMERA_ID as PICTURED_ID
from mesh.testing import a_frame_captured, a_frame_header, a_frame_result, a_result_detection
from results.adapters.http_frame_models import EXAMPLE

from .running import Installation, eventually, install

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PATIENCE = 180.0
JWT_SECRET = "a secret of at least thirty-two characters"
CAMERA_ID: str = EXAMPLE["camera_id"]
CAMERA = {
    "camera_id": CAMERA_ID,
    "name": "Main Entrance",
    "stream_config": {
        "stream_type": "RTSP",
        "rtsp_url": "rtsp://admin:hunter2@192.168.1.100:554/stream1",
    },
}


@dataclass
class Served:
    """A gateway that answers, and the installation that it belongs to."""

    mesh: Installation
    client: httpx2.Client
    port: int
    token: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def served(kafka: str, registry: str, database: str, tmp_path: Path) -> Iterator[Served]:
    (port,) = free_ports(1)
    tokens = Tokens(SecretStr(JWT_SECRET))
    token = tokens.issue("tester", "admin", timedelta(hours=1), datetime.now(UTC))
    with install(kafka=kafka, registry=registry, database=database, folder=tmp_path) as installed:
        environment = {
            **installed.environment,
            "SIGHTLINE_JWT_SECRET": JWT_SECRET,
            "SIGHTLINE_GATEWAY_PORT": str(port),
        }
        mesh = replace(installed, environment=environment)
        url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {token}"}
        with (
            mesh.role("gateway") as process,
            httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE) as client,
        ):
            yield Served(mesh, client, port, token, process)
            process.terminate()
            assert process.wait(PATIENCE) == 0, "it did not stop cleanly"


@pytest.fixture
def answering(served: Served) -> Iterator[list[FrameCaptured]]:
    """The rest of the mesh: every pushed picture holds one face."""
    seen: list[FrameCaptured] = []
    settings, codec, stop = served.mesh.settings, served.mesh.codec, threading.Event()
    producer = EventProducer(settings, codec)

    def answer(record: Record[Any]) -> None:
        frame: FrameCaptured = record.event
        seen.append(frame)
        result = a_frame_result(frame=frame.frame, detections=(a_result_detection(),))
        assert frame.request is not None
        reply = Answer(
            request_id=frame.request.request_id, frame_key=frame.frame.frame_key, kind="frame",
            status="success", message="done", result=result, answered_at=datetime.now(UTC),
        )  # fmt: skip
        producer.send(Output(settings.topics("answers"), reply.request_id, reply))
        producer.send(Output(settings.topics("results"), frame.frame.camera_id, result))
        producer.flush()

    topics = [settings.topics.lane(lane) for lane in (Lane.REQUEST, Lane.URGENT)]
    tail = KafkaTail(settings, codec, topics=topics, start="beginning")
    thread = threading.Thread(target=tail.run, args=(answer, stop))
    thread.start()
    yield seen
    stop.set()
    thread.join()


def a_picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 100).convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue()


def follow(url: str, token: str) -> ClientConnection:
    """A WebSocket of this gateway."""
    protocols = [Subprotocol("bearer"), Subprotocol(token)]
    return connect(url, subprotocols=protocols, open_timeout=PATIENCE, ping_interval=None)


def test_a_pushed_picture_comes_back_as_a_result_and_on_the_live_feed(
    served: Served, answering: list[FrameCaptured]
) -> None:
    created = served.client.post("/api/v1/cameras", json=CAMERA)
    assert created.status_code == 201, created.text
    assert "hunter2" not in created.text
    stored = served.mesh.rows("SELECT topic, key, event_type, payload FROM results.outbox")
    assert [row[:3] for row in stored] == [("cameras", CAMERA_ID, "Camera")]
    camera = served.mesh.codec.decode(served.mesh.settings.topics("cameras"), stored[0][3])
    assert camera.stream.url == "rtsp://192.168.1.100:554/stream1"
    assert camera.stream.username == "admin"
    assert b"hunter2" not in stored[0][3]

    url = f"ws://127.0.0.1:{served.port}/api/v1/detections/ws/tester"
    with pytest.raises(InvalidStatus) as denied:
        follow(url, "nonsense")
    assert denied.value.response.status_code == 401
    assert b"UNAUTHORIZED" in denied.value.response.body
    with follow(url, served.token) as websocket:
        assert json.loads(websocket.recv(PATIENCE))["type"] == "connection_established"
        assert websocket.protocol.extensions == []  # offered by the client, declined
        websocket.send(json.dumps({"type": "subscribe", "camera_id": CAMERA_ID}))
        assert json.loads(websocket.recv(PATIENCE))["type"] == "subscribed"
        body = EXAMPLE | {"frame_data": base64.b64encode(a_picture(1600, 1200)).decode()}
        answered = served.client.post("/api/v1/detections/process-frame", json=_real(body))
        assert answered.status_code == 200, answered.text
        event = json.loads(websocket.recv(PATIENCE))
    assert event["type"] == "detection_event"
    assert answered.json()["summary"]["total_detections"] == 1
    served.mesh.remember_frames()
    again = served.client.post("/api/v1/detections/process-frame", json=_real(body))
    assert again.json()["status"] == "duplicate"
    assert again.json()["detections"] == answered.json()["detections"]
    assert len(answering) == 1
    assert served.mesh.picture(answering[0]) == base64.b64decode(body["frame_data"])
    assert (answering[0].frame.width, answering[0].frame.height) == (1600, 1200)
    entries = [
        served.mesh.codec.decode(served.mesh.settings.topics("audit"), record.event or b"")
        for record in served.mesh.read("audit", 4)
    ]
    assert [(entry.action, entry.resource, entry.user_id) for entry in entries] == [
        ("create_camera", f"camera:{CAMERA_ID}", "tester"),
        ("follow_live_detections", f"camera:{CAMERA_ID}", "tester"),
        ("process_frame", "detection:*", "tester"),
        ("process_frame", "detection:*", "tester"),
    ]


def _real(body: dict[str, Any]) -> dict[str, Any]:
    """The example without its models, for no model reports here, and with time to answer."""
    processing = {**body["detection_options"]["processing"], "timeout_ms": 60_000}
    options = {**body["detection_options"], "models": {}, "processing": processing}
    return {**body, "detection_options": options}


def test_a_watched_camera_shows_its_newest_and_any_recent_picture(served: Served) -> None:
    picture = a_picture(320, 240)
    path = f"/api/v1/cameras/{PICTURED_ID}/picture"
    found: list[httpx2.Response] = []

    def frame() -> FrameCaptured:
        header = a_frame_header(sequence_number=len(found), width=320, height=240)
        return a_frame_captured(frame=header, image=picture)

    def seen() -> bool:
        served.mesh.publish(("frames.live", PICTURED_ID, frame()))
        found.append(served.client.get(path, params={"width": 64}))
        return found[-1].status_code == 200

    eventually(seen)
    with Image.open(io.BytesIO(found[-1].content)) as image:
        assert image.size == (64, 48)
    key = found[-1].headers["X-Frame-Key"]
    named = served.client.get(path, params={"frame_key": key})
    assert named.headers["X-Frame-Key"] == key
    assert named.content == picture

    large = a_picture(1600, 1200)
    reference = ClaimChecks(served.mesh.environment["SIGHTLINE_OBJECTS_URL"]).put(
        large, Lane.LIVE, datetime.now(UTC)
    )
    last = replace(frame(), image=None, image_ref=reference)
    served.mesh.publish(("frames.live", PICTURED_ID, last))
    eventually(lambda: served.client.get(path).content == large)


def test_a_pushed_stream_reaches_the_broker_and_hears_when_the_gateway_stops(
    served: Served,
) -> None:
    camera = {"name": "Phone", "stream_config": {"stream_type": "WEBSOCKET"}}
    camera_id = served.client.post("/api/v1/cameras", json=camera).json()["camera_id"]
    url = f"ws://127.0.0.1:{served.port}/api/v1/cameras/{camera_id}/push"
    picture = a_picture(1600, 1200)
    assert len(picture) > 1024 * 1024
    with follow(url, served.token) as websocket:
        websocket.send(picture)
        assert json.loads(websocket.recv(PATIENCE))["type"] == "accepted"
        served.process.terminate()
        with suppress(ConnectionClosed):
            while True:
                websocket.recv(PATIENCE)
    assert (websocket.close_code, websocket.close_reason) == (
        1012, "this gateway stops; connect again",
    )  # fmt: skip
    assert served.process.wait(PATIENCE) == 0
    (frame,), entries, statuses = told(served, "frames.live", "ledger", "camera-status")
    assert (frame.frame.sequence_number, frame.frame.camera_id) == (0, camera_id)
    assert served.mesh.picture(frame) == picture
    closing = [each for each in entries if each.closes_epoch]
    assert [(each.epoch, each.ranges[0].last) for each in closing] == [(frame.frame.epoch, 0)]
    assert statuses[0].state is StreamState.CONNECTING
    assert statuses[-1].state is StreamState.STOPPED


def told(served: Served, *names: str) -> list[list[Any]]:
    """What the topics hold."""
    settings, stop = served.mesh.settings, threading.Event()
    found: dict[str, list[Any]] = {settings.topics(name): [] for name in names}
    tail = KafkaTail(settings, served.mesh.codec, topics=list(found), start="beginning")
    take = threading.Thread(
        target=tail.run, args=(lambda record: found[record.topic].append(record.event), stop)
    )
    take.start()
    assert tail.caught_up.wait(PATIENCE)
    stop.set()
    take.join()
    return list(found.values())


def test_a_taken_port_ends_the_start_with_a_reason(served: Served) -> None:
    with served.mesh.role("gateway", ready=False) as second:
        assert second.wait(PATIENCE) == 78
