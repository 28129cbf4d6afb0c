"""A gateway whose outside is in memory, with a mesh that answers at once."""

import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from mesh.addresses import CLOUD_METADATA, AddressPolicy
from mesh.auth import Tokens
from mesh.clock import ManualClock, SystemClock
from mesh.crypto import Cipher
from mesh.events import (
    Answer,
    Camera,
    FrameCaptured,
    FrameResult,
    ModelStatus,
    ModelUse,
    Outcome,
)
from mesh.health import Health
from mesh.stage import Output
from mesh.testing import a_camera, a_frame_result, a_person, a_result_detection
from mesh.topics import Topics
from results.adapters.callback_targets import CallbackTargets
from results.adapters.frame_requests import FrameRequests, SharedRecords
from results.adapters.gate import Gate
from results.adapters.http import create_app
from results.adapters.http_deps import GatewayDeps, GatewayPolicy
from results.adapters.http_frame_models import EXAMPLE
from results.adapters.live import LiveState, NameCache
from results.adapters.live_answers import Answers
from results.adapters.live_feed import Feed
from results.adapters.live_hub import Hub
from results.adapters.memory_gateway import (
    InMemoryAudit,
    InMemoryCameras,
    InMemoryFrameIdentifiers,
    InMemoryJobs,
    InMemoryLedger,
    InMemoryPersons,
    InMemoryPublisher,
    InMemoryResults,
    InMemorySessions,
    InMemorySnapshots,
    InMemoryStatistics,
)
from results.adapters.pictures import LivePictures
from results.adapters.pillow_pictures import PillowPictures
from results.adapters.pushes import Pushes
from results.adapters.request_metrics import RequestMetrics
from results.domain.admission import AdmissionPolicy, Load
from results.domain.callbacks import CallbackPolicy
from results.domain.cameras import CameraEntry

SECRET = SecretStr("a secret of at least thirty-two characters")
CAMERA_ID: str = EXAMPLE["camera_id"]
Answerer = Callable[[FrameCaptured], Answer | None]


def resolve(host: str, _: int) -> list[str]:
    """A name service that knows a few hosts."""
    known = {
        "app.example.com": "93.184.216.34",
        "inside.example.com": "10.0.0.7",
        "metadata.example": "169.254.169.254",
    }
    if host not in known:
        raise OSError("no such host")
    return [known[host]]


def a_picture(width: int = 64, height: int = 48, kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (120, 90, 60)).save(out, kind)
    return out.getvalue()


def a_model(**changes: Any) -> ModelStatus:
    recognition = changes.get("task") == "face-recognition"
    values: dict[str, Any] = {
        "model_id": "omz-face-reid-0095" if recognition else "yunet-2023mar",
        "instance_id": "one",
        "service": "recognition" if recognition else "detection",
        "task": "face-detection",
        "name": "YuNet",
        "version": "2023mar",
        "licence": "MIT",
        "sha256": "0" * 64,
        "pack": "yunet-omz",
        "device": "CPU",
        "engine": "onnxruntime",
        "state": "available",
        "aliases": ("arcface-512d",) if recognition else ("retinaface-gpu", "yolo-face-cpu"),
        "utilisation": 0.1,
        "queue": 0,
        "max_batch": 8,
        "heartbeat_at": datetime.now(UTC),
    }
    return ModelStatus(**values | changes)


def a_result_of(frame: FrameCaptured, **changes: Any) -> FrameResult:
    models = (
        ModelUse(
            task="face-detection", model_id="yunet-2023mar", name="YuNet", version="2023mar",
            device="CPU", engine="onnxruntime", latency_ms=12.34,
        ),
        ModelUse(
            task="face-recognition", model_id="omz-face-reid-0095", name="OMZ 0095", version="1",
            device="CPU", engine="openvino", latency_ms=3.2, embedding_size=256,
        ),
    )  # fmt: skip
    values: dict[str, Any] = {"frame": frame.frame, "models": models}
    return a_frame_result(**values | changes)


def recognised(frame: FrameCaptured, **changes: Any) -> Answer:
    assert frame.request is not None
    values: dict[str, Any] = {
        "request_id": frame.request.request_id,
        "frame_key": frame.frame.frame_key,
        "kind": "frame",
        "status": "success",
        "message": "done",
        "result": a_result_of(frame, detections=(a_result_detection(),)),
        "answered_at": datetime.now(UTC),
    }
    return Answer(**values | changes)


def failed(frame: FrameCaptured, reason: str, code: str) -> Answer:
    result = a_result_of(frame, outcome=Outcome.FAILED, reason=reason, detections=())
    return recognised(frame, status="error", code=code, message="it failed", result=result)


@dataclass
class World:
    """Everything around one gateway; the mesh answers frames by `answer`."""

    deps: GatewayDeps
    app: FastAPI
    feed: Feed
    cameras: InMemoryCameras
    persons: InMemoryPersons
    results: InMemoryResults
    ledger: InMemoryLedger
    statistics: InMemoryStatistics
    sessions: InMemorySessions
    publisher: InMemoryPublisher
    jobs: InMemoryJobs
    snapshots: InMemorySnapshots
    audit: InMemoryAudit
    answer: Answerer = recognised
    answer_command: Callable[[Any], Answer | None] = lambda _: None
    heard: ManualClock = field(default_factory=ManualClock)
    """By which the gateway tells how old is what it heard; stands still until it is moved."""
    load: list[Load] = field(default_factory=lambda: [Load()])
    """How busy the pipeline is: the last one counts."""
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def token(self, role: str = "admin") -> str:
        return self.deps.tokens.issue("tester", role, timedelta(hours=1), datetime.now(UTC))

    def client(self, role: str | None = "admin") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token(role)}"} if role else {}
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=headers)

    def react(self, output: Output) -> None:
        event = output.event
        if not isinstance(event, FrameCaptured):
            answer = self.answer_command(event) if hasattr(event, "request_id") else None
        else:
            answer = self.answer(event) if event.request else None
        if answer is not None:
            self.deps.answers.deliver(answer)

    def sent(self, name: str) -> list[Any]:
        """Events that were published to a topic."""
        topic = self.deps.topics(name)
        return [output.event for output in self.publisher.published if output.topic == topic]

    def add_camera(self, **changes: Any) -> Camera:
        camera = a_camera(**{"camera_id": CAMERA_ID, "name": "Main Entrance"} | changes)
        self.cameras.add(CameraEntry(camera=camera))
        return camera


def a_gate(load: Callable[[], Load]) -> Gate:
    return Gate(
        load=load,
        monotonic=ManualClock().monotonic,
        metrics=RequestMetrics(CollectorRegistry()),
        admission=AdmissionPolicy(max_queue=10, urgent_per_second=1, urgent_burst=2),
    )


@pytest.fixture
def world() -> World:
    clock, topics, load, heard = SystemClock(), Topics(), [Load()], ManualClock()
    sessions = InMemorySessions()
    health = Health(ready={"http": lambda: None})
    cameras, results, snapshots = InMemoryCameras(), InMemoryResults(), InMemorySnapshots()
    persons, publisher = InMemoryPersons([a_person()]), InMemoryPublisher()
    ledger, statistics, audit = InMemoryLedger(), InMemoryStatistics(), InMemoryAudit()
    answers, editor, jobs = Answers(), PillowPictures(), InMemoryJobs(clock)
    answers.listen(jobs.answered)
    deps = GatewayDeps(
        cameras=cameras,
        persons=persons,
        names=NameCache(persons),
        results=results,
        audit=audit,
        ledger=ledger,
        statistics=statistics,
        sessions=sessions,
        requests=FrameRequests(
            publisher=publisher,
            answers=answers,
            records=SharedRecords(InMemoryFrameIdentifiers(clock), jobs),
            gate=a_gate(lambda: load[-1]),
            topics=topics,
            clock=clock,
            instance_id="gateway-1",
            answer_wait=timedelta(milliseconds=50),
        ),
        jobs=jobs,
        callbacks=CallbackTargets(CallbackPolicy(), resolve=resolve),
        state=LiveState(heard.monotonic),
        hub=Hub(),
        answers=answers,
        pushes=Pushes(publisher, topics, clock, instance_id="gateway-1"),
        pictures=LivePictures(),
        snapshots=snapshots,
        editor=editor,
        tokens=Tokens(SECRET),
        cipher=Cipher(SecretStr(Cipher.new_key())),
        topics=topics,
        clock=clock,
        health=health,
        instance_id="gateway-1",
        policy=GatewayPolicy(addresses=AddressPolicy.parse(CLOUD_METADATA)),
        resolve=resolve,
    )
    for model in (a_model(task=task) for task in ("face-detection", "face-recognition")):
        deps.state.set_model(model.model_id, model)
    feed = Feed(
        topics=topics, state=deps.state, names=deps.names, answers=answers, hub=deps.hub,
        pushes=deps.pushes,
    )  # fmt: skip
    made = World(
        deps=deps, app=create_app(deps), feed=feed, cameras=cameras, persons=persons,
        results=results, ledger=ledger, publisher=publisher, snapshots=snapshots,
        jobs=jobs, load=load, statistics=statistics, audit=audit, sessions=sessions, heard=heard,
    )  # fmt: skip
    publisher.react = made.react
    return made


@pytest.fixture
def request_body() -> dict[str, Any]:
    """The specification's example request with a real picture."""
    body: dict[str, Any] = json.loads(json.dumps(EXAMPLE))
    body["frame_data"] = base64.b64encode(a_picture()).decode()
    return body
