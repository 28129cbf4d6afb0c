"""What the end-to-end tests see of a running mesh: its API, its topics, its books."""

import base64
import io
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2
import numpy as np
import psycopg
from PIL import Image

from local.installation import Installation
from mesh.codec import AvroCodec
from mesh.identity import new_id
from mesh.kafka import EventProducer, KafkaTail
from mesh.record import Record
from mesh.registry import ConfluentRegistry
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings

T = TypeVar("T")
PATIENCE = 180.0
BUSY = {429, 503, 504}
"""What says that the same may succeed a moment later."""
CONSENT = {"consent_type": "face_recognition", "status": "granted"}


class Mesh:
    """One running installation, seen from outside."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        environment = installation.environment
        self.settings = MeshSettings(
            kafka_bootstrap=environment["SIGHTLINE_KAFKA_BOOTSTRAP"],
            registry_url=environment["SIGHTLINE_REGISTRY_URL"],
            topic_prefix=environment["SIGHTLINE_TOPIC_PREFIX"],
            partitions=int(environment["SIGHTLINE_PARTITIONS"]),
            instance_id="observer",
        )
        self.topics = self.settings.topics
        self._registry = ConfluentRegistry(self.settings.registry_url)
        self.codec = AvroCodec(self._registry, self.topics, SchemaLibrary.packaged())
        self.producer = EventProducer(self.settings, self.codec)
        self.token = installation.token()
        self.http = httpx2.Client(
            base_url=f"{installation.url}/api/v1",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=90,
            trust_env=False,
        )

    def close(self) -> None:
        """Close connections."""
        self.http.close()
        self._registry.close()

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """A successful answer of the API."""
        return _success(_taken(lambda: self.http.get(path, params=parameters)))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A successful answer of the API."""
        return _success(_taken(lambda: self.http.post(path, json=body)))

    def push(self, camera_id: str, image: bytes) -> tuple[dict[str, Any], httpx2.Response]:
        """A picture that the mesh was not too busy for, and its answer."""
        requests: list[dict[str, Any]] = []

        def send() -> httpx2.Response:
            requests.append(frame_request(camera_id, image))
            return self.http.post("/detections/process-frame", json=requests[-1])

        answer = _taken(send)
        return requests[-1], answer

    def process(self, camera_id: str, image: bytes) -> dict[str, Any]:
        """What the mesh finds in a picture."""
        _, answer = self.push(camera_id, image)
        return _success(answer)

    def add_file_camera(self, name: str, path: str, fps: float, *, max_age_ms: int = 2000) -> str:
        """Register a camera that plays a file; returns its id."""
        body = {
            "name": name,
            "stream_config": {"stream_type": "FILE", "path": path},
            "detection_config": {
                "fps_limit": fps,
                "min_face_size": 20,
                "max_age_ms": max_age_ms,
            },
        }
        return str(self.post("/cameras", body)["camera_id"])

    def stop_camera(self, camera_id: str) -> None:
        """Stop capturing."""
        self.post(f"/cameras/{camera_id}/stop-detection")

    def read(self, *names: str) -> dict[str, list[Record[Any]]]:
        """Every record that these topics hold now, by topic name without prefix."""
        found: dict[str, list[Record[Any]]] = defaultdict(list)
        stop = threading.Event()
        tail = KafkaTail(self.settings, self.codec, topics=[self.topics(name) for name in names])
        thread = threading.Thread(
            target=tail.run, args=(lambda record: found[record.topic].append(record), stop)
        )
        thread.start()
        caught_up = tail.caught_up.wait(PATIENCE)
        stop.set()
        thread.join()
        assert caught_up, f"{names} could not be read to the end"
        return {name: found[self.topics(name)] for name in names}

    def sql(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with psycopg.connect(self.installation.database) as connection:
            return connection.execute(query, arguments).fetchall()


def _taken(send: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer, as soon as it is not that the same may succeed a moment later."""
    deadline = time.monotonic() + PATIENCE
    while (answer := send()).status_code in BUSY and time.monotonic() < deadline:
        time.sleep(0.25)
    return answer


def _success(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.is_success, f"{answer.request.url.path}: {answer.status_code} {answer.text}"
    body: dict[str, Any] = answer.json()
    return body


def enrol(mesh: Mesh, name: str, photo: bytes) -> str:
    """Enrol a person by a photo and wait until the API shows the sample; returns the id."""
    image = base64.b64encode(photo).decode()
    body = {"name": name, "consent": CONSENT, "image": image}
    person_id = str(mesh.post("/persons", body)["person_id"])
    wait_for(
        lambda: (found := mesh.http.get(f"/persons/{person_id}")).is_success
        and found.json()["face_count"],
        PATIENCE, f"{name} has no face",
    )  # fmt: skip
    return person_id


def wait_for(what: Callable[[], T | None], within: float, failure: str) -> T:
    """The first value that is not empty; an unreachable API counts as empty."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with suppress(httpx2.TransportError):
            value = what()
            if value:
                return value
        time.sleep(0.25)
    raise AssertionError(f"{failure}, after {within:g} s")


def frame_request(camera_id: str, image: bytes, **changes: Any) -> dict[str, Any]:
    """The specification's example request (4.1.1) with a real picture."""
    request: dict[str, Any] = {
        "camera_id": camera_id,
        "stream_type": "RTSP",
        "frame_id": new_id("frame"),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "frame_data": base64.b64encode(image).decode(),
        "frame_metadata": {"format": "jpeg", "codec": "h264"},
        "detection_options": {
            "model_type": "face-recognition",
            "models": {"detection": "retinaface-gpu", "recognition": "arcface-512d"},
            "parameters": {
                "min_confidence": 0.5,
                "min_face_size": 40,
                "max_faces": 10,
                "return_snapshots": True,
                "return_embeddings": False,
            },
            "processing": {"priority": "normal", "timeout_ms": 60000, "async": False},
        },
        "client_context": {"client_id": "gui-frontend-12345", "request_id": "req_abc123"},
    }
    return request | changes


def jpeg(pixels: np.ndarray[Any, np.dtype[np.uint8]], quality: int = 90) -> bytes:
    """A JPEG of RGB pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
