import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from typing_extensions import override

from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.deadletters import DeadLetterPolicy, read_dead_letter
from mesh.errors import (
    ConfigurationError,
    DeadLetterLimitError,
    RejectedRecordError,
    TransientError,
)
from mesh.events import FrameCaptured, FrameDetected, LogEvent
from mesh.health import Health
from mesh.kafka import StreamWorker, WorkerOptions, WorkerPolicy, build_worker
from mesh.kafka.progress import Mark
from mesh.memory import InMemoryBroker, InMemoryConsumer
from mesh.partitioning import partition_of
from mesh.ports import StoredOffset
from mesh.record import RawRecord, Record, TopicPartition
from mesh.retry import RetryPolicy
from mesh.round_robin import DeficitRoundRobin
from mesh.scheduler import LaneSpec, Scheduled
from mesh.settings import MeshSettings
from mesh.stage import Emit, Output, Reject
from mesh.testing import a_detection_config, a_frame_captured, a_frame_detected, a_frame_header
from mesh.topics import CATALOGUE, Topics
from mesh.tracing import TRACEPARENT

TOPICS = Topics()
FRAMES = TOPICS("frames.request")
DETECTIONS = TOPICS("detections")
GROUP = "sightline.detection"
KEY = Fernet.generate_key().decode()
CIPHER = Cipher(SecretStr(KEY))
CODEC = AvroCodec.in_memory(TOPICS)

Process = Callable[[Record[FrameCaptured]], Emit | Reject]


class CrashError(Exception):
    pass


def detected(record: Record[FrameCaptured]) -> Emit:
    event = a_frame_detected(frame=record.event.frame, faces=())
    return Emit([Output(DETECTIONS, record.event.frame.camera_id, event)])


@dataclass
class FakeStage:
    """Answers one record at a time, and ends the worker when it has seen enough."""

    stop: threading.Event
    one: Process = detected
    enough: int = 10**6
    batches: list[list[int]] = field(default_factory=list)
    given_up: list[tuple[int, str, str]] = field(default_factory=list)

    def process(self, batch: Sequence[Record[FrameCaptured]]) -> Sequence[Emit | Reject]:
        self.batches.append([record.event.frame.sequence_number for record in batch])
        answers = [self.one(record) for record in batch]
        self._note()
        return answers

    def give_up(
        self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
    ) -> Sequence[Emit | Reject]:
        numbers = [record.event.frame.sequence_number for record in batch]
        self.given_up += [(number, outcome, reason) for number in numbers]
        self._note()
        return [detected(record) for record in batch]

    @property
    def processed(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    def _note(self) -> None:
        if len(self.processed) + len(self.given_up) >= self.enough:
            self.stop.set()


class World:
    """A broker, and workers that run on it until they have seen enough."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        names = [TOPICS(spec.name) for spec in CATALOGUE]
        self.broker = InMemoryBroker(names, partitions=1, clock=self.clock)
        self.health = Health()
        self.stop = threading.Event()

    def frames(self, *numbers: int, camera: str = "cam_a", topic: str = FRAMES) -> None:
        for number in numbers:
            self.publish(frame(number, camera), camera, topic)

    def publish(self, event: FrameCaptured, key: str, topic: str = FRAMES) -> None:
        self.broker.append(topic, key, CODEC.encode(topic, event))

    def worker(
        self, stage: FakeStage, *lanes: LaneSpec, dead_letters: DeadLetterPolicy | None = None
    ) -> StreamWorker:
        self.stop = stage.stop
        return build_worker(
            MeshSettings(secret_key=SecretStr(KEY), instance_id="worker-0"),
            stage=stage,
            group="detection",
            lanes=lanes or [LaneSpec(name="request", topics=(FRAMES,))],
            codec=CODEC,
            health=self.health,
            stop=stage.stop,
            options=WorkerOptions(
                policy=WorkerPolicy(
                    batch_size=4,
                    retry=RetryPolicy(initial=timedelta(seconds=1), attempts=4, random=lambda: 1.0),
                ),
                dead_letters=dead_letters or DeadLetterPolicy(),
                platform=self.broker,
                clock=self.clock,
            ),
        )

    def run(self, enough: int, one: Process = detected) -> FakeStage:
        stage = FakeStage(threading.Event(), one, enough)
        self.worker(stage).run()
        return stage

    def outputs(self) -> list[int]:
        records = self.broker.records(DETECTIONS)
        events: list[FrameDetected] = [
            CODEC.decode(DETECTIONS, record.event) for record in records if record.event
        ]
        return [event.frame.sequence_number for event in events]

    def committed(self, group: str = GROUP, topic: str = FRAMES) -> StoredOffset | None:
        """What the group committed, without the time of the last record."""
        found = self.broker.committed(group, TopicPartition(topic, 0))
        mark = found and replace(Mark.parse(found.metadata), at=None)
        return found and StoredOffset(found.offset, str(mark))

    def letters(self) -> list[Any]:
        return [
            read_dead_letter(record, CIPHER)
            for record in self.broker.records(TOPICS("dead-letters"))
        ]


def ignore(_: object) -> None:
    pass


def frame(number: int, camera: str = "cam_a") -> FrameCaptured:
    header = a_frame_header(camera_id=camera, sequence_number=number)
    return a_frame_captured(frame=header, detection=a_detection_config())


@pytest.fixture
def world() -> World:
    return World()


def test_every_record_leaves_as_an_output_and_its_offset_is_committed(world: World) -> None:
    world.frames(0, 1, 2, 3, 4)
    world.run(5)
    assert world.outputs() == [0, 1, 2, 3, 4]
    assert world.committed() == StoredOffset(5, '{"running":false}')


def test_an_output_joins_the_trace_of_its_record(world: World) -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    world.broker.append(FRAMES, "cam_a", CODEC.encode(FRAMES, frame(0)), {TRACEPARENT: parent})
    world.run(1)
    (output,) = world.broker.records(DETECTIONS)
    assert output.headers[TRACEPARENT].startswith(parent[:35])
    assert output.headers[TRACEPARENT] != parent


def test_a_rejected_record_becomes_an_encrypted_dead_letter_and_the_rest_goes_on(
    world: World,
) -> None:
    world.frames(0, 1, 2)
    world.run(3, lambda record: Reject("bad_lens") if record.offset == 1 else detected(record))
    assert world.outputs() == [0, 2]
    (letter,) = world.letters()
    assert (letter.origin, letter.offset) == (TopicPartition(FRAMES, 0), 1)
    assert (letter.reason, letter.service, letter.camera_id) == ("bad_lens", "detection", "cam_a")
    assert letter.sequence_number == 1
    assert letter.value == CODEC.encode(FRAMES, frame(1))
    (raw,) = world.broker.records(TOPICS("dead-letters"))
    assert (frame(1).image or b"") not in (raw.event or b"")
    assert world.committed() == StoredOffset(3, '{"running":false}')


def test_undecodable_bytes_and_tombstones_become_dead_letters(world: World) -> None:
    world.broker.append(FRAMES, "cam_a", b"\x00\x00\x00\x00\x01 no avro")
    world.broker.append(FRAMES, "cam_a", None)
    world.frames(2)
    world.run(1)
    assert [letter.value for letter in world.letters()] == [b"\x00\x00\x00\x00\x01 no avro", None]
    assert world.outputs() == [2]
    assert world.committed() == StoredOffset(3, '{"running":false}')


def test_a_stage_that_raises_for_one_record_of_a_batch_loses_only_that_record(
    world: World,
) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        if record.offset == 1:
            raise RejectedRecordError("unreadable")
        return detected(record)

    world.frames(0, 1, 2)
    stage = FakeStage(threading.Event(), one, enough=6)
    world.worker(stage).run()
    assert stage.batches == [[0, 1, 2], [0], [1], [2]]
    assert world.outputs() == [0, 2]
    assert [letter.reason for letter in world.letters()] == ["unreadable"]


def test_a_passing_failure_is_tried_again_with_growing_delays(world: World) -> None:
    failures = iter([True, True, False])

    def one(record: Record[FrameCaptured]) -> Emit:
        if next(failures):
            raise TransientError("the database is away")
        return detected(record)

    world.frames(0)
    stage = world.run(3, one)
    assert stage.batches == [[0], [0], [0]]
    assert world.clock.monotonic() >= 1 + 2
    assert world.outputs() == [0]


def test_a_failure_that_stays_ends_the_process_without_blaming_the_record(world: World) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        raise TransientError("the database is away")

    world.frames(0)
    for _ in range(4):
        with pytest.raises(TransientError, match="away"):
            world.run(99, one)
    assert world.committed() == StoredOffset(0, '{"running":false}')
    assert world.run(1).batches == [[0]]
    assert world.letters() == []


def test_a_stop_during_a_retry_ends_in_an_orderly_way(world: World) -> None:
    stop = threading.Event()

    def one(record: Record[FrameCaptured]) -> Emit:
        stop.set()
        raise TransientError("the database is away")

    world.frames(0)
    world.worker(FakeStage(stop, one)).run()
    assert world.committed() == StoredOffset(0, '{"running":false}')


def test_a_broker_that_is_away_while_publishing_delays_but_loses_nothing() -> None:
    stop = threading.Event()

    def one(record: Record[FrameCaptured]) -> Emit:
        far.broker.available = False
        return detected(record)

    class Patient(ManualClock):
        """Brings the broker back after two seconds and ends the test after five."""

        @override
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            far.broker.available = self.monotonic() > 2
            if self.monotonic() > 5:
                stop.set()

    far = World(Patient())
    far.frames(0)
    far.worker(FakeStage(stop, one)).run()
    assert far.outputs() == [0]
    assert far.committed() == StoredOffset(1, '{"running":false}')


def test_the_next_batch_is_processed_while_the_broker_answers(world: World) -> None:
    published: dict[int, list[int]] = {}

    def one(record: Record[FrameCaptured]) -> Emit:
        published[record.offset] = world.outputs()
        return detected(record)

    world.frames(*range(8))
    assert world.run(8, one).batches == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert published[4] == [], "the first batch is on its way"
    assert world.outputs() == list(range(8))
    assert world.committed() == StoredOffset(8, '{"running":false}')


def test_no_offset_moves_before_the_broker_has_answered(world: World) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        if record.offset == 4:
            raise CrashError
        return detected(record)

    world.frames(*range(8))
    with pytest.raises(CrashError):
        world.run(99, one)
    assert world.committed() == StoredOffset(0, '{"running":true}')
    assert world.run(8).batches == [[number] for number in range(8)], "nobody knows who did it"
    assert world.outputs() == list(range(8))


def test_what_is_on_its_way_arrives_before_its_partition_is_given_away(world: World) -> None:
    worker = world.worker(FakeStage(threading.Event()))
    (lane,) = worker._lanes
    worker._join()
    world.frames(0)
    worker._run_once()
    assert world.outputs() == []
    lane._on_revoke([TopicPartition(FRAMES, 0)])
    assert world.outputs() == [0]
    assert world.committed() == StoredOffset(1, '{"running":false}')
    lane.close(orderly=True)


def test_a_crash_leaves_the_partition_marked_and_offsets_unstored(world: World) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        raise CrashError

    world.frames(0, 1)
    with pytest.raises(CrashError):
        world.run(99, one)
    assert world.committed() == StoredOffset(0, '{"running":true}')
    assert world.outputs() == []


def test_a_record_that_ends_its_process_twice_is_given_up_and_the_rest_goes_on(
    world: World,
) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        if record.offset == 2:
            raise CrashError
        return detected(record)

    world.frames(0, 1, 2, 3, 4)
    with pytest.raises(CrashError):
        world.run(99, one)
    stage = FakeStage(threading.Event(), one)
    with pytest.raises(CrashError):
        world.worker(stage).run()
    assert stage.batches == [[0], [1], [2]], "suspects are tried one at a time"
    last = world.run(3, one)
    assert last.given_up == [(2, "failed", "poison")]
    assert last.batches == [[3], [4]]
    assert sorted(world.outputs()) == [0, 1, 2, 3, 4]
    (letter,) = world.letters()
    assert letter.reason == "poison: ended its process 2 times"
    assert letter.offset == 2
    assert world.committed() == StoredOffset(5, '{"running":false}')


def test_a_record_that_came_after_an_end_is_not_charged_with_it(world: World) -> None:
    def crash(record: Record[FrameCaptured]) -> Emit:
        raise CrashError

    def first_only(record: Record[FrameCaptured]) -> Emit:
        if record.offset == 1:
            raise CrashError
        world.frames(1)
        return detected(record)

    world.frames(0)
    for behaviour in (crash, first_only):
        with pytest.raises(CrashError):
            world.worker(FakeStage(threading.Event(), behaviour)).run()
    assert world.run(1).processed == [1], "its second attempt: it ended one process, not two"
    assert world.letters() == []


def test_a_record_whose_giving_up_ends_the_process_becomes_a_dead_letter_alone(
    world: World,
) -> None:
    class Fragile(FakeStage):
        @override
        def give_up(
            self, batch: Sequence[Record[FrameCaptured]], outcome: str, reason: str
        ) -> Sequence[Emit | Reject]:
            raise CrashError

    def one(record: Record[FrameCaptured]) -> Emit:
        if record.offset == 0:
            raise CrashError
        return detected(record)

    world.frames(0, 1)
    for _ in range(3):
        with pytest.raises(CrashError):
            world.worker(Fragile(threading.Event(), one)).run()
    world.worker(Fragile(threading.Event(), one, enough=1)).run()
    assert world.outputs() == [1]
    assert [letter.offset for letter in world.letters()] == [0]


def test_records_after_the_suspects_are_processed_in_batches_again(world: World) -> None:
    def crash(record: Record[FrameCaptured]) -> Emit:
        raise CrashError

    lane = LaneSpec(name="request", topics=(FRAMES,), window=2)
    world.frames(0, 1, 2, 3)
    with pytest.raises(CrashError):
        world.worker(FakeStage(threading.Event(), crash), lane).run()
    stage = FakeStage(threading.Event(), enough=4)
    world.worker(stage, lane).run()
    assert stage.batches == [[0], [1], [2, 3]]


def test_a_revocation_that_cannot_be_committed_costs_only_a_repetition(world: World) -> None:
    stage = FakeStage(threading.Event())
    worker = world.worker(stage)
    (lane,) = worker._lanes
    worker._join()
    world.frames(0)
    worker._run_once()
    world.broker.available = False
    lane._on_revoke([TopicPartition(FRAMES, 0)])
    lane.close(orderly=True)
    world.broker.available = True
    assert world.run(1).batches == [[0]]


def test_many_rejects_of_several_keys_in_a_row_end_the_process(world: World) -> None:
    policy = DeadLetterPolicy(in_a_row=4, keys=2)
    world.frames(0, 1, 2, camera="cam_a")
    world.frames(3, 4, camera="cam_b")
    stage = FakeStage(threading.Event(), lambda _: Reject("always"))
    with pytest.raises(DeadLetterLimitError, match="4 records in a row"):
        world.worker(stage, dead_letters=policy).run()


def test_many_rejects_of_one_key_end_nothing(world: World) -> None:
    policy = DeadLetterPolicy(in_a_row=2, keys=2)
    world.frames(0, 1, 2, 3, 4)
    stage = FakeStage(threading.Event(), lambda _: Reject("always"), enough=5)
    world.worker(stage, dead_letters=policy).run()
    assert len(world.letters()) == 5


def test_a_dead_letter_topic_that_cannot_be_written_ends_the_process(world: World) -> None:
    world.broker.delete_topic(TOPICS("dead-letters"))
    world.frames(0)
    with pytest.raises(ConfigurationError, match="dead-letters"):
        world.run(99, lambda _: Reject("bad"))
    assert world.committed() == StoredOffset(0, '{"running":false}')


def test_an_output_that_is_too_large_fails_its_record_alone(world: World) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        if record.offset != 0:
            return detected(record)
        huge = a_frame_captured(frame=record.event.frame, image=bytes(3 * 1024 * 1024))
        return Emit([Output(FRAMES, "cam_a", huge)])

    world.frames(0, 1)
    stage = world.run(3, one)
    assert stage.given_up == [(0, "failed", "output_too_large")]
    assert world.outputs() == [0, 1]
    assert len(world.letters()) == 1


def test_old_and_superseded_frames_of_a_lane_are_given_up(world: World) -> None:
    live = LaneSpec(name="live", topics=(TOPICS("frames.live"),), newest_wins=True)
    world.frames(0, 1, 2, topic=TOPICS("frames.live"))
    stage = FakeStage(threading.Event(), enough=3)
    world.worker(stage, live).run()
    assert stage.given_up == [(0, "shed", "superseded"), (1, "shed", "superseded")]
    assert stage.batches == [[2]]
    assert world.letters() == []


def test_a_live_lane_is_read_to_its_end_before_anything_is_chosen(world: World) -> None:
    live = LaneSpec(name="live", topics=(TOPICS("frames.live"),), newest_wins=True, prefetch=32)
    for number in range(300):
        world.frames(number, camera=f"cam_{number % 2}", topic=TOPICS("frames.live"))
    most: list[int] = []
    stage = FakeStage(threading.Event(), enough=300)
    worker = world.worker(stage, live)
    (lane,) = worker._lanes
    take_in = worker._take_in
    worker._take_in = lambda *a: (most.append(32 - lane.room), take_in(*a))  # type: ignore[method-assign,func-returns-value,assignment]
    worker.run()
    assert stage.batches == [[298, 299]]
    assert [number for number, *_ in stage.given_up] == list(range(298))
    assert max(most) == 32


def test_a_lane_is_not_read_beyond_its_bytes(world: World) -> None:
    small = LaneSpec(name="request", topics=(FRAMES,), prefetch_bytes=1)
    world.frames(*range(40))
    stage = FakeStage(threading.Event(), enough=40)
    worker = world.worker(stage, small)
    worker._join()
    worker._read()
    assert worker._scheduler.waiting("request") == 16, "one read goes a little beyond"
    worker._read()
    assert worker._scheduler.waiting("request") == 16
    while len(stage.processed) < 40:
        worker._run_once()
    assert stage.processed == list(range(40))


def test_a_lane_that_is_held_is_not_read_until_it_is_let_go(world: World) -> None:
    held = [True]
    evidence = LaneSpec(name="evidence", topics=(TOPICS("frames.evidence"),), held=lambda: held[0])
    request = LaneSpec(name="request", topics=(FRAMES,))
    world.frames(*range(10, 15), topic=TOPICS("frames.evidence"))
    world.frames(2, topic=FRAMES)
    stage = FakeStage(threading.Event())
    worker = world.worker(stage, request, evidence)
    worker._join()
    for _ in range(3):
        worker._run_once()
    assert stage.processed == [2, 10], "what came with the assignment was not paused yet"
    assert worker.ready() is None, "its group has it as a member"
    held[0] = False
    worker._run_once()
    assert stage.processed == [2, *range(10, 15)]


def test_a_camera_that_floods_its_partition_does_not_keep_others_waiting(world: World) -> None:
    world.broker.create_topic(FRAMES, 2)
    flooding, quiet = (
        next(f"cam_{n}" for n in range(99) if partition_of(f"cam_{n}", 2) == place)
        for place in (0, 1)
    )
    world.frames(*range(400), camera=flooding)
    stage = FakeStage(threading.Event())
    lane = LaneSpec(name="request", topics=(FRAMES,), prefetch=8)
    worker = world.worker(stage, lane)
    worker._join()
    for _ in range(4):
        worker._run_once()
    world.frames(1000, camera=quiet)
    for _ in range(4):
        worker._run_once()
    assert 1000 in stage.processed
    assert len(stage.processed) == 32


class Shut(DeficitRoundRobin):
    """A scheduler that keeps everything for itself."""

    @override
    def next_batch(self, now: datetime, capacity: int) -> Scheduled:
        return Scheduled()


def test_a_lane_that_is_full_because_nothing_moves_still_does_its_groups_business(
    world: World,
) -> None:
    lane = LaneSpec(name="request", topics=(FRAMES,), prefetch=4)
    world.frames(*range(8))
    worker = world.worker(FakeStage(threading.Event()), lane)
    worker._scheduler = Shut([lane])
    (reader,) = worker._lanes
    worker._join()
    for _ in range(3):
        worker._run_once()
    assert worker._scheduler.waiting("request") == 4
    (before,) = reader._progress.values()
    cast(InMemoryConsumer, reader._consumer).expire()
    worker._run_once()
    assert not before.owned, "its partition was lost meanwhile"
    assert worker._scheduler.waiting("request") == 4, "what it left was forgotten and read anew"


def test_several_lanes_are_read_by_groups_of_their_own(world: World) -> None:
    urgent = LaneSpec(name="urgent", topics=(TOPICS("frames.urgent"),))
    request = LaneSpec(name="request", topics=(FRAMES,))
    world.frames(10, 11, topic=FRAMES)
    world.frames(20, 21, topic=TOPICS("frames.urgent"))
    stage = FakeStage(threading.Event(), enough=4)
    world.worker(stage, urgent, request).run()
    assert sorted(stage.processed) == [10, 11, 20, 21]
    ends = [
        world.committed(f"{GROUP}.{name}", TOPICS(f"frames.{name}"))
        for name in ("urgent", "request")
    ]
    assert ends == [StoredOffset(2, '{"running":false}')] * 2


@pytest.mark.parametrize("name", ["urgent", "request"])
def test_of_several_lanes_the_one_that_gave_the_last_record_is_waited_for(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = FakeStage(threading.Event())
    lanes = [LaneSpec(name=n, topics=(TOPICS(f"frames.{n}"),)) for n in ("urgent", "request")]
    worker = world.worker(stage, *lanes)
    worker._join()
    world.frames(1, topic=TOPICS(f"frames.{name}"))
    while not stage.processed:
        worker._run_once()
    waits: dict[str, list[timedelta]] = {}
    for lane in worker._lanes:
        asked = waits.setdefault(lane.spec.name, [])

        def poll(_: int, wait: timedelta, asked: list[timedelta] = asked) -> list[RawRecord]:
            asked.append(wait)
            return []

        monkeypatch.setattr(lane._consumer, "poll_batch", poll)
    worker._run_once()
    nothing, turn = timedelta(0), timedelta(milliseconds=100) / 12
    assert waits.pop(name) == [nothing, turn]
    assert list(waits.values()) == [[nothing]]


def test_offsets_that_retention_took_are_reported(world: World) -> None:
    world.frames(0)
    world.run(1)
    world.clock.advance(7)
    world.frames(1, 2, 3)
    world.broker.truncate(TopicPartition(FRAMES, 0), 3)
    assert world.run(1).batches == [[3]]
    (record,) = world.broker.records(TOPICS("events"))
    event: LogEvent = CODEC.decode(TOPICS("events"), record.event or b"")
    assert (record.key, event.event_type, event.severity) == (FRAMES, "offset_gap", "error")
    assert event.attributes == {
        "topic": FRAMES,
        "partition": "0",
        "first_missing": "1",
        "last_missing": "2",
        "since": "2026-01-01T00:00:00.000+00:00",
        "until": "2026-01-01T00:00:07.000+00:00",
        "consumer_group": GROUP,
    }


def test_what_was_deleted_before_the_first_start_is_reported_too(world: World) -> None:
    world.frames(0, 1, 2)
    world.broker.truncate(TopicPartition(FRAMES, 0), 2)
    world.run(1)
    (record,) = world.broker.records(TOPICS("events"))
    event: LogEvent = CODEC.decode(TOPICS("events"), record.event or b"")
    assert (event.attributes["first_missing"], event.attributes["last_missing"]) == ("0", "1")
    assert "since" not in event.attributes


def test_no_offset_beyond_a_gap_is_committed_before_the_gap_is_reported(world: World) -> None:
    world.frames(0)
    world.run(1)
    world.frames(1, 2, 3)
    world.broker.truncate(TopicPartition(FRAMES, 0), 3)
    stage = FakeStage(threading.Event())
    worker = world.worker(stage)
    (lane,) = worker._lanes
    worker._join()
    while not worker._scheduler.waiting("request"):
        worker._read()
    lane.close(orderly=True)
    assert world.committed() == StoredOffset(1, '{"running":false}')
    assert world.run(1).batches == [[3]]
    assert len(world.broker.records(TOPICS("events"))) == 1


def test_a_worker_is_ready_once_its_lanes_have_joined(world: World) -> None:
    stage = FakeStage(threading.Event(), enough=1)
    worker = world.worker(stage)
    assert world.health.readiness() == {"partitions": "no partitions assigned yet: request"}
    world.frames(0)
    worker.run()
    assert world.health.readiness() == {}


def test_revoked_records_are_dropped_and_finished_ones_committed(world: World) -> None:
    world.broker.create_topic(FRAMES, 2)
    for number in range(8):
        world.frames(*range(4), camera=f"cam_{number}")
    second = world.broker.consumer(GROUP)
    seen: list[tuple[int, int]] = []

    def one(record: Record[FrameCaptured]) -> Emit:
        seen.append((record.partition, record.offset))
        if len(seen) == 12:
            second.subscribe([FRAMES], on_assign=ignore, on_revoke=ignore, on_lost=ignore)
        return detected(record)

    worker = world.worker(FakeStage(threading.Event(), one))
    (lane,) = worker._lanes
    worker._join()
    for _ in range(12):
        worker._run_once()
    rest = [record.offset for record in second.poll_batch(99, timedelta(0))]
    everything = [(record.partition, record.offset) for record in world.broker.records(FRAMES)]
    kept = [offset for partition, offset in seen if partition == 1]
    assert {(1, offset) for offset in rest} | set(seen) == set(everything), "nothing is lost"
    assert len(seen) == len(set(seen)), "one member does nothing twice"
    assert rest[0] == next(n for n in range(99) if n not in kept), "from the lowest unfinished on"
    lane.close(orderly=True)


def test_what_waits_for_another_attempt_is_left_alone_once_its_partition_is_lost(
    world: World,
) -> None:
    def one(record: Record[FrameCaptured]) -> Emit:
        if not lost:
            lost.append(record.offset)
            consumer.expire()
            raise TransientError("the database is away")
        return detected(record)

    lost: list[int] = []
    stage = FakeStage(threading.Event(), one, enough=2)
    worker = world.worker(stage)
    consumer = cast(InMemoryConsumer, worker._lanes[0]._consumer)
    world.frames(0)
    worker.run()
    assert stage.batches == [[0], [0]]
    assert world.outputs() == [0]


class FlakyRegistry(AvroCodec):
    """A codec that calls `meanwhile` and then fails to decode, once."""

    meanwhile: Callable[[], None] | None = None

    @override
    def decode(self, topic: str, data: bytes) -> Any:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
            raise TransientError("the registry is away")
        return super().decode(topic, data)


def test_what_was_read_is_forgotten_if_its_partition_leaves_before_it_is_decoded(
    world: World,
) -> None:
    stage = FakeStage(threading.Event())
    worker = world.worker(stage)
    (lane,) = worker._lanes
    worker._codec = codec = FlakyRegistry.in_memory(TOPICS)
    assert isinstance(codec, FlakyRegistry)
    codec.meanwhile = cast(InMemoryConsumer, lane._consumer).expire
    worker._join()
    world.frames(0, 1)
    worker._read()
    while len(stage.processed) < 2:
        worker._run_once()
    assert stage.processed == [0, 1], "its next owner reads it, which is us"
    lane.close(orderly=True)


def test_a_coordinator_that_is_slow_to_tell_what_was_committed_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.frames(0, 1)
    assert world.run(1).processed
    slow = [TransientError("no answer"), TransientError("no answer")]
    ask = InMemoryConsumer.committed

    def committed(
        consumer: InMemoryConsumer, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, StoredOffset]:
        if slow:
            raise slow.pop()
        return ask(consumer, partitions)

    monkeypatch.setattr(InMemoryConsumer, "committed", committed)
    world.frames(2)
    assert world.run(1).processed == [2]
    assert not slow


def test_a_worker_is_not_ready_while_its_partitions_are_lost(world: World) -> None:
    worker = world.worker(FakeStage(threading.Event()))
    (lane,) = worker._lanes
    worker._join()
    worker._read()
    assert worker.ready() is None
    lane._on_lost([TopicPartition(FRAMES, 0)])
    assert worker.ready() == "no partitions assigned yet: request"
    lane.close(orderly=True)


def test_a_worker_whose_client_fetches_nothing_is_not_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InMemoryConsumer, "_fetch", lambda *_: [])
    worker = world.worker(FakeStage(threading.Event()))
    (lane,) = worker._lanes
    worker._join()
    for _ in range(20):
        world.frames(0)
        worker._run_once()
        world.clock.advance(5)
        while worker._standstill._asking:
            time.sleep(0.001)
    problem = worker.ready()
    assert problem is not None
    assert problem.startswith(f"not moving: {FRAMES}/0 (")
    lane.close(orderly=True)


def test_a_worker_without_a_key_for_dead_letters_does_not_start(world: World) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_SECRET_KEY"):
        build_worker(
            MeshSettings(secret_key=None),
            stage=FakeStage(threading.Event()),
            group="detection",
            lanes=[LaneSpec(name="request", topics=(FRAMES,))],
            codec=CODEC,
            health=Health(),
            stop=threading.Event(),
            options=WorkerOptions(platform=world.broker),
        )
