"""The camera service as processes on a real broker, and what they publish."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from services.camera.tests.patience import PATIENT

from mesh.codec import AvroCodec
from mesh.events import Camera, FrameCaptured, LedgerEntry, StreamConfig, StreamType
from mesh.kafka import EventProducer, KafkaTail, create_topics
from mesh.record import Record
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.testing import a_camera, a_detection_config
from mesh.topics import CATALOGUE


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

    def start(self, name: str, **settings: str) -> "subprocess.Popen[bytes]":
        environment = os.environ | {
            "SIGHTLINE_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "SIGHTLINE_REGISTRY_URL": self.settings.registry_url,
            "SIGHTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "SIGHTLINE_PARTITIONS": str(self.settings.partitions),
            "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
            "SIGHTLINE_INSTANCE_ID": name,
            "SIGHTLINE_STATUS_SECONDS": "0.5",
            "SIGHTLINE_LEDGER_SECONDS": "0.5",
            **{f"SIGHTLINE_{key.upper()}": value for key, value in settings.items()},
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

    def problems(self, name: str) -> dict[str, str]:
        """What keeps a process from being ready."""
        answer = httpx2.get(f"{self._address(name)}/ready", timeout=PATIENT).json()
        found: dict[str, str] = answer.get("problems", {})
        return found

    def metric(self, name: str, metric: str, **labels: str) -> float:
        """A metric of a process; 0 if it has none of this name and labels."""
        text = httpx2.get(f"{self._address(name)}/metrics", timeout=PATIENT).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"sightline_camera_{metric}" and sample.labels == labels
        )

    def _address(self, name: str) -> str:
        self.until(lambda: "service_started" in self.log(name))
        lines = self.log(name).splitlines()
        started = next(json.loads(line) for line in lines if "service_started" in line)
        return f"http://127.0.0.1:{started['metadata']['health_port']}"

    def of(self, kind: type, camera_id: str) -> list[Any]:
        return [
            record.event
            for record in list(self.records)
            if record.key == camera_id and isinstance(record.event, kind)
        ]

    def until(self, condition: Callable[[], object], seconds: float = 2 * PATIENT) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.05)


@contextmanager
def a_site(kafka: str, registry: str, folder: Path) -> Iterator[Site]:
    """An installation of its own on this broker and registry; its processes end with it."""
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
    made = Site(settings, AvroCodec(schemas, settings.topics, library), folder)
    stop = Event()
    names = ("frames.live", "frames.evidence", "camera-status", "events", "ledger")
    tail = KafkaTail(settings, made.codec, topics=[settings.topics(name) for name in names])
    thread = Thread(target=tail.run, args=(made.records.append, stop), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        for process in made.processes:
            process.kill()
            process.wait(PATIENT)
        thread.join(PATIENT)
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


def published(frames: list[FrameCaptured]) -> set[tuple[int, int]]:
    return {(each.frame.epoch, each.frame.sequence_number) for each in frames}


def closed(entries: list[LedgerEntry]) -> set[int]:
    """The epochs that were closed, each by its last entry and only once."""
    last = {entry.epoch: entry for entry in entries}
    closing = [entry.epoch for entry in entries if entry.closes_epoch]
    assert len(closing) == len(set(closing))
    assert all(last[epoch].closes_epoch for epoch in closing)
    return set(closing)
