"""The whole service as a process, on a real broker and registry."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from mesh.codec import AvroCodec
from mesh.events import (
    Camera,
    CameraStatus,
    FrameCaptured,
    Lane,
    LedgerEntry,
    LogEvent,
    StreamConfig,
    StreamState,
    StreamType,
)
from mesh.kafka import EventProducer, KafkaTail, create_topics
from mesh.record import Record
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.testing import a_camera, a_detection_config
from mesh.topics import CATALOGUE

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass
class Site:
    """An installation with nothing but cameras, and what they publish."""

    settings: MeshSettings
    codec: AvroCodec
    folder: Path
    records: list[Record[Any]] = field(default_factory=list)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def register(self, camera: Camera) -> None:
        producer = EventProducer(self.settings, self.codec)
        producer.send(Output(self.settings.topics("cameras"), camera.camera_id, camera))
        producer.flush()

    def delete(self, camera_id: str) -> None:
        producer = EventProducer(self.settings, self.codec)
        producer.send(Output(self.settings.topics("cameras"), camera_id, None))
        producer.flush()

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        environment = os.environ | {
            "SIGHTLINE_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "SIGHTLINE_REGISTRY_URL": self.settings.registry_url,
            "SIGHTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "SIGHTLINE_PARTITIONS": str(self.settings.partitions),
            "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
            "SIGHTLINE_INSTANCE_ID": name,
            "SIGHTLINE_STATUS_SECONDS": "0.5",
            "SIGHTLINE_LEDGER_SECONDS": "0.5",
        }
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "camera"], env=environment, stdout=log, stderr=log
        )
        log.close()
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def of(self, kind: type, camera_id: str) -> list[Any]:
        return [
            record.event
            for record in list(self.records)
            if record.key == camera_id and isinstance(record.event, kind)
        ]

    def until(self, condition: Callable[[], object], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.05)


@pytest.fixture
def site(kafka: str, registry: str, tmp_path: Path) -> Iterator[Site]:
    settings = MeshSettings(
        kafka_bootstrap=kafka,
        registry_url=registry,
        topic_prefix=f"camera-{uuid.uuid4().hex[:8]}.",
        partitions=2,
    )
    library, schemas = SchemaLibrary.packaged(), ConfluentRegistry(registry)
    create_topics(settings)
    for spec in CATALOGUE:
        if spec.records:
            subject = f"{settings.topics(spec.name)}-value"
            schemas.register(subject, library.value_schema(spec), compatibility(spec))
    made = Site(settings, AvroCodec(schemas, settings.topics, library), tmp_path)
    stop = Event()
    names = ("frames.live", "frames.evidence", "camera-status", "events", "ledger")
    tail = KafkaTail(settings, made.codec, topics=[settings.topics(name) for name in names])
    thread = Thread(target=tail.run, args=(made.records.append, stop), daemon=True)
    thread.start()
    yield made
    stop.set()
    for process in made.processes:
        process.kill()
        process.wait(10)
    thread.join(10)
    schemas.close()


def a_looped(clip: Path, **changes: Any) -> Camera:
    stream = StreamConfig(stream_type=StreamType.FILE, url=str(clip))
    made = a_camera(
        camera_id=f"cam_{uuid.uuid4()}", stream=stream, detection=a_detection_config(fps_limit=5.0)
    )
    return replace(made, **changes)


def captured(entries: list[LedgerEntry], outcome: str = "captured") -> set[tuple[int, int]]:
    return {
        (entry.epoch, number)
        for entry in entries
        if entry.outcome == outcome
        for each in entry.ranges
        for number in range(each.first, each.last + 1)
    }


def test_a_camera_is_read_published_accounted_for_and_closed(site: Site, clip: Path) -> None:
    camera = a_looped(clip)
    site.register(camera)
    process = site.start("camera-a")
    site.until(lambda: len(site.of(FrameCaptured, camera.camera_id)) >= 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    site.until(lambda: any(each.closes_epoch for each in site.of(LedgerEntry, camera.camera_id)))
    frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
    numbers = [each.frame.sequence_number for each in frames]
    assert numbers == list(range(len(frames)))
    assert (frames[0].image or b"").startswith(b"\xff\xd8")
    told = captured(site.of(LedgerEntry, camera.camera_id))
    assert told == {(each.frame.epoch, each.frame.sequence_number) for each in frames}
    states = [status.state for status in site.of(CameraStatus, camera.camera_id)]
    assert StreamState.LIVE in states
    assert states[-1] is StreamState.STOPPED
    words = [event.attributes["status"] for event in site.of(LogEvent, camera.camera_id)]
    assert words == ["connecting", "connected", "stopped"]


def test_changes_of_the_registry_are_followed(site: Site, clip: Path) -> None:
    camera = a_looped(clip)
    site.start("camera-a")
    site.register(camera)
    site.until(lambda: site.of(FrameCaptured, camera.camera_id))
    evidence = replace(
        camera, detection=a_detection_config(fps_limit=2.0, overload="all"), revision=1
    )
    site.register(evidence)
    site.until(
        lambda: any(
            each.frame.lane is Lane.EVIDENCE for each in site.of(FrameCaptured, camera.camera_id)
        )
    )
    assert len({each.frame.epoch for each in site.of(FrameCaptured, camera.camera_id)}) == 2
    missing = replace(evidence, stream=replace(camera.stream, url="/nowhere.mp4"), revision=2)
    site.register(missing)
    site.until(
        lambda: (
            (last := site.of(CameraStatus, camera.camera_id)[-1]).error_code == "not_found"
            and last.next_retry_at is not None
        )
    )
    site.delete(camera.camera_id)
    site.until(
        lambda: any(
            record.event is None and record.key == camera.camera_id for record in site.records
        )
    )


def test_when_an_owner_is_killed_another_replica_goes_on(site: Site, clip: Path) -> None:
    cameras = [a_looped(clip) for _ in range(4)]
    for camera in cameras:
        site.register(camera)
    first = site.start("camera-a")
    site.until(lambda: all(site.of(FrameCaptured, c.camera_id) for c in cameras))
    site.start("camera-b")
    first.kill()
    first.wait(10)

    def taken_over(camera: Camera) -> bool:
        statuses: list[CameraStatus] = site.of(CameraStatus, camera.camera_id)
        seen = [(status.instance_id, status.state) for status in statuses]
        return seen[-1:] == [("camera-b", StreamState.LIVE)]

    site.until(lambda: all(taken_over(camera) for camera in cameras))
    for camera in cameras:
        frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
        keys = [each.frame.frame_key for each in frames]
        assert len(keys) == len(set(keys))


def test_it_is_ready_once_it_knows_what_is_its_own(site: Site, clip: Path) -> None:
    camera = a_looped(clip)
    site.register(camera)
    site.start("camera-a")
    site.until(lambda: site.of(FrameCaptured, camera.camera_id))
    started = next(
        json.loads(line) for line in site.log("camera-a").splitlines() if "service_started" in line
    )
    port = started["metadata"]["health_port"]
    ready = httpx.get(f"http://127.0.0.1:{port}/ready", timeout=10)
    assert ready.json()["status"] == "ok"


def test_an_owner_that_was_suspended_lets_go_of_what_it_lost(site: Site, clip: Path) -> None:
    cameras = [a_looped(clip) for _ in range(4)]
    for camera in cameras:
        site.register(camera)
    first = site.start("camera-a")
    site.until(lambda: all(site.of(FrameCaptured, c.camera_id) for c in cameras))
    site.start("camera-b")
    first.send_signal(signal.SIGSTOP)

    def reporters(camera: Camera, since: int) -> set[str]:
        fresh = [record.event for record in list(site.records)[since:]]
        return {
            event.instance_id
            for event in fresh
            if isinstance(event, CameraStatus) and event.camera_id == camera.camera_id
        }

    site.until(lambda: all("camera-b" in reporters(camera, 0) for camera in cameras))
    first.send_signal(signal.SIGCONT)

    def each_has_one_owner() -> bool:
        since = len(site.records)
        time.sleep(3)
        return all(len(reporters(camera, since)) == 1 for camera in cameras)

    site.until(each_has_one_owner)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    for camera in cameras:
        frames: list[FrameCaptured] = site.of(FrameCaptured, camera.camera_id)
        keys = [each.frame.frame_key for each in frames]
        assert len(keys) == len(set(keys))
