"""One record at a time: decoded, reduced, saved, published; then, and only then, done."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from typing_extensions import override

from aggregator.adapters.acknowledgements import Acknowledgements, watched
from aggregator.adapters.aggregation import Aggregation
from aggregator.adapters.forgetting import Forgetting
from aggregator.adapters.publisher import Encoded, Publisher
from aggregator.adapters.rejects import Rejects
from aggregator.adapters.silence import SilenceWatch
from aggregator.domain.followed import SightingPolicy
from aggregator.domain.idleness import IdlePolicy
from aggregator.domain.state import CameraState
from aggregator.ports import Step
from aggregator.stage import AggregatorStage
from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.crypto import Cipher
from mesh.deadletters import read_dead_letter
from mesh.errors import DeadLetterLimitError, RejectedRecordError, TransientError
from mesh.events import FrameRecognized, Outcome
from mesh.ports import NoMetrics
from mesh.record import MAX_VALUE_BYTES, RawRecord, Record
from mesh.retry import RetryPolicy
from mesh.stage import Output
from mesh.testing import CAMERA_ID, NOON, a_frame_header, a_frame_recognized, a_record
from mesh.topics import Topics

TOPICS = Topics()
CODEC = AvroCodec.in_memory(TOPICS)
SOURCE = TOPICS("recognitions")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Poison is logged with its trace, which structlog would paint."""
    with structlog.testing.capture_logs():
        yield


class FakeProducer:
    """Acknowledges when it is told to."""

    def __init__(self) -> None:
        self.sent: list[Encoded] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.holds = False

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, *rest: Any
    ) -> "asyncio.Future[None]":
        self.sent.append(Encoded(topic, key.decode() if key else None, value, rest[-1]))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.holds:
            self.waiting.append(future)
        else:
            future.set_result(None)
        return future


@dataclass
class FakeStates:
    """The table as a dict."""

    states: dict[str, CameraState] = field(default_factory=dict)
    partition: int | None = None

    def load(self, camera_id: str) -> CameraState:
        return self.states.get(camera_id, CameraState())

    def save(self, camera_id: str, state: CameraState) -> Awaitable[object]:
        self.states[camera_id] = state
        return asyncio.sleep(0)

    def forget(self, camera_id: str) -> Awaitable[object]:
        del self.states[camera_id]
        return asyncio.sleep(0)

    def items(self) -> Iterator[tuple[str, CameraState]]:
        return iter(self.states.items())

    @contextmanager
    def acting_in(self, partition: int) -> Iterator[None]:
        self.partition = partition
        yield


class FailingStage(AggregatorStage):
    """Cannot reduce the frames that are called poison."""

    away = 0
    """How often the registry does not answer about the frames that are called unlucky."""

    @override
    def process(
        self, state: CameraState, record: Record[FrameRecognized], started_at: datetime
    ) -> Step:
        match record.event.frame.frame_id:
            case "poison":
                raise ZeroDivisionError("no faces to divide by")
            case "large":
                raise RejectedRecordError("output_too_large")
            case "unlucky":
                if self.away:
                    self.away -= 1
                    raise TransientError("the registry is away")
            case _:
                pass
        return super().process(state, record, started_at)


class Bench:
    """An aggregation on fakes."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.key = SecretStr(Cipher.new_key())
        self.producer, self.states = FakeProducer(), FakeStates()
        self.failures: list[BaseException] = []
        self.done: list[int] = []
        self.watch = SilenceWatch(
            self.clock, after=timedelta(seconds=15), stall=timedelta(seconds=99)
        )
        app: Any = SimpleNamespace(producer=self.producer)
        self.stage = FailingStage(
            topics=TOPICS, policy=SightingPolicy(), clock=self.clock, instance_id="one"
        )
        self.aggregation = Aggregation(
            stage=self.stage,
            table=self.states,
            codec=CODEC,
            publisher=Publisher(app, CODEC, NoMetrics()),
            rejects=Rejects(
                cipher=Cipher(self.key),
                topic=TOPICS("dead-letters"),
                service="aggregator",
                metrics=NoMetrics(),
            ),
            acknowledgements=Acknowledgements(self.failures.append, NoMetrics()),
            watch=self.watch,
            clock=self.clock,
            retry=RetryPolicy(initial=timedelta(microseconds=1), attempts=3),
        )

    async def take(self, number: int, **changes: Any) -> None:
        await self.take_raw(a_raw(number, **changes))

    async def take_raw(self, raw: RawRecord) -> None:
        await self.aggregation.take(raw, lambda: self.done.append(raw.offset))
        await settled()

    def sent(self, name: str) -> list[Any]:
        topic = TOPICS(name)
        return [
            CODEC.decode(topic, each.value or b"")
            for each in self.producer.sent
            if each.topic == topic
        ]

    def letters(self) -> list[RawRecord]:
        return [
            replace(a_record(each.value), key=each.key, headers=each.headers)
            for each in self.producer.sent
            if each.topic == TOPICS("dead-letters")
        ]


def a_raw(number: int, **changes: Any) -> RawRecord:
    moment = NOON + timedelta(seconds=number / 5)
    header = a_frame_header(
        sequence_number=number,
        camera_timestamp=moment,
        received_timestamp=moment,
        **changes,
    )
    data = CODEC.encode(SOURCE, a_frame_recognized(frame=header))
    record: RawRecord = a_record(
        data, topic=SOURCE, offset=number, key=header.camera_id, partition=2
    )
    return record


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_record_is_done_once_its_outputs_are_acknowledged() -> None:
    bench = Bench()
    bench.producer.holds = True
    await bench.take(0)
    assert bench.done == []
    for future in bench.producer.waiting:
        future.set_result(None)
    await settled()
    assert bench.done == [0]
    assert len(bench.sent("results")) == 1
    assert bench.states.states[CAMERA_ID].is_open


async def test_records_are_done_in_the_order_they_came() -> None:
    bench = Bench()
    bench.producer.holds = True
    await bench.take(0)
    first = list(bench.producer.waiting)
    await bench.take(1)
    for future in bench.producer.waiting[len(first) :]:
        future.set_result(None)
    await settled()
    assert bench.done == []
    for future in first:
        future.set_result(None)
    await settled()
    assert bench.done == [0, 1]


async def test_a_refused_output_is_reported_and_the_record_is_not_done() -> None:
    bench = Bench()
    bench.producer.holds = True
    await bench.take(0)
    bench.producer.waiting[0].set_exception(OSError("no broker"))
    for future in bench.producer.waiting[1:]:
        future.set_result(None)
    await settled()
    assert bench.done == []
    assert [str(error) for error in bench.failures] == ["no broker"]


async def test_outputs_join_the_trace_of_their_record() -> None:
    bench = Bench()
    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await bench.take_raw(replace(a_raw(0), headers={"traceparent": parent}))
    assert {each.headers["traceparent"][3:35] for each in bench.producer.sent} == {parent[3:35]}


async def test_a_repeated_frame_is_done_and_gives_nothing() -> None:
    bench = Bench()
    await bench.take(0)
    before = len(bench.producer.sent)
    await bench.take_raw(replace(a_raw(0), offset=1))
    assert bench.done == [0, 1]
    assert len(bench.producer.sent) == before


@pytest.mark.parametrize("frame_id", ["poison", "large"])
async def test_what_cannot_be_reduced_is_failed_and_kept_as_a_dead_letter(frame_id: str) -> None:
    bench = Bench()
    await bench.take(0, frame_id=frame_id)
    (result,) = bench.sent("results")
    assert (result.outcome, result.reason) == (Outcome.FAILED, "poison")
    (record,) = bench.letters()
    letter = read_dead_letter(record, Cipher(bench.key))
    assert letter.value == a_raw(0, frame_id=frame_id).event
    assert letter.reason.startswith("poison: ")
    assert bench.done == [0]
    await bench.take(1)
    assert len(bench.sent("results")) == 2


async def test_an_output_that_is_too_large_is_poison() -> None:
    with pytest.raises(RejectedRecordError, match="output_too_large"):
        Publisher(SimpleNamespace(), LargeCodec(), NoMetrics()).encode([Output("t", "k", 1)], {})


class LargeCodec:
    def encode(self, topic: str, event: Any) -> bytes:
        return bytes(MAX_VALUE_BYTES + 1)

    def decode(self, topic: str, data: bytes) -> Any:
        return None


@pytest.mark.parametrize("value", [b"no Avro", b"", None])
async def test_an_unreadable_envelope_is_a_dead_letter_alone(value: bytes | None) -> None:
    bench = Bench()
    await bench.take_raw(replace(a_raw(0), event=value))
    assert bench.done == [0]
    assert bench.sent("results") == []
    (record,) = bench.letters()
    assert read_dead_letter(record, Cipher(bench.key)).value == value


async def test_a_registry_that_is_away_is_waited_for() -> None:
    bench = Bench()
    bench.stage.away = 2
    await bench.take(0, frame_id="unlucky")
    assert bench.done == [0]
    (result,) = bench.sent("results")
    assert result.outcome is Outcome.PROCESSED
    assert bench.aggregation.check() is None


async def test_a_passing_failure_is_not_poison() -> None:
    bench = Bench()
    bench.stage.away = 3
    with pytest.raises(TransientError):
        await bench.take(0, frame_id="unlucky")
    assert bench.aggregation.check() == "the registry is away"
    assert bench.done == []
    assert bench.producer.sent == []


async def test_rejects_of_many_cameras_end_the_process() -> None:
    bench = Bench()
    poison = [a_raw(each, camera_id=f"cam_{each % 7}", frame_id="poison") for each in range(50)]
    for raw in poison[:-1]:
        await bench.take_raw(raw)
    with pytest.raises(DeadLetterLimitError):
        await bench.take_raw(poison[-1])


async def test_a_silent_camera_is_closed_by_the_owner_that_read_to_the_end() -> None:
    bench = Bench()
    await bench.take(0)
    bench.clock.advance(16)
    await bench.aggregation.close_silent(lambda _: False)
    assert bench.states.states[CAMERA_ID].is_open
    await bench.aggregation.close_silent(lambda partition: partition == 2)
    assert not bench.states.states[CAMERA_ID].is_open
    assert bench.states.partition == 2
    assert [each.closed for each in bench.sent("sightings")] == [False, True]
    bench.clock.advance(60)
    await bench.aggregation.close_silent(lambda _: True)
    assert len(bench.sent("sightings")) == 2


@dataclass
class FakeRegistered:
    """The cameras that exist, or nothing while that cannot be read."""

    cameras: frozenset[str] | None

    async def read(self) -> frozenset[str] | None:
        return self.cameras


async def swept(bench: Bench, registered: frozenset[str] | None, *owned: int) -> set[str]:
    """The cameras that are left after a sweep."""
    forgetting = Forgetting(
        aggregation=bench.aggregation,
        table=bench.states,
        registered=FakeRegistered(registered),
        clock=bench.clock,
        policy=IdlePolicy(),
    )
    await forgetting.sweep(lambda _: 2, lambda partition: partition in owned)
    return set(bench.states.states)


async def a_silent_camera() -> Bench:
    bench = Bench()
    await bench.take(0)
    bench.clock.advance(16)
    await bench.aggregation.close_silent(lambda _: True)
    return bench


@pytest.mark.parametrize(
    ("registered", "hours", "is_left"),
    [
        (frozenset({CAMERA_ID}), 7 * 24 - 1, True),
        (frozenset({CAMERA_ID}), 7 * 24, False),
        (frozenset(), 0.9, True),
        (frozenset(), 1, False),
        (None, 7 * 24 - 1, True),
        (None, 7 * 24, False),
    ],
)
async def test_a_camera_that_is_gone_is_forgotten(
    registered: frozenset[str] | None, hours: float, is_left: bool
) -> None:
    bench = await a_silent_camera()
    bench.clock.advance(hours * 3600)
    assert await swept(bench, registered, 2) == ({CAMERA_ID} if is_left else set())


async def test_a_frame_of_a_forgotten_camera_starts_anew() -> None:
    bench = await a_silent_camera()
    bench.clock.advance(8 * 24 * 3600)
    assert await swept(bench, None, 2) == set()
    await bench.take(7)
    assert [each.sequence for each in bench.states.states[CAMERA_ID].seen] == [7]
    assert [each.revision for each in bench.sent("sightings")] == [0, 1, 0]


async def test_a_camera_is_kept_while_its_records_may_come_again_or_its_sightings_are_open() -> (
    None
):
    bench = await a_silent_camera()
    bench.clock.advance(8 * 24 * 3600)
    assert await swept(bench, None, 1) == {CAMERA_ID}
    bench = Bench()
    await bench.take(0)
    bench.clock.advance(8 * 24 * 3600)
    assert await swept(bench, None, 2) == {CAMERA_ID}


async def test_a_frame_that_comes_during_the_sweep_keeps_its_camera() -> None:
    bench = await a_silent_camera()
    bench.clock.advance(8 * 24 * 3600)
    answers = iter([True, False])
    assert not await bench.aggregation.forget(
        2, CAMERA_ID, lambda *_: not next(answers), lambda _: True
    )
    assert set(bench.states.states) == {CAMERA_ID}


async def test_a_frame_that_comes_between_keeps_the_camera_open() -> None:
    bench = Bench()
    await bench.take(0)
    bench.clock.advance(16)

    def caught_up(_: int) -> bool:
        bench.watch.note(2, CAMERA_ID, is_open=True)
        return True

    await bench.aggregation.close_silent(caught_up)
    assert bench.states.states[CAMERA_ID].is_open


async def test_a_new_owner_watches_what_is_open_and_repeats_what_silence_closed() -> None:
    bench, other = Bench(), Bench()
    await bench.take(0)
    await bench.take(0, camera_id="cam_open")
    bench.clock.advance(16)
    bench.watch.forget(2, "cam_open")
    await bench.aggregation.close_silent(lambda _: True)
    other.states = bench.states
    other.aggregation._table = bench.states
    await other.aggregation.resume(lambda _: 2)
    assert other.sent("sightings") == [bench.sent("sightings")[-1]]
    other.clock.advance(16)
    assert other.watch.due() == [(2, "cam_open")]


async def test_a_watched_task_reports_its_exception_and_nothing_else() -> None:
    failures: list[BaseException] = []

    async def fine() -> None:
        await asyncio.sleep(0)

    async def broken() -> None:
        raise ValueError("broken")

    tasks = [watched(work, failures.append) for work in (fine(), broken(), asyncio.sleep(60))]
    await settled()
    tasks[-1].cancel()
    await settled()
    assert [str(error) for error in failures] == ["broken"]
