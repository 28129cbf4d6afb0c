"""The service as a process on a real broker, registry and database, with dlib's model."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Consumer
from pydantic import SecretStr
from services.recognition.tests.arranging import a_frame, a_photo, per
from services.recognition.tests.forwarder import Forwarder
from services.recognition.tests.test_commands import erase, update
from services.recognition.tests.test_embedders import (
    ADMIRAL,
    ASTRONAUT,
    admiral,
    astronaut,
    chip,
    dimmed,
)

from local.network import free_ports
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.events import (
    Answer,
    DetectedFace,
    ErasureReport,
    FrameRecognized,
    Lane,
    LogEvent,
    ModelStatus,
    Outcome,
    Person,
    Purpose,
    SwitchModel,
)
from mesh.kafka import EventProducer, create_topics
from mesh.record import Record
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.testing import a_detected_face, a_frame_header, a_request
from mesh.topics import CATALOGUE

E = TypeVar("E")
PATIENCE = 180.0
READ = ("recognitions", "answers", "persons", "erasures", "model-status", "events")


class Installation:
    """Topics, schemas and a database of their own, and recognition on them."""

    def __init__(self, kafka: str, registry: str, dsn: str, folder: Path) -> None:
        self.settings = MeshSettings(
            kafka_bootstrap=kafka,
            registry_url=registry,
            topic_prefix=f"rec{uuid.uuid4().hex[:8]}.",
            partitions=2,
            session_timeout_ms=6000,
            secret_key=SecretStr(Cipher.new_key()),
        )
        self._dsn = dsn
        self._log = (folder / "log").open("ab")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        create_topics(self.settings)
        library, client = SchemaLibrary.packaged(), ConfluentRegistry(registry)
        for spec in CATALOGUE:
            if spec.records:
                subject = f"{self.settings.topics(spec.name)}-value"
                client.register(subject, library.value_schema(spec), compatibility(spec))
        self._registry = client
        self._codec = AvroCodec(client, self.settings.topics, library)
        self._producer = EventProducer(self.settings, self._codec)
        self._publishing = threading.Lock()
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka,
                "group.id": "test",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([self.settings.topics(name) for name in READ])
        self.seen: list[tuple[str, str, Any]] = []

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        wait_for(lambda: not self.problems(), PATIENCE, self.log)

    def launch(self) -> None:
        """Start the process."""
        (self._port,) = free_ports(1)
        key = self.settings.secret_key
        environment = {
            "SIGHTLINE_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "SIGHTLINE_REGISTRY_URL": self.settings.registry_url,
            "SIGHTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
            "SIGHTLINE_SECRET_KEY": key.get_secret_value() if key else "",
            "SIGHTLINE_DATABASE_URL": self._dsn,
            "SIGHTLINE_MODEL_PACK": "dlib",
            "SIGHTLINE_HEALTH_PORT": str(self._port),
            "SIGHTLINE_INSTANCE_ID": "recognition-0",
        }
        self._process = run_recognition(environment, self._log)

    def kill(self) -> None:
        """End the process as if the machine failed."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def stop(self) -> int:
        """End the process in order; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._consumer.close()
        self._registry.close()
        self._log.close()

    def send(self, topic: str, key: str, event: Any) -> None:
        with self._publishing:
            self._producer.send(Output(self.settings.topics(topic), key, event))
            self._producer.flush(timedelta(seconds=60))

    def switch(self, model_id: str) -> None:
        """Command another model."""
        command = SwitchModel(
            model_id=model_id,
            task="face-recognition",
            requested_by="usr_1",
            requested_at=datetime.now(UTC),
        )
        self.send("model.commands", model_id, command)

    def frame(self, record: Record[Any]) -> None:
        self.send("detections", record.event.frame.camera_id, record.event)

    def wait(self, kind: type[E], wanted: Callable[[E], bool]) -> E:
        """The first event of this kind that is wanted, whenever it came."""
        found: list[E] = []

        def look() -> bool:
            self.read()
            found.extend(
                event for _, _, event in self.seen if isinstance(event, kind) and wanted(event)
            )
            return bool(found)

        wait_for(look, PATIENCE, self.log)
        return found[0]

    def tombstone(self, topic: str, key: str) -> None:
        """Wait for one."""

        def look() -> bool:
            self.read()
            return (self.settings.topics(topic), key, None) in self.seen

        wait_for(look, PATIENCE, self.log)

    def log(self) -> str:
        return (self._folder / "log").read_text()[-4000:]

    def read(self) -> None:
        """Take what was published since the last time."""
        while (message := self._consumer.poll(0.2)) is not None:
            if message.error() is None:
                topic, value = str(message.topic()), message.value()
                event = None if value is None else self._codec.decode(topic, bytes(value))
                self.seen.append((topic, (message.key() or b"").decode(), event))

    def problems(self) -> dict[str, str]:
        """What the living process says that it lacks."""
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            try:
                connection.request("GET", "/ready")
                with connection.getresponse() as response:
                    body: dict[str, Any] = json.loads(response.read())
            except OSError:
                return {"http": "not listening"}
        problems: dict[str, str] = body.get("problems", {})
        return problems


def run_recognition(environment: dict[str, str], log: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "recognition"],
        env=os.environ | environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def wait_for(condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)


@pytest.fixture
def installation(kafka: str, registry: str, dsn: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka, registry, dsn, tmp_path)
    yield made
    made.close()


def face(picture: Any, points: Any) -> DetectedFace:
    return a_detected_face(chip=chip(picture, points), track_id=None)


def decided(installation: Installation, record: Record[Any]) -> tuple[str, str | None]:
    """Send a frame that does not age; why and who its face is."""
    event = record.event
    later = datetime.now(UTC) + timedelta(hours=1)
    young = replace(event, frame=replace(event.frame, received_timestamp=later))
    installation.frame(replace(record, event=young))
    key = event.frame.frame_key
    frame = installation.wait(FrameRecognized, lambda event: event.frame.frame_key == key)
    decision = frame.faces[0].decision
    assert decision is not None
    return decision.reason, decision.person_id


@pytest.mark.integration
def test_a_person_is_enrolled_recognised_renamed_and_erased_across_a_kill(
    installation: Installation,
) -> None:
    installation.start()
    photo = a_photo(face(astronaut(), ASTRONAUT))
    request = photo.event.request
    assert request is not None
    installation.frame(photo)
    first = installation.wait(Answer, lambda answer: answer.request_id == request.request_id)
    assert (first.status, first.message) == ("success", "The face is enrolled.")
    assert installation.wait(Person, lambda person: person.revision == 1).name == "Ada Lovelace"

    seen = a_frame(face(dimmed(astronaut()), ASTRONAUT), sequence=1)
    assert decided(installation, seen) == ("matched", per(1))
    assert decided(installation, a_frame(face(admiral(), ADMIRAL), sequence=2)) == (
        "below_threshold",
        None,
    )
    status = installation.wait(ModelStatus, lambda status: status.state == "available")
    assert (status.service, status.pack, status.threshold) == ("recognition", "dlib", 0.925)

    installation.kill()
    installation.send("gallery.commands", per(1), update(name="Eileen"))
    installation.frame(photo)
    installation.start()
    installation.wait(Answer, lambda answer: answer.request_id == "req_u")
    renamed = installation.wait(Person, lambda person: person.revision == 2)
    assert (renamed.name, len(renamed.faces)) == ("Eileen", 1)

    again = replace(photo.event, frame=replace(photo.event.frame))
    installation.send("detections", again.frame.camera_id, again)
    assert decided(installation, a_frame(face(astronaut(), ASTRONAUT), sequence=3))[0] == "matched"
    answers = {
        event
        for _, _, event in installation.seen
        if isinstance(event, Answer) and event.request_id == request.request_id
    }
    assert answers == {first}

    installation.send("gallery.commands", per(1), erase())
    installation.tombstone("persons", per(1))
    report = installation.wait(ErasureReport, lambda report: report.person_id == per(1))
    assert (report.counts["samples"], report.counts["templates"]) == (1, 1)
    assert decided(installation, a_frame(face(astronaut(), ASTRONAUT), sequence=4)) == (
        "empty_gallery",
        None,
    )
    assert installation.stop() == 0


@pytest.mark.integration
def test_another_model_takes_over_once_it_knows_everybody_and_outlives_a_restart(
    installation: Installation,
) -> None:
    if not os.environ.get("SIGHTLINE_MODELS_DIR"):
        pytest.skip("SIGHTLINE_MODELS_DIR is not set: no second model with thresholds here")
    installation.start()
    installation.frame(a_photo(face(astronaut(), ASTRONAUT)))
    installation.wait(Person, lambda person: person.revision == 1)
    installation.switch("omz-face-reid-0095")
    told = installation.wait(LogEvent, lambda event: event.event_type == "model_switched")
    assert told.attributes["serving_before"] == "dlib-resnet-v1"
    assert recognised_by(installation, 1) == ("matched", per(1), "omz-face-reid-0095")
    installation.kill()
    installation.start()
    assert recognised_by(installation, 2) == ("matched", per(1), "omz-face-reid-0095")
    assert installation.stop() == 0


@pytest.mark.integration
def test_a_model_without_thresholds_or_files_is_refused_and_the_old_one_goes_on(
    installation: Installation,
) -> None:
    installation.start()
    installation.switch("mobilefacenet-unknown")
    refused = installation.wait(LogEvent, lambda event: "refused" in event.event_type)
    assert "there is no model mobilefacenet-unknown" in refused.message
    installation.frame(a_photo(face(astronaut(), ASTRONAUT)))
    installation.wait(Person, lambda person: person.revision == 1)
    assert recognised_by(installation, 1) == ("matched", per(1), "dlib-resnet-v1")
    assert installation.stop() == 0


def recognised_by(installation: Installation, sequence: int) -> tuple[str, str | None, str]:
    """Why and who the astronaut of a frame is, and which model said so."""
    decision = decided(installation, a_frame(face(astronaut(), ASTRONAUT), sequence=sequence))
    frame = recognized(installation, sequence)
    return *decision, frame.models[-1].model_id


@pytest.fixture
def line(dsn: str) -> Iterator[Forwarder]:
    """The way to the database, cut."""
    url = urlsplit(dsn)
    forwarder = Forwarder(str(url.hostname), int(url.port or 5432))
    yield forwarder
    forwarder.close()


@pytest.fixture
def distant(
    kafka: str, registry: str, dsn: str, line: Forwarder, tmp_path: Path
) -> Iterator[Installation]:
    """An installation with a database at the end of the line."""
    url = urlsplit(dsn)
    made = Installation(
        kafka, registry, url._replace(netloc=f"postgres@127.0.0.1:{line.port}").geturl(), tmp_path
    )
    yield made
    made.close()


def pushed(sequence: int, deadline: datetime) -> Record[Any]:
    """A frame that a client waits for."""
    header = a_frame_header(
        sequence_number=sequence,
        lane=Lane.REQUEST,
        purpose=Purpose.PROCESS_FRAME,
        deadline=deadline,
    )
    return a_frame(face(astronaut(), ASTRONAUT), frame=header, request=a_request())


def recognized(installation: Installation, sequence: int) -> FrameRecognized:
    """What became of the frame of this number."""
    key = a_frame_header(sequence_number=sequence).frame_key
    return installation.wait(FrameRecognized, lambda event: event.frame.frame_key == key)


@pytest.mark.integration
def test_a_database_that_goes_away_is_waited_for(distant: Installation, line: Forwarder) -> None:
    distant.launch()
    wait_for(lambda: "database" in distant.problems(), PATIENCE, distant.log)
    line.mend()
    wait_for(lambda: not distant.problems(), PATIENCE, distant.log)
    distant.frame(a_photo(face(astronaut(), ASTRONAUT)))
    distant.wait(Person, lambda person: person.revision == 1)

    line.cut()
    wait_for(lambda: {"database", "gallery"} <= set(distant.problems()), PATIENCE, distant.log)
    live = a_frame(face(astronaut(), ASTRONAUT), sequence=1)
    header = a_frame_header(sequence_number=2, lane=Lane.EVIDENCE)
    evidence = a_frame(face(astronaut(), ASTRONAUT), frame=header)
    in_time = datetime.now(UTC) + timedelta(seconds=3)
    for record in (evidence, live, pushed(3, in_time)):
        distant.frame(record)
    distant.send("gallery.commands", per(1), update(name="Eileen"))
    for sequence, reason in ((1, "gallery"), (3, "deadline")):
        frame = recognized(distant, sequence)
        assert (frame.outcome, frame.reason) == (Outcome.SHED, reason)
    assert {"database", "gallery"} <= set(distant.problems())

    line.mend()
    frame = recognized(distant, 2)
    assert frame.outcome is Outcome.PROCESSED
    assert frame.faces[0].decision is not None
    assert frame.faces[0].decision.person_id == per(1)
    assert distant.wait(Answer, lambda answer: answer.request_id == "req_u").status == "success"
    wait_for(lambda: not distant.problems(), PATIENCE, distant.log)
    assert distant.stop() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SIGHTLINE_MODEL_PACK": "yunet-omz"}, "face-reidentification-retail-0095.xml"),
        ({"SIGHTLINE_DATABASE_URL": "mysql://somewhere"}, "SIGHTLINE_DATABASE_URL"),
        ({"SIGHTLINE_FUSION_FRAMES": "0"}, "SIGHTLINE_FUSION_FRAMES"),
    ],
)
def test_a_start_that_cannot_succeed_is_refused_by_name(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    environment = {
        "SIGHTLINE_MODEL_PACK": "dlib",
        "SIGHTLINE_MODELS_DIR": str(tmp_path),
        "SIGHTLINE_MODELS_CACHE": str(tmp_path),
        "SIGHTLINE_SECRET_KEY": Cipher.new_key(),
    }
    with (tmp_path / "log").open("wb") as log:
        process = run_recognition(environment | changes, log)
        assert process.wait(PATIENCE) == 78
    assert words in (tmp_path / "log").read_text()
