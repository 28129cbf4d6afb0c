"""The aggregator as processes on a real broker and registry: kills, poison, rebalances."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.deadletters import read_dead_letter
from mesh.events import FrameRecognized, FrameResult, Outcome, Sighting
from mesh.kafka import KafkaProducer, create_topics
from mesh.kafka.vendor import record_of
from mesh.partitioning import partition_of
from mesh.record import Record
from mesh.registry import ConfluentRegistry, compatibility
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.testing import NOON, a_frame_header, a_frame_recognized
from mesh.topics import CATALOGUE
from mesh.tracing import TRACEPARENT, TraceContext

pytestmark = pytest.mark.integration

PARTITIONS = 4
CAMERAS = tuple(f"cam_00000000-0000-4000-8000-00000000000{number}" for number in range(4))
PATIENCE = 60
"""Seconds for one answer of the broker, or for a process to end."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {TRACEPARENT: str(TraceContext(TRACE, "00f067aa0ba902b7")).encode()}

SABOTAGED = """
import sys
from aggregator.main import main
from aggregator.stage import AggregatorStage
from aggregator.adapters.camera_table import CameraTable

process, save = AggregatorStage.process, CameraTable.save

def reduce(self, state, record, started_at):
    if record.event.frame.frame_id == "poison":
        raise ValueError("this frame cannot be reduced")
    return process(self, state, record, started_at)

def store(self, camera_id, state):
    if camera_id == {camera!r} and state.seen[-1].sequence == 3:
        raise OSError("the disk is full")
    return save(self, camera_id, state)

AggregatorStage.process, CameraTable.save = reduce, store
main()
"""

KILLED = """
import os, signal
from aggregator.main import main
from aggregator.stage import AggregatorStage

process = AggregatorStage.process

def reduce(self, state, record, started_at):
    if record.event.frame.sequence_number == 75:
        os.kill(os.getpid(), signal.SIGKILL)
    return process(self, state, record, started_at)

AggregatorStage.process = reduce
main()
"""
"""Is killed with half of a film behind it, and its last outputs on their way."""

REBALANCED = """
from aggregator.adapters.faust_transport import GuardedConsumer
from aggregator.main import main

fetch, batches = GuardedConsumer._wait_next_records, []

async def fetch_amid_a_rebalance(self, timeout):
    records, places = await fetch(self, timeout)
    if any(place.topic.endswith(".recognitions") for place in records or ()):
        batches.append(records)
        if len(batches) == 1:
            return {}, places
        if len(batches) == 2:
            await self.perform_seek()
    return records, places

GuardedConsumer._wait_next_records = fetch_amid_a_rebalance
main()
"""
"""Drops the first records and is about to deliver the next when it seeks, as in a rebalance."""


class Installation:
    """Topics and schemas of their own, and aggregators on them."""

    def __init__(self, kafka: str, registry: str, folder: Path) -> None:
        self.key = Cipher.new_key()
        self.settings = MeshSettings(
            kafka_bootstrap=kafka,
            registry_url=registry,
            topic_prefix=f"agg{uuid.uuid4().hex[:8]}.",
            partitions=PARTITIONS,
            session_timeout_ms=6000,
            secret_key=SecretStr(self.key),
        )
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        create_topics(self.settings)
        library, client = SchemaLibrary.packaged(), ConfluentRegistry(registry)
        for spec in CATALOGUE:
            if spec.records:
                subject = f"{self.topic(spec.name)}-value"
                client.register(subject, library.value_schema(spec), compatibility(spec))
        self.registry = client
        self.codec = AvroCodec(client, self.settings.topics, library)
        self.producer = KafkaProducer(kafka, instance_id="test")
        self.watermarks = Consumer({"bootstrap.servers": kafka, "group.id": "watermarks"})

    def topic(self, name: str) -> str:
        return f"{self.settings.topic_prefix}{name}"

    def start(self, name: str, script: str | None = None, **settings: str) -> None:
        """An aggregator with a folder of its own; `script` runs instead of its module."""
        environment = os.environ | {
            "SIGHTLINE_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "SIGHTLINE_REGISTRY_URL": self.settings.registry_url,
            "SIGHTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "SIGHTLINE_PARTITIONS": str(PARTITIONS),
            "SIGHTLINE_SESSION_TIMEOUT_MS": "6000",
            "SIGHTLINE_SECRET_KEY": self.key,
            "SIGHTLINE_INSTANCE_ID": name,
            "SIGHTLINE_HEALTH_PORT": "0",
            "SIGHTLINE_AGGREGATOR_DIR": str(self.folder / name),
            "SIGHTLINE_SIGHTING_GAP_S": "2",
            "SIGHTLINE_SILENCE_GRACE_S": "1",
            **settings,
        }
        what = ["-m", "aggregator"] if script is None else ["-c", script]
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *what], env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        self.watermarks.close()
        self.registry.close()

    def send(self, event: FrameRecognized) -> None:
        topic = self.topic("recognitions")
        data = self.codec.encode(topic, event)
        self.producer.produce(topic, event.frame.camera_id, data, HEADERS)

    def send_film(self, numbers: Sequence[int], cameras: Sequence[str] = CAMERAS) -> list[str]:
        """Frames of these numbers of every camera, five a second; returns their keys."""
        frames = [a_frame(camera, number) for number in numbers for camera in cameras]
        for frame in frames:
            self.send(frame)
        self.producer.flush(timedelta(seconds=PATIENCE))
        return [frame.frame.frame_key for frame in frames]

    def count(self, name: str) -> int:
        """How many records are on a topic now."""
        ends = [
            self.watermarks.get_watermark_offsets(
                TopicPartition(self.topic(name), number), timeout=PATIENCE
            )[1]
            for number in range(PARTITIONS)
        ]
        return sum(ends)

    def read(self, name: str) -> list[Record[bytes | None]]:
        """Everything that is on a topic now."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "group.id": uuid.uuid4().hex,
                "enable.auto.commit": False,
                "enable.partition.eof": False,
            }
        )
        found: list[Record[bytes | None]] = []
        try:
            places = [TopicPartition(self.topic(name), number, 0) for number in range(PARTITIONS)]
            ends = {
                place.partition: consumer.get_watermark_offsets(place, timeout=PATIENCE)[1]
                for place in places
            }
            consumer.assign(places)
            while len(found) < sum(ends.values()):
                message = consumer.poll(PATIENCE)
                assert message is not None
                assert message.error() is None
                found.append(record_of(message))
        finally:
            consumer.close()
        return found

    def events(self, name: str) -> list[Any]:
        topic = self.topic(name)
        return [self.codec.decode(topic, each.event or b"") for each in self.read(name)]

    def results(self) -> dict[str, list[FrameResult]]:
        found: dict[str, list[FrameResult]] = {}
        for result in self.events("results"):
            found.setdefault(result.frame.frame_key, []).append(result)
        return found

    def has_results_of(self, keys: Collection[str]) -> None:
        """Waits for a result of each of these frames, and of no other."""
        try:
            eventually(lambda: set(self.results()) == set(keys))
        except AssertionError:
            found = set(self.results())
            missing = [index for index, key in enumerate(keys) if key not in found]
            raise AssertionError(f"{len(found)} results; missing {missing[:20]}") from None


def a_frame(camera: str, number: int, frame_id: str | None = None) -> FrameRecognized:
    moment = NOON + timedelta(milliseconds=200 * number)
    header = a_frame_header(
        camera_id=camera,
        sequence_number=number,
        camera_timestamp=moment,
        received_timestamp=moment,
        frame_id=frame_id,
    )
    return a_frame_recognized(frame=header)


def with_picture(frame: FrameRecognized, image: bytes) -> FrameRecognized:
    [one] = frame.faces
    assert one.face.chip is not None
    chip = replace(one.face.chip, image=image)
    return replace(frame, faces=(replace(one, face=replace(one.face, chip=chip)),))


def eventually(holds: Callable[[], bool], within: float = 180) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.3)


@pytest.fixture
def installation(kafka: str, registry: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka, registry, tmp_path)
    try:
        yield made
    finally:
        made.stop()
        for log in tmp_path.glob("*.log"):
            print(log.name, log.read_text()[-4000:])  # noqa: T201 -- shown when a test fails


def test_every_frame_has_one_result_silence_closes_and_forgets_and_a_stop_drains(
    installation: Installation,
) -> None:
    keys = installation.send_film(range(20))
    # A busy machine holds a heartbeat up for seconds: the rebalance would repeat some bytes.
    patient = {"SIGHTLINE_SESSION_TIMEOUT_MS": "60000"}
    installation.start("one", SIGHTLINE_FORGET_AFTER_DAYS="0.00001", **patient)
    installation.has_results_of(keys)
    assert set(map(len, installation.results().values())) == {1}

    def all_closed() -> bool:
        last = {each.sighting_id: each for each in installation.events("sightings")}
        return len(last) == len(CAMERAS) and all(each.closed for each in last.values())

    eventually(all_closed)
    for record in installation.read("results"):
        assert record.key is not None
        assert record.partition == partition_of(record.key, PARTITIONS)
        assert TRACE.encode() in record.headers[TRACEPARENT]

    def forgotten() -> bool:
        changelog = installation.read("aggregator-cameras-changelog")
        newest = {record.key: record.event for record in changelog}
        return len(newest) == len(CAMERAS) and not any(newest.values())

    eventually(forgotten)
    keys += installation.send_film([20])
    eventually(lambda: set(installation.results()) == set(keys) and forgotten())
    done = installation.count("results")
    installation.send_film(range(21, 121))
    eventually(lambda: installation.count("results") > done)
    installation.processes["one"].terminate()
    assert installation.processes["one"].wait(PATIENCE) == 0
    assert set(map(len, installation.results().values())) == {1}


def test_no_partition_waits_until_all_that_waits_in_another_is_done(
    installation: Installation,
) -> None:
    """As after an outage; a partition that does not move for a minute ends the process."""
    both = CAMERAS[:2]
    random = Random(1)
    for number in range(400):  # with pictures, which do not compress, and one of a crowd
        for camera in both:
            image = random.randbytes(3000 if number else 600_000)
            installation.send(with_picture(a_frame(camera, number), image))
        if number % 8 == 7:  # each request is a batch, and batches come whole
            installation.producer.flush(timedelta(seconds=PATIENCE))
    installation.start("one")
    eventually(lambda: installation.count("results") >= 400 * len(both))
    moments: dict[str | None, list[datetime]] = {}
    for record in installation.read("results"):
        assert record.timestamp is not None
        moments.setdefault(record.key, []).append(record.timestamp)
    one, other = (sorted(moments[camera]) for camera in both)
    assert one[0] < other[200]
    assert other[0] < one[200]


def test_a_kill_in_the_middle_loses_and_doubles_nothing(installation: Installation) -> None:
    keys = installation.send_film(range(150))
    installation.start("one", KILLED)
    assert installation.processes["one"].wait(3 * PATIENCE) == -signal.SIGKILL
    assert installation.count("results") < len(keys)
    keys += installation.send_film(range(150, 200))
    installation.start("one")
    installation.has_results_of(keys)
    check_sightings(installation)


def test_what_a_rebalance_drops_before_the_first_commit_is_read_again_in_order(
    installation: Installation,
) -> None:
    keys = installation.send_film(range(30))
    installation.start("one", REBALANCED)
    installation.has_results_of(keys)
    check_sightings(installation, frames=30)


def test_a_second_instance_takes_over_from_a_killed_one(installation: Installation) -> None:
    keys = installation.send_film(range(50))
    installation.start("one")
    installation.has_results_of(keys)
    installation.start("two")
    for second in range(50, 150, 5):
        keys += installation.send_film(range(second, second + 5))
        time.sleep(0.5)
    installation.has_results_of(keys)
    installation.kill("one")
    keys += installation.send_film(range(150, 200))
    installation.has_results_of(keys)
    check_sightings(installation)
    stages = {result[0].stages[-1].instance_id for result in installation.results().values()}
    assert stages == {"one", "two"}


def check_sightings(installation: Installation, frames: int = 200) -> None:
    """Every camera has one sighting with all of its frames, revision by revision."""

    def complete() -> bool:
        newest = max_revisions(installation.events("sightings"))
        return [each.frame_count for each in newest] == [frames] * len(CAMERAS)

    eventually(complete)
    sightings: list[Sighting] = installation.events("sightings")
    contents = {(each.sighting_id, each.revision, repr(each)) for each in sightings}
    assert max(Counter((name, revision) for name, revision, _ in contents).values()) == 1
    revisions: dict[str, set[int]] = {}
    for each in sightings:
        revisions.setdefault(each.sighting_id, set()).add(each.revision)
    assert all(found == set(range(len(found))) for found in revisions.values())


def max_revisions(sightings: Sequence[Sighting]) -> list[Sighting]:
    newest: dict[str, Sighting] = {}
    for each in sightings:
        known = newest.setdefault(each.sighting_id, each)
        if each.revision >= known.revision:
            newest[each.sighting_id] = each
    return list(newest.values())


def test_poison_is_failed_and_the_partition_moves_on(installation: Installation) -> None:
    camera = CAMERAS[0]
    installation.start("one", SABOTAGED.format(camera=""))
    installation.send(a_frame(camera, 0))
    installation.send(a_frame(camera, 1, frame_id="poison"))
    installation.producer.produce(installation.topic("recognitions"), camera, b"no Avro", HEADERS)
    keys = installation.send_film([2, 3], [camera])
    poisoned = a_frame(camera, 1).frame.frame_key
    eventually(lambda: {*keys, poisoned} <= set(installation.results()))
    eventually(lambda: installation.count("dead-letters") >= 2 and installation.count("events") > 0)
    (result,) = installation.results()[poisoned]
    assert (result.outcome, result.reason) == (Outcome.FAILED, "poison")
    letters = [
        read_dead_letter(record, Cipher(SecretStr(installation.key)))
        for record in installation.read("dead-letters")
    ]
    assert [letter.sequence_number for letter in letters] == [1, None]
    assert letters[0].reason.startswith("poison")
    assert letters[1].value == b"no Avro"
    (event,) = installation.events("events")
    assert event.event_type == "frame_poisoned"


def test_any_other_failure_ends_the_process_and_the_record_comes_again(
    installation: Installation,
) -> None:
    camera = CAMERAS[0]
    keys = installation.send_film(range(6), [camera])
    installation.start("one", SABOTAGED.format(camera=camera))
    assert installation.processes["one"].wait(3 * PATIENCE) == 1
    assert "the disk is full" in installation.log("one").read_text()
    failed = a_frame(camera, 3).frame.frame_key
    assert failed not in installation.results()
    installation.start("one")
    installation.has_results_of(keys)
    (sighting,) = max_revisions(installation.events("sightings"))
    assert sighting.first_frame_key == keys[0]


def test_health_says_when_it_is_ready(installation: Installation) -> None:
    installation.start("one")

    def port() -> int | None:
        for line in installation.log("one").read_text().splitlines():
            if '"health_port": ' in line:
                return int(line.split('"health_port": ')[1].split("}")[0])
        return None

    eventually(lambda: port() is not None)
    url = f"http://127.0.0.1:{port()}"

    def answer(path: str) -> int:
        return httpx2.get(f"{url}/{path}", timeout=PATIENCE).status_code

    eventually(lambda: answer("ready") == httpx2.codes.OK)
    assert answer("live") == httpx2.codes.OK


def test_a_missing_key_for_dead_letters_refuses_the_start(installation: Installation) -> None:
    installation.key = ""
    installation.start("one")
    assert installation.processes["one"].wait(3 * PATIENCE) == 78
    assert "SIGHTLINE_SECRET_KEY" in installation.log("one").read_text()
