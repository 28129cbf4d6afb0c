"""Requests through two gateways and a writer as processes, of which one dies at a time."""

import base64
import hashlib
import hmac
import io
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from PIL import Image
from pydantic import SecretStr
from typing_extensions import override

from local.network import free_ports
from mesh.auth import Tokens
from mesh.crypto import Cipher
from mesh.events import Answer, FrameCaptured, Lane, ModelStatus
from mesh.kafka import KafkaTail
from mesh.letters import original_of
from mesh.record import Record
from mesh.testing import a_frame_result, a_result_detection
from results.adapters.http_frame_models import EXAMPLE
from results.adapters.job_rounds import REASON

from .conftest import new_database
from .gateway.conftest import a_model
from .running import SECRET, Installation, eventually, install

pytestmark = [pytest.mark.integration, pytest.mark.slow]

JWT_SECRET = "a secret of at least thirty-two characters"
CALLBACK_SECRET = "another secret of at least 32 characters"
PATH = "/api/v1/detections/process-frame"
CAMERA = {
    "camera_id": EXAMPLE["camera_id"],
    "name": "Main Entrance",
    "stream_config": {"stream_type": "RTSP", "rtsp_url": "rtsp://192.168.1.100:554/stream1"},
}


@dataclass
class Receiver:
    """Takes callbacks; the first ones may be refused."""

    url: str = ""
    refused: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/refuse":
                receiver.refused += 1
                self.send_response(500)
            elif self.path == "/redirect":
                self.send_response(307)
                self.send_header("Location", "/taken")
            else:
                receiver.got.append((dict(self.headers), body))
                self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Requests are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Stages:
    """The rest of the mesh: answers every picture, except those that it is told to hold."""

    def __init__(self, mesh: Installation) -> None:
        self._mesh = mesh
        self.seen: list[FrameCaptured] = []
        self.held: dict[str, FrameCaptured] = {}

    def handle(self, record: Record[Any]) -> None:
        frame: FrameCaptured = record.event
        self.seen.append(frame)
        if (frame.frame.frame_id or "").startswith("held"):
            self.held[frame.frame.frame_id or ""] = frame
        else:
            self.answer(frame)

    def answer(self, frame: FrameCaptured) -> None:
        assert frame.request is not None
        result = a_frame_result(frame=frame.frame, detections=(a_result_detection(),))
        reply = Answer(
            request_id=frame.request.request_id, frame_key=frame.frame.frame_key, kind="frame",
            status="success", message="done", result=result, answered_at=datetime.now(UTC),
        )  # fmt: skip
        self._mesh.publish(("answers", reply.request_id, reply))

    def release(self, frame_id: str) -> None:
        """Answer a picture that was held, as soon as it is here."""
        eventually(lambda: frame_id in self.held)
        self.answer(self.held[frame_id])

    def of(self, frame_id: str) -> int:
        """How often a picture went through the mesh."""
        return sum(1 for frame in self.seen if frame.frame.frame_id == frame_id)


@dataclass
class Site:
    """Two gateways, and what is around them."""

    mesh: Installation
    one: httpx2.Client
    two: httpx2.Client
    stages: Stages
    receiver: Receiver
    writer: subprocess.Popen[bytes]
    first_gateway: subprocess.Popen[bytes]

    def body(self, frame_id: str, **processing: Any) -> dict[str, Any]:
        options = {
            **EXAMPLE["detection_options"],
            "models": {},
            "processing": {"priority": "normal", "timeout_ms": 60_000} | processing,
        }
        return {
            **EXAMPLE,
            "frame_id": frame_id,
            "frame_data": PICTURE,
            "detection_options": options,
            "client_context": {},
        }

    def submit(self, frame_id: str, path: str = "/taken") -> str:
        """Begin a job at the first gateway."""
        body = self.body(frame_id, **{"async": True})
        body["client_context"] = {"callback_url": self.receiver.url + path}
        accepted = self.one.post(PATH, json=body)
        assert accepted.status_code == 202, accepted.text
        job_id: str = accepted.json()["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the second gateway tells it."""
        body: dict[str, Any] = self.two.get(f"/api/v1/jobs/{job_id}").json()
        return body

    def calls(self, job_id: str) -> list[tuple[dict[str, str], bytes]]:
        """The callbacks that came for a job."""
        return [call for call in self.receiver.got if job_id.encode() in call[1]]

    def undeliverable(self, *job_ids: str) -> bool:
        """Whether nothing more is tried."""
        return all(self.job(each)["callback"]["state"] == "failed" for each in job_ids)


def a_picture() -> str:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (120, 90, 60)).save(out, "JPEG")
    return base64.b64encode(out.getvalue()).decode()


PICTURE = a_picture()


def a_gateway(
    stack: ExitStack, mesh: Installation
) -> tuple[subprocess.Popen[bytes], httpx2.Client]:
    """A gateway that has begun to start, and a client of it."""
    token = Tokens(SecretStr(JWT_SECRET)).issue(
        "tester", "admin", timedelta(hours=1), datetime.now(UTC)
    )
    (port,) = free_ports(1)
    environment = {**mesh.environment, "SIGHTLINE_GATEWAY_PORT": str(port)}
    role = replace(mesh, environment=environment).role("gateway", ready=False)
    client = httpx2.Client(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=90,
    )
    return stack.enter_context(role), stack.enter_context(client)


def is_well(client: httpx2.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def site(
    kafka: str, registry: str, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("requests")
    with ExitStack() as stack:
        database = stack.enter_context(new_database(postgres))
        installed = stack.enter_context(
            install(kafka=kafka, registry=registry, database=database, folder=folder)
        )
        environment = {
            **installed.environment,
            "SIGHTLINE_JWT_SECRET": JWT_SECRET,
            "SIGHTLINE_CALLBACK_SECRET": CALLBACK_SECRET,
            "SIGHTLINE_CALLBACK_ALLOW": "127.0.0.1",
            "SIGHTLINE_ADMISSION_QUEUE": "50",
        }
        mesh = replace(installed, environment=environment)
        receiver = stack.enter_context(receiving())
        stages, stop = Stages(mesh), threading.Event()
        topics = [mesh.settings.topics.lane(lane) for lane in (Lane.REQUEST, Lane.URGENT)]
        tail = KafkaTail(mesh.settings, mesh.codec, topics=topics, start="beginning")
        thread = threading.Thread(target=tail.run, args=(stages.handle, stop))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        (first, one), (_, two) = a_gateway(stack, mesh), a_gateway(stack, mesh)
        writer = stack.enter_context(mesh.role("writer"))
        eventually(lambda: is_well(one) and is_well(two))
        assert one.post("/api/v1/cameras", json=CAMERA).status_code == 201
        yield Site(mesh, one, two, stages, receiver, writer, first)


def test_a_job_of_one_gateway_is_known_to_the_other_and_its_callback_is_signed(
    site: Site,
) -> None:
    job_id = site.submit("plain")
    eventually(lambda: site.job(job_id)["status"] == "completed")
    assert len(site.job(job_id)["result"]["detections"]) == 1
    eventually(lambda: len(site.calls(job_id)) == 1)
    headers, body = site.calls(job_id)[0]
    signed = f"{headers['Sightline-Timestamp']}.".encode() + body
    expected = hmac.new(CALLBACK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["Sightline-Signature"] == f"sha256={expected}"
    assert headers["Idempotency-Key"] == job_id
    told = json.loads(body)
    assert (told["job_id"], told["status"], len(told["detections"])) == (job_id, "completed", 1)
    eventually(lambda: site.job(job_id)["callback"]["state"] == "delivered")

    refused, redirected = site.submit("refused", "/refuse"), site.submit("moved", "/redirect")
    eventually(lambda: site.undeliverable(refused, redirected))
    assert site.receiver.refused == site.job(refused)["callback"]["failed_attempts"] == 4
    assert site.job(redirected)["callback"]["last_error"] == "answered with 307"
    assert not site.calls(redirected)
    letters = site.mesh.read("dead-letters", 2)
    assert {letter.headers["job-id"].decode() for letter in letters} == {refused, redirected}
    assert all(letter.headers["reason"].startswith(REASON.encode()) for letter in letters)
    originals = [original_of(letter, Cipher(SecretStr(SECRET))) for letter in letters]
    assert {original.topic for original in originals} == {site.mesh.settings.topics("answers")}
    asked = [site.mesh.codec.decode(each.topic, each.value or b"") for each in originals]
    assert {answer.kind for answer in asked} == {"callback"}


def test_a_frame_repeated_at_the_other_gateway_is_answered_with_the_first_result(
    site: Site,
) -> None:
    first = site.one.post(PATH, json=site.body("twice")).json()
    site.mesh.remember_frames()
    second = site.two.post(PATH, json=site.body("twice")).json()
    assert (first["status"], second["status"]) == ("success", "duplicate")
    assert second["detections"] == first["detections"]
    assert site.stages.of("twice") == 1


def test_a_writer_that_is_killed_loses_neither_the_job_nor_its_callback(site: Site) -> None:
    job_id = site.submit("held_by_writer")
    site.writer.kill()
    site.writer.wait()
    site.stages.release("held_by_writer")
    assert site.job(job_id)["status"] == "processing"
    with site.mesh.role("writer"):
        eventually(lambda: len(site.calls(job_id)) >= 1)
        assert site.job(job_id)["status"] == "completed"


def test_busy_engines_and_a_long_queue_are_refused_by_priority(site: Site) -> None:
    def heartbeat(**changes: Any) -> ModelStatus:
        return a_model(latency_p50_ms=10.0, heartbeat_at=datetime.now(UTC), **changes)

    def answer(priority: str, load: ModelStatus) -> httpx2.Response:
        site.mesh.publish(("model-status", load.model_id, load))
        frame_id = f"{priority}-{datetime.now(UTC).timestamp()}"
        return site.one.post(PATH, json=site.body(frame_id, priority=priority))

    eventually(lambda: answer("low", heartbeat(utilisation=0.95)).status_code == 429)
    assert answer("normal", heartbeat(utilisation=0.95)).status_code == 200
    eventually(lambda: answer("high", heartbeat(queue=51)).status_code == 429)
    refused: list[httpx2.Response] = []

    def is_refused() -> bool:
        refused.append(answer("normal", heartbeat(queue=51)))
        return refused[-1].status_code == 429

    eventually(is_refused)
    assert refused[-1].json()["error"]["code"] == "OVERLOADED"
    assert refused[-1].headers["Retry-After"] == "1"
    assert answer("urgent", heartbeat(queue=51)).status_code == 200
    eventually(lambda: answer("low", heartbeat(queue=0)).status_code == 200)


def test_health_tells_of_the_circuit(site: Site) -> None:
    told: list[dict[str, Any]] = []

    def is_ok() -> bool:
        told.append(site.one.get("/health").json())
        return bool(told[-1]["status"] == "ok")

    eventually(is_ok)
    circuit = {"state": "closed", "opened": 0}
    assert told[-1] == {"status": "ok", "problems": {}, "circuit": circuit}


def test_a_gateway_that_is_killed_takes_no_result_with_it(site: Site) -> None:
    body = site.body("held_by_gateway")
    lost: list[httpx2.TransportError] = []

    def ask() -> None:
        try:
            site.one.post(PATH, json=body)
        except httpx2.TransportError as error:
            lost.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: site.stages.of("held_by_gateway") == 1)
    site.mesh.remember_frames()
    site.first_gateway.kill()
    asking.join()
    assert lost
    site.stages.release("held_by_gateway")
    again = site.two.post(PATH, json=body)
    assert again.json()["status"] == "duplicate", again.text
    assert len(again.json()["detections"]) == 1
    assert site.stages.of("held_by_gateway") == 1
