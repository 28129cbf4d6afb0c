"""Poison, dead letter, list, replay, processed: on the real broker, by the command."""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from mesh.cli import main
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.events import FrameCaptured
from mesh.health import Health
from mesh.kafka import EventProducer, build_worker, create_topics
from mesh.record import Record
from mesh.scheduler import LaneSpec
from mesh.settings import MeshSettings
from mesh.stage import Emit, Output, Reject
from mesh.testing import a_frame_captured, a_frame_header
from mesh.tracing import TRACEPARENT

pytestmark = pytest.mark.integration

PATIENCE = 180.0
KEY = Cipher.new_key()
TRACE = {TRACEPARENT: f"00-{'a' * 32}-{'b' * 16}-01".encode()}


class Repaired:
    """A stage that refuses every frame until it is repaired."""

    def __init__(self) -> None:
        self.broken = True
        self.seen = threading.Semaphore(0)
        self.processed: list[Record[FrameCaptured]] = []

    def process(self, batch: Sequence[Record[FrameCaptured]]) -> Sequence[Emit | Reject]:
        if not self.broken:
            self.processed.extend(batch)
        for _ in batch:
            self.seen.release()
        return [Reject("bad_lens: of tomorrow") if self.broken else Emit() for _ in batch]

    def give_up(
        self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        return [Reject(f"{outcome}: {reason}") for _ in batch]


@pytest.fixture
def settings(kafka: str, monkeypatch: pytest.MonkeyPatch) -> MeshSettings:
    prefix = f"test-{uuid.uuid4().hex[:8]}."
    for name, value in {
        "KAFKA_BOOTSTRAP": kafka,
        "TOPIC_PREFIX": prefix,
        "PARTITIONS": "2",
        "SECRET_KEY": KEY,
        "SESSION_TIMEOUT_MS": "45000",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    made = MeshSettings(
        kafka_bootstrap=kafka,
        topic_prefix=prefix,
        partitions=2,
        secret_key=SecretStr(KEY),
        session_timeout_ms=45_000,
    )
    create_topics(made)
    return made


@contextmanager
def working(settings: MeshSettings, stage: Repaired) -> Iterator[None]:
    stop = threading.Event()
    worker = build_worker(
        settings,
        stage=stage,
        group="repair",
        lanes=[LaneSpec(name="request", topics=(settings.topics("frames.request"),))],
        codec=AvroCodec.in_memory(settings.topics),
        health=Health(),
        stop=stop,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def publish(settings: MeshSettings, count: int) -> None:
    producer = EventProducer(settings, AvroCodec.in_memory(settings.topics))
    for number in range(count):
        frame = a_frame_captured(frame=a_frame_header(sequence_number=number))
        topic = settings.topics("frames.request")
        producer.send(Output(topic, frame.frame.camera_id, frame, TRACE))
    producer.flush()


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    main(["deadletters", *arguments])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_poisoned_record_is_listed_replayed_and_processed(
    settings: MeshSettings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stage = Repaired()
    publish(settings, 2)
    with working(settings, stage):
        for _ in range(2):
            assert stage.seen.acquire(timeout=PATIENCE)
    found = command(capsys, "list", "--reason", "bad_lens", "--since", "1h")
    assert [each["origin"].rpartition(":")[2] for each in found] == ["0", "1"]
    assert {each["service"] for each in found} == {"repair"}

    main(["deadletters", "show", found[0]["letter"], "--output", str(tmp_path / "original")])
    shown = json.loads(capsys.readouterr().out)
    assert shown["bytes"] == len((tmp_path / "original").read_bytes()) > 100

    assert len(command(capsys, "replay", "--all", "--dry-run")) == 2
    assert len(command(capsys, "replay", found[0]["letter"])) == 1
    stage.broken = False
    with working(settings, stage):
        assert stage.seen.acquire(timeout=PATIENCE)
        assert [each["letter"] for each in command(capsys, "replay", "--topic", "frames.request")]
        assert stage.seen.acquire(timeout=PATIENCE)
        assert command(capsys, "replay", "--all") == []

    numbers = [record.event.frame.sequence_number for record in stage.processed]
    assert numbers == [0, 1]
    first = stage.processed[0]
    assert first.key == first.event.frame.camera_id
    assert first.headers["replay"].decode() == found[0]["letter"]
    assert first.headers[TRACEPARENT] == TRACE[TRACEPARENT]
    assert "reason" not in first.headers
    assert all(each["replayed"] for each in command(capsys, "list"))
    assert len(command(capsys, "replay", "--all", "--again", "--dry-run")) == 2


def test_nothing_goes_back_to_a_topic_that_is_gone(
    settings: MeshSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Repaired()
    publish(settings, 1)
    with working(settings, stage):
        assert stage.seen.acquire(timeout=PATIENCE)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    topic = settings.topics("frames.request")
    admin.delete_topics([topic])[topic].result()
    until = time.monotonic() + PATIENCE
    while topic in admin.list_topics(timeout=PATIENCE).topics:
        assert time.monotonic() < until, "the broker keeps it"

    for extra in ((), ("--dry-run",)):
        with pytest.raises(SystemExit, match="no such topic any more"):
            main(["deadletters", "replay", "--all", *extra])
    assert [each["replayed"] for each in command(capsys, "list")] == [False]
    with pytest.raises(SystemExit, match="no such letter: 0:99"):
        main(["deadletters", "show", "0:99"])


@pytest.mark.usefixtures("settings")
def test_a_replay_names_what_it_wants() -> None:
    with pytest.raises(SystemExit, match="name letters"):
        main(["deadletters", "replay"])
