"""The S3 server goes away while pictures flow, and comes back: nothing is lost, all is told."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from PIL import Image
from pydantic import SecretStr

from local.network import free_ports
from local.pytest_fixtures import ObjectServer
from mesh.auth import Tokens
from mesh.events import INLINE_BYTES, FrameCaptured
from mesh.testing import CAMERA_ID
from results.adapters.http_frame_models import EXAMPLE
from results.adapters.objects import ObjectStore

from .running import Installation, eventually, install
from .stored_events import a_result, a_snapshot

pytestmark = [pytest.mark.integration, pytest.mark.slow]

JWT_SECRET = "a secret of at least thirty-two characters"
CAMERA = {
    "camera_id": EXAMPLE["camera_id"],
    "name": "Entrance",
    "stream_config": {"stream_type": "RTSP", "rtsp_url": "rtsp://192.168.1.100/1"},
}


@dataclass
class Site:
    """Gateway and writer whose pictures lie on S3."""

    mesh: Installation
    client: httpx2.Client
    health: dict[str, int]
    objects: ObjectStore
    pushed: int = 0

    def readiness(self, role: str) -> dict[str, Any]:
        """What a role says of itself."""
        answer = httpx2.get(f"http://127.0.0.1:{self.health[role]}/ready", timeout=30)
        found: dict[str, Any] = answer.json()
        return found

    def push(self, image: bytes) -> FrameCaptured:
        """Send a picture; the record that carries it."""
        body = EXAMPLE | {
            "frame_id": uuid4().hex,
            "frame_data": base64.b64encode(image).decode(),
            "client_context": {},
            "detection_options": {"processing": {"async": True, "timeout_ms": 60_000}},
        }
        answer = self.client.post("/api/v1/detections/process-frame", json=body)
        assert answer.status_code == 202, answer.text
        self.pushed += 1
        records = self.mesh.read("frames.request", self.pushed)
        topic = self.mesh.settings.topics("frames.request")
        frames: list[FrameCaptured] = [
            self.mesh.codec.decode(topic, record.event or b"") for record in records
        ]
        return max(frames, key=lambda frame: int(frame.frame.sequence_number))

    def publish(self, number: int) -> str:
        """A result and the picture of its face; the picture's name."""
        result = a_result(number)
        image = b"picture %d" % number
        name = sha256(image).hexdigest()
        snapshot = replace(a_snapshot(result), image=image, sha256=name)
        self.mesh.publish(("results", CAMERA_ID, result), ("snapshots", CAMERA_ID, snapshot))
        return name

    def linked(self) -> set[str]:
        """Names of the pictures that rows link to."""
        return {name for (name,) in self.mesh.rows("SELECT sha256 FROM results.snapshots")}

    def results(self) -> int:
        """How many detections are stored."""
        found: int = self.mesh.rows("SELECT count(*) FROM results.detections")[0][0]
        return found


@pytest.fixture
def site(
    kafka: str, registry: str, database: str, s3: ObjectServer, tmp_path: Path
) -> Iterator[Site]:
    token = Tokens(SecretStr(JWT_SECRET)).issue(
        "tester", "admin", timedelta(hours=1), datetime.now(UTC)
    )
    port, *health = free_ports(3)
    with ExitStack() as stack:
        installed = stack.enter_context(
            install(kafka=kafka, registry=registry, database=database, folder=tmp_path)
        )
        url = f"{s3.url}/{uuid4().hex}"
        environment = {
            **installed.environment,
            **s3.environment,
            "SIGHTLINE_OBJECTS_URL": url,
            "SIGHTLINE_JWT_SECRET": JWT_SECRET,
            "SIGHTLINE_GATEWAY_PORT": str(port),
        }
        mesh = replace(installed, environment=environment)
        ports = dict(zip(("gateway", "writer"), health, strict=True))
        for role, number in ports.items():
            stack.enter_context(mesh.role(role, port=number))
        stack.callback(s3.start)
        client = stack.enter_context(
            httpx2.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=90,
            )
        )
        assert client.post("/api/v1/cameras", json=CAMERA).status_code == 201
        yield Site(mesh, client, ports, ObjectStore(url))


def noise(width: int, height: int) -> bytes:
    out = BytesIO()
    Image.effect_noise((width, height), 100).convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue()


def test_pictures_survive_an_object_store_that_is_away(site: Site, s3: ObjectServer) -> None:
    large = noise(1600, 1200)
    assert len(large) > INLINE_BYTES
    first = site.publish(0)
    eventually(lambda: site.linked() == {first})
    assert site.mesh.picture(site.push(large)) == large

    s3.stop()
    names = {first, *(site.publish(number) for number in range(1, 4))}
    eventually(lambda: "object_store" in site.readiness("gateway").get("degraded", {}))
    eventually(lambda: "object store is away" in str(site.readiness("writer").get("problems")))
    eventually(lambda: site.results() == 4)
    assert site.linked() == {first}
    inline = site.push(large)
    assert inline.image is not None
    assert len(inline.image) <= INLINE_BYTES

    s3.start()
    eventually(lambda: site.linked() == names)
    assert {site.objects.read(name) for name in names} == {b"picture %d" % n for n in range(4)}
    eventually(lambda: site.readiness("gateway")["status"] == "ok")
    eventually(lambda: site.readiness("writer")["status"] == "ok")
    eventually(lambda: site.push(large).image_ref is not None)
