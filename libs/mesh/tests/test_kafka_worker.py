import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition as VendorPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.deadletters import read_dead_letter
from mesh.errors import ConfigurationError, TransientError
from mesh.events import FrameDetected, Outcome
from mesh.kafka import EventProducer, KafkaConsumer, KafkaTail, create_topics
from mesh.kafka.progress import Mark
from mesh.partitioning import partition_of
from mesh.record import RawRecord, Record, TopicPartition
from mesh.settings import MeshSettings
from mesh.stage import Output
from mesh.testing import a_camera, a_frame_captured, a_frame_header

pytestmark = pytest.mark.integration

KEY = Cipher.new_key()
SCRIPT = Path(__file__).with_name("worker_process.py")
TICK = timedelta(milliseconds=100)
PATIENCE = 180.0
MORTAL = {"SIGHTLINE_SESSION_TIMEOUT_MS": "6000"}
"""The broker forgets soon who dies, and its members hear soon of each other; others keep their
partitions on the busiest machine."""


class Site:
    """Topics of one test on the real broker, and the processes that work on them."""

    def __init__(self, bootstrap: str, folder: Path, closing: ExitStack) -> None:
        self.log = folder / "log"
        self.settings = MeshSettings(
            kafka_bootstrap=bootstrap,
            topic_prefix=f"test-{uuid.uuid4().hex[:8]}.",
            partitions=2,
            session_timeout_ms=45_000,
            instance_id="site",
            secret_key=SecretStr(KEY),
        )
        self.topics = self.settings.topics
        self.codec = AvroCodec.in_memory(self.topics)
        self._closing = closing
        self._outputs: KafkaConsumer | None = None
        self._seen: list[FrameDetected] = []

    def frames(self, count: int, cameras: int = 4) -> None:
        producer = EventProducer(self.settings, self.codec)
        topic = self.topics("frames.request")
        for number in range(count):
            camera = f"cam_{number % cameras}"
            header = a_frame_header(camera_id=camera, sequence_number=number)
            producer.send(Output(topic, camera, a_frame_captured(frame=header)))
        producer.flush()

    def start(self, **environment: str) -> "subprocess.Popen[bytes]":
        settings = self.settings
        process = subprocess.Popen(  # the interpreter and script of this test
            [sys.executable, str(SCRIPT)],
            env={
                **os.environ,
                "SIGHTLINE_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
                "SIGHTLINE_TOPIC_PREFIX": settings.topic_prefix,
                "SIGHTLINE_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
                "SIGHTLINE_SECRET_KEY": KEY,
                "SIGHTLINE_STOP_SECONDS": "240",
                **environment,
            },
            stdout=self._closing.enter_context(self.log.open("ab")),
        )
        self._closing.callback(process.wait)
        self._closing.callback(process.kill)
        return process

    def outputs(self) -> list[FrameDetected]:
        topic = self.topics("detections")
        if self._outputs is None:
            self._outputs = self.reader(topic)
        for record in self._outputs.poll_batch(500, TICK):
            self._seen.append(self.codec.decode(topic, record.event or b""))
        return self._seen

    def numbers(self) -> set[int]:
        return {event.frame.sequence_number for event in self.outputs()}

    def delete_before(self, offset: int) -> None:
        """Delete the first records of the one camera's partition, as retention does."""
        topic = self.topics("frames.request")
        place = VendorPartition(topic, partition_of("cam_0", 2), offset)
        admin = AdminClient({"bootstrap.servers": self.settings.kafka_bootstrap})
        for deleted in admin.delete_records([place]).values():
            deleted.result()

    def letters(self) -> list[RawRecord]:
        return self._some(self.topics("dead-letters"))

    def events(self) -> list[RawRecord]:
        return self._some(self.topics("events"))

    def _some(self, topic: str) -> list[RawRecord]:
        reader = self.reader(topic)
        found: list[RawRecord] = []

        def some() -> bool:
            found.extend(reader.poll_batch(100, TICK))
            return bool(found)

        within(some)
        return found

    def reader(self, topic: str, group: str | None = None) -> KafkaConsumer:
        consumer = KafkaConsumer(
            self.settings.kafka_bootstrap,
            group or str(uuid.uuid4()),
            instance_id="test",
            session_timeout=self.settings.session_timeout,
            answer_timeout=timedelta(seconds=PATIENCE),
            config={"heartbeat.interval.ms": 1500},  # by which members hear of each other
        )
        self._closing.callback(consumer.close)
        consumer.subscribe([topic], on_assign=ignore, on_revoke=ignore, on_lost=ignore)
        return consumer


def ignore(_: object) -> None:
    pass


@contextmanager
def running(tail: KafkaTail, seen: list[Record[object]]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=tail.run, args=(seen.append, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def within(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"


@pytest.fixture
def site(kafka: str, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as closing:
        made = Site(kafka, tmp_path, closing)
        create_topics(made.settings)
        yield made


def test_no_record_is_lost_when_a_worker_is_killed_in_the_middle_of_a_batch(site: Site) -> None:
    site.frames(80)
    first = site.start(TEST_HANG="79", TEST_BATCH_SECONDS="600", **MORTAL)
    within(lambda: len(site.numbers()) >= 10)
    first.kill()
    first.wait()
    assert len(site.numbers()) < 80, "it was killed before it was done"
    site.start()
    within(lambda: site.numbers() == set(range(80)))
    assert {event.outcome for event in site.outputs()} == {Outcome.PROCESSED}


def test_a_record_that_kills_its_process_twice_is_given_up_and_the_partition_moves_on(
    site: Site,
) -> None:
    site.frames(12, cameras=1)
    for _ in range(2):
        assert site.start(TEST_POISON="5", **MORTAL).wait(PATIENCE) == -signal.SIGKILL
    last = site.start(TEST_POISON="5")
    within(lambda: site.numbers() == set(range(12)))
    ends = {e.frame.sequence_number: (e.outcome, e.reason) for e in site.outputs()}
    assert ends.pop(5) == (Outcome.FAILED, "poison")
    assert set(ends.values()) == {(Outcome.PROCESSED, None)}
    (raw,) = site.letters()
    letter = read_dead_letter(raw, Cipher(SecretStr(KEY)))
    assert letter.reason == "poison: ended its process 2 times"
    assert site.codec.decode(letter.origin.topic, letter.value or b"").frame.sequence_number == 5
    last.send_signal(signal.SIGTERM)
    assert last.wait(PATIENCE) == 0


def test_sigterm_finishes_the_batch_commits_and_ends(site: Site) -> None:
    site.frames(2000)
    process = site.start(TEST_SECONDS="0.05")
    within(lambda: len(site.numbers()) >= 8)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    topic = site.topics("frames.request")
    reader = site.reader(topic, site.settings.group("slow"))
    found = reader.committed([TopicPartition(topic, number) for number in range(2)])
    assert all('"running":false' in stored.metadata for stored in found.values())
    done = sum(stored.offset for stored in found.values())
    assert done < 2000, "it did not work on to the end"
    within(lambda: len(site.outputs()) >= done)
    assert len(site.outputs()) == len(site.numbers())


def test_workers_that_come_and_go_share_the_work_and_repeat_little(site: Site) -> None:
    site.frames(160, cameras=8)
    first = site.start(TEST_SECONDS="0.05", **MORTAL)
    within(lambda: len(site.numbers()) >= 8)
    second = site.start(TEST_SECONDS="0.05", **MORTAL)
    within(lambda: site.log.read_text().count("service_started") == 2)
    within(lambda: len(site.numbers()) >= 70)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    within(lambda: site.numbers() == set(range(160)))
    assert second.poll() is None
    assert len(site.outputs()) <= 160 + 2 * 64, "at most what was buffered is done again"


def test_sigterm_ends_a_worker_whose_broker_is_away_in_time(site: Site) -> None:
    process = site.start(SIGHTLINE_KAFKA_BOOTSTRAP="127.0.0.1:9", SIGHTLINE_STOP_SECONDS="10")
    within(lambda: "service_started" in site.log.read_text())
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)  # it waits for the broker
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_topics_are_created_once_as_the_catalogue_says(site: Site) -> None:
    assert create_topics(site.settings) == []
    other = site.settings.model_copy(update={"partitions": 3})
    with pytest.raises(ConfigurationError, match="has 2 partitions, SIGHTLINE_PARTITIONS is 3"):
        create_topics(other)


def test_a_tail_reads_a_table_to_its_end_and_then_follows(site: Site) -> None:
    topic = site.topics("cameras")
    producer = EventProducer(site.settings, site.codec)
    for number in range(5):
        producer.send(Output(topic, f"cam_{number}", a_camera(camera_id=f"cam_{number}")))
    producer.send(Output(topic, "cam_0", None))
    producer.flush()
    seen: list[Record[object]] = []
    tail = KafkaTail(site.settings, site.codec, topics=[topic])
    with running(tail, seen):
        assert tail.caught_up.wait(PATIENCE)
        assert len(seen) == 6
        assert [record.event for record in seen if record.key == "cam_0"][-1] is None
        producer.send(Output(topic, "cam_9", a_camera(camera_id="cam_9")))
        producer.flush()
        within(lambda: len(seen) == 7)


def test_a_tail_has_caught_up_with_what_was_there_however_much_comes_meanwhile(site: Site) -> None:
    """A partition that never rests has no end to be seen, only the one that it had."""
    topic, over = site.topics("cameras"), threading.Event()
    producer = EventProducer(site.settings, site.codec)
    sent: list[str] = []

    def produce() -> None:
        while not over.wait(0.01):
            producer.send(Output(topic, "cam_0", a_camera()), lambda _: sent.append("cam_0"))
            producer.flush()

    seen: list[Record[object]] = []
    tail = KafkaTail(site.settings, site.codec, topics=[topic])
    busy = threading.Thread(target=produce)
    busy.start()
    try:
        within(lambda: len(sent) > 10)
        with running(tail, seen):
            assert tail.caught_up.wait(PATIENCE)
            assert len(seen) >= 10
    finally:
        over.set()
        busy.join()


def test_a_tail_from_the_end_sees_only_what_comes_and_passes_over_what_it_cannot_read(
    site: Site,
) -> None:
    topic = site.topics("cameras")
    producer = EventProducer(site.settings, site.codec)
    producer.send(Output(topic, "old", a_camera()))
    producer.flush()
    seen: list[Record[object]] = []
    tail = KafkaTail(site.settings, site.codec, topics=[topic], start="end")
    with running(tail, seen):
        assert tail.caught_up.wait(PATIENCE)
        producer._producer.produce(topic, "new", b"no avro")
        producer.send(Output(topic, "new", a_camera()))
        producer.flush()
        within(lambda: len(seen) == 1)
    assert seen[0].key == "new"


def test_a_tail_decodes_only_what_is_worth_it(site: Site) -> None:
    topic = site.topics("cameras")
    producer = EventProducer(site.settings, site.codec)
    for key in ("cam_0", "cam_1"):
        producer.send(Output(topic, key, a_camera(camera_id=key)))
    producer.send(Output(topic, "cam_0", None))
    producer.flush()
    seen: list[Record[object]] = []
    tail = KafkaTail(
        site.settings, site.codec, topics=[topic], decodes=lambda raw: raw.key != "cam_0"
    )
    with running(tail, seen):
        assert tail.caught_up.wait(PATIENCE)
    events = {key: [each.event for each in seen if each.key == key] for key in ("cam_0", "cam_1")}
    assert events["cam_1"] == [a_camera(camera_id="cam_1")]
    encoded, tombstone = events["cam_0"]
    assert isinstance(encoded, bytes)
    assert site.codec.decode(topic, encoded) == a_camera(camera_id="cam_0")
    assert tombstone is None


def test_a_tail_of_a_topic_that_does_not_exist_says_so(site: Site) -> None:
    tail = KafkaTail(site.settings, site.codec, topics=["nowhere"])
    with pytest.raises(ConfigurationError, match="nowhere"):
        tail.run(ignore, threading.Event())


def test_a_publisher_tells_each_record_that_asked_how_it_went(site: Site) -> None:
    told: list[object] = []
    producer = EventProducer(site.settings, site.codec)
    producer.send(Output(site.topics("cameras"), "cam", a_camera()), told.append)
    producer.flush()
    assert told == [None]


def test_a_publisher_without_a_broker_says_that_it_may_be_tried_again(site: Site) -> None:
    settings = site.settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    producer = EventProducer(settings, site.codec)
    producer.send(Output(site.topics("cameras"), "cam", a_camera()))
    with pytest.raises(TransientError, match="unacknowledged"):
        producer.flush(timedelta(seconds=1))


def test_offsets_of_a_clean_end_are_taken_up_at_once(site: Site) -> None:
    site.frames(4, cameras=1)
    process = site.start()
    within(lambda: len(site.numbers()) == 4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    topic = site.topics("frames.request")
    reader = site.reader(topic, site.settings.group("slow"))
    places = [TopicPartition(topic, number) for number in range(2)]
    (stored,) = reader.committed(places).values()
    assert stored.offset == 4
    assert not Mark.parse(stored.metadata).running


def test_a_pause_ends_with_its_assignment(site: Site) -> None:
    site.frames(20, cameras=10)
    topic = site.topics("frames.request")
    group = str(uuid.uuid4())
    stays = site.reader(topic, group)
    within(lambda: _owned(stays) == 2)
    stays.pause(stays.assignment())
    visits = site.reader(topic, group)
    members = (stays, visits)
    within(lambda: [_owned(each) for each in members] == [1, 1])
    (visited,) = visits.assignment()
    visits.close()

    returned: list[RawRecord] = []

    def arrives() -> bool:
        returned.extend(stays.poll_batch(100, TICK))
        return bool(returned)

    within(arrives)
    assert {record.source for record in returned} == {visited}


def _owned(consumer: KafkaConsumer) -> int:
    consumer.poll_batch(1, TICK)
    return len(consumer.assignment())


def test_records_deleted_before_they_were_read_are_reported_once_and_work_goes_on(
    site: Site,
) -> None:
    site.frames(4, cameras=1)
    first = site.start()
    within(lambda: len(site.numbers()) == 4)
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0
    site.frames(10, cameras=1)
    site.delete_before(10)
    site.frames(12, cameras=1)
    second = site.start()
    within(lambda: site.numbers() == set(range(12)))
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE) == 0
    site.start()
    site.frames(13, cameras=1)
    within(lambda: site.numbers() == set(range(13)))
    (record,) = site.events()
    event = site.codec.decode(record.topic, record.event or b"")
    gap = event.attributes
    assert (event.event_type, record.key) == ("offset_gap", site.topics("frames.request"))
    assert (gap["first_missing"], gap["last_missing"]) == ("4", "9")
    assert gap["consumer_group"] == site.settings.group("slow")
    assert gap["since"] < gap["until"]


def test_a_batch_that_hangs_ends_its_process_and_at_last_only_its_record_fails(site: Site) -> None:
    site.frames(12, cameras=1)
    hang = {"TEST_HANG": "5", "TEST_BATCH_SECONDS": "3"}
    for _ in range(2):
        assert site.start(**hang, **MORTAL).wait(PATIENCE) == 70
    last = site.start(**hang)
    within(lambda: site.numbers() == set(range(12)))
    ends = {e.frame.sequence_number: (e.outcome, e.reason) for e in site.outputs()}
    assert ends.pop(5) == (Outcome.FAILED, "poison")
    assert set(ends.values()) == {(Outcome.PROCESSED, None)}
    assert "a batch has not ended within" in site.log.read_text()
    last.send_signal(signal.SIGTERM)
    assert last.wait(PATIENCE) == 0
