"""A whole installation of topics of its own, and roles of results as processes on it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from local.network import free_ports
from mesh.claims import ClaimChecks
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.events import FrameCaptured
from mesh.kafka import EventProducer, KafkaConsumer, create_topics
from mesh.record import RawRecord, TopicPartition
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.topics import CATALOGUE

SECRET = Cipher.new_key()


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a test's topics, tables and objects are."""

    environment: Mapping[str, str]
    settings: MeshSettings
    database: str
    codec: AvroCodec
    logs: Path

    def publish(self, *events: tuple[str, str, Any]) -> None:
        """Publish events by catalogue name and key; `None` is a tombstone."""
        producer = EventProducer(self.settings, self.codec)
        for topic, key, event in events:
            producer.send(Output(self.settings.topics(topic), key, event))
        producer.flush()

    def picture(self, frame: FrameCaptured) -> bytes:
        """A frame's picture, wherever it lies."""
        if frame.image_ref is not None:
            return ClaimChecks(self.environment["SIGHTLINE_OBJECTS_URL"]).load(frame.image_ref)
        return frame.image or b""

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, arguments or None).fetchall()

    def read(self, topic: str, wanted: int) -> list[RawRecord]:
        """The first records of a topic, as soon as there are so many."""
        consumer = KafkaConsumer(
            self.settings.kafka_bootstrap,
            self.settings.group("test"),
            instance_id="test",
            session_timeout=timedelta(seconds=45),
            answer_timeout=timedelta(seconds=60),
        )
        names = [self.settings.topics(topic)]
        consumer.subscribe(names, on_assign=_ignore, on_revoke=_ignore, on_lost=_ignore)
        found: list[RawRecord] = []

        def enough() -> bool:
            found.extend(consumer.poll_batch(100, timedelta(seconds=1)))
            return len(found) >= wanted

        eventually(enough)
        consumer.close()
        return found

    def remember_frames(self) -> None:
        """Frame identifiers are forgotten after five seconds, which a busy machine may take."""
        with psycopg.connect(self.database) as connection:
            connection.execute(
                "UPDATE results.frame_dedup SET expires_at = now() + interval '1 hour'"
            )

    @contextmanager
    def role(
        self, name: str, *, ready: bool = True, port: int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The role as a process; it is ready on entry, and gone after the block."""
        (port,) = (port,) if port else free_ports(1)
        environment = {
            **os.environ,
            **self.environment,
            "SIGHTLINE_HEALTH_PORT": str(port),
            "SIGHTLINE_INSTANCE_ID": f"{name}-{port}",
        }
        with (self.logs / f"{name}-{port}.log").open("wb") as log:
            command = [sys.executable, "-m", "results", name]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                if ready:
                    eventually(lambda: _ready(process, port))
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        assert process.wait(120) == 0, f"see {log.name}"
                    finally:
                        process.kill()


@contextmanager
def install(*, kafka: str, registry: str, database: str, folder: Path) -> Iterator[Installation]:
    """Create topics and schemas under a prefix of their own."""
    environment = {
        "SIGHTLINE_KAFKA_BOOTSTRAP": kafka,
        "SIGHTLINE_REGISTRY_URL": registry,
        "SIGHTLINE_DATABASE_URL": database,
        "SIGHTLINE_OBJECTS_URL": f"file://{folder / 'objects'}",
        "SIGHTLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}.",
        "SIGHTLINE_PARTITIONS": "2",
        "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
        "SIGHTLINE_SECRET_KEY": SECRET,
    }
    settings = MeshSettings.model_validate(
        {key.removeprefix("SIGHTLINE_").lower(): value for key, value in environment.items()}
    )
    library = SchemaLibrary.packaged()
    connection = ConfluentRegistry(registry)
    for spec in CATALOGUE:
        schema = library.value_schema(spec)
        if schema is not None:
            subject = f"{settings.topics(spec.name)}-value"
            connection.register(subject, schema, compatibility(spec))
    create_topics(settings)
    codec = AvroCodec(connection, settings.topics, library)
    yield Installation(environment, settings, database, codec, folder)
    connection._client.close()


def eventually(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    """Return once the condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


def _ignore(_: Collection[TopicPartition]) -> None:
    """Whatever the group is given is read."""


def _ready(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, f"the process ended with {process.returncode}"
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/ready", timeout=30).is_success
    except httpx2.TransportError:
        return False
