"""One record in; what leaves is the same however often it comes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.adapters.state_codec import EncodedState, StateCodec
from aggregator.domain.followed import SightingPolicy
from aggregator.domain.state import CameraState
from aggregator.stage import AggregatorStage
from mesh.clock import ManualClock
from mesh.codec import AvroCodec
from mesh.errors import ConfigurationError
from mesh.events import (
    Answer,
    FrameRecognized,
    FrameResult,
    LogEvent,
    Outcome,
    Purpose,
    Sighting,
    Snapshot,
)
from mesh.identity import detection_id
from mesh.record import Record
from mesh.schemas import SchemaLibrary
from mesh.stage import Output
from mesh.testing import (
    CAMERA_ID,
    EPOCH,
    NOON,
    a_decision,
    a_detected_face,
    a_frame_header,
    a_frame_recognized,
    a_quality,
    a_recognized_face,
    a_record,
    a_request,
)
from mesh.topics import Topics

TOPICS = Topics()
CODEC = AvroCodec.in_memory(TOPICS)
STATES = StateCodec(SchemaLibrary.packaged())
PERSONS = (None, "per_ada", "per_bob")
Encoded = tuple[str, str, bytes]


class Bench:
    """A stage, its clock, and the state that it left."""

    def __init__(self, instance_id: str = "aggregator-1") -> None:
        self.clock = ManualClock(NOON)
        self.state = CameraState()
        self.stage = AggregatorStage(
            topics=TOPICS, policy=SightingPolicy(), clock=self.clock, instance_id=instance_id
        )

    def take(self, record: Record[FrameRecognized]) -> Sequence[Output]:
        started_at = self.clock.now()
        self.clock.advance(0.003)
        step = self.stage.process(self.state, record, started_at)
        self.state = STATES.decode(STATES.encode(step.state).data)
        assert self.state == step.state
        return step.outputs


def encoded(outputs: Sequence[Output]) -> list[Encoded]:
    return [(each.topic, each.key, CODEC.encode(each.topic, each.event)) for each in outputs]


def kinds(outputs: Sequence[Output]) -> list[type]:
    return [type(output.event) for output in outputs]


def a_frame(
    number: int,
    *people: int,
    epoch: int = EPOCH,
    purpose: Purpose = Purpose.SURVEILLANCE,
    at: float | None = None,
) -> FrameRecognized:
    """A frame with a track per person; person 0 is unknown."""
    moment = NOON + timedelta(seconds=number * 0.5 if at is None else at)
    header = a_frame_header(
        epoch=epoch,
        sequence_number=number,
        camera_timestamp=moment,
        received_timestamp=moment,
        purpose=purpose,
    )
    faces = tuple(
        a_recognized_face(
            face=a_detected_face(
                index=index,
                detection_id=detection_id(header.frame_key, index),
                track_id=f"trk_{person}",
                quality=a_quality(score=(number * 37 % 11) / 11),
            ),
            decision=a_decision(identified=person > 0, person_id=PERSONS[person]),
        )
        for index, person in enumerate(people)
    )
    asked = a_request(return_snapshots=True, return_embeddings=True)
    return a_frame_recognized(
        frame=header, faces=faces, request=asked if purpose is Purpose.PROCESS_FRAME else None
    )


FRAMES = st.lists(
    st.builds(
        lambda number, people, epoch, purpose: a_frame(
            number, *people, epoch=epoch, purpose=purpose
        ),
        st.integers(0, 40),
        st.lists(st.sampled_from([0, 1, 2]), max_size=3, unique=True),
        st.sampled_from([EPOCH, EPOCH, EPOCH + 4096]),
        st.sampled_from([*[Purpose.SURVEILLANCE] * 3, Purpose.PROCESS_FRAME, Purpose.ENROLLMENT]),
    ),
    max_size=25,
)


def records_of(frames: Sequence[FrameRecognized]) -> list[Record[FrameRecognized]]:
    return [a_record(frame, offset=offset) for offset, frame in enumerate(frames)]


def test_a_frame_gives_its_result_sighting_and_picture() -> None:
    outputs = Bench().take(a_record(a_frame(0, 1)))
    assert kinds(outputs) == [FrameResult, Sighting, Snapshot]
    assert {output.key for output in outputs} == {CAMERA_ID}
    assert [output.topic for output in outputs] == [
        TOPICS("results"),
        TOPICS("sightings"),
        TOPICS("snapshots"),
    ]


def test_a_push_gives_an_answer_keyed_by_its_request_besides() -> None:
    outputs = Bench().take(a_record(a_frame(0, 1, purpose=Purpose.PROCESS_FRAME)))
    assert kinds(outputs) == [FrameResult, Sighting, Snapshot, Snapshot, Answer]
    assert outputs[-1].key == a_request().request_id


def test_a_private_frame_moves_nothing() -> None:
    bench = Bench()
    outputs = bench.take(a_record(a_frame(0, 1, purpose=Purpose.ENROLLMENT)))
    assert kinds(outputs) == [FrameResult]
    assert bench.state.feeds == CameraState().feeds


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SHED])
def test_a_frame_that_was_not_recognised_moves_nothing_and_leaves_no_picture(
    outcome: Outcome,
) -> None:
    bench = Bench()
    frame = replace(a_frame(0, 1, purpose=Purpose.PROCESS_FRAME), outcome=outcome, reason="poison")

    first, again = bench.take(a_record(frame)), bench.take(a_record(frame))

    assert kinds(first) == [FrameResult, Answer]
    assert again == first
    assert bench.state.feeds == CameraState().feeds


def test_the_stage_time_names_this_process() -> None:
    (result, *_) = Bench("aggregator-7").take(a_record(a_frame(0)))
    stage = result.event.stages[-1]
    assert (stage.stage, stage.instance_id) == ("aggregator", "aggregator-7")
    assert stage.ended_at - stage.started_at == timedelta(milliseconds=3)


def test_another_record_of_the_same_frame_is_dropped() -> None:
    bench = Bench()
    bench.take(a_record(a_frame(0, 1), offset=0))
    before = bench.state
    assert bench.take(a_record(a_frame(0, 2), offset=1)) == ()
    assert bench.state == before


def test_a_late_frame_is_passed_on_and_moves_no_sighting() -> None:
    bench = Bench()
    bench.take(a_record(a_frame(5, 1), offset=0))
    before = bench.state.feeds
    for late in (a_frame(4, 1), a_frame(9, 1, epoch=EPOCH - 4096)):
        outputs = bench.take(a_record(late, offset=bench.state.seen[-1].offset + 1))
        assert kinds(outputs) == [FrameResult]
        assert bench.state.feeds == before


def test_a_push_for_a_streaming_camera_leaves_its_stream_alone() -> None:
    bench = Bench()
    bench.take(a_record(a_frame(0, 1), offset=0))
    newer = a_frame(0, 2, epoch=EPOCH + 4096, purpose=Purpose.PROCESS_FRAME, at=300)
    bench.take(a_record(newer, offset=1))
    outputs = bench.take(a_record(a_frame(2, 1), offset=2))
    assert kinds(outputs)[:2] == [FrameResult, Sighting]
    assert not outputs[1].event.closed


def test_a_frame_older_than_the_window_is_passed_on() -> None:
    bench = Bench()
    for number in range(300):
        bench.take(a_record(a_frame(number), offset=number))
    before = bench.state
    assert kinds(bench.take(a_record(a_frame(3, 1), offset=3))) == [FrameResult]
    assert bench.state == before


def test_poison_is_failed_with_an_event_and_stays_so() -> None:
    bench = Bench()
    record = a_record(a_frame(0, 1, purpose=Purpose.PROCESS_FRAME))
    step = bench.stage.poison(bench.state, record, bench.clock.now())
    assert step.poisoned
    assert kinds(step.outputs) == [FrameResult, Answer, LogEvent]
    result, answer = step.outputs[0].event, step.outputs[1].event
    assert (result.outcome, result.reason) == (Outcome.FAILED, "poison")
    assert (answer.status, answer.code) == ("error", "PROCESSING_FAILED")
    assert step.state.feeds == CameraState().feeds
    bench.clock.advance(60)
    again = bench.stage.process(step.state, record, bench.clock.now())
    assert again.poisoned
    assert encoded(again.outputs) == encoded(step.outputs)
    assert again.state == step.state


def test_poison_of_a_record_that_was_fine_before_changes_no_state() -> None:
    bench = Bench()
    record = a_record(a_frame(0, 1))
    bench.take(record)
    step = bench.stage.poison(bench.state, record, bench.clock.now())
    assert step.poisoned
    assert step.state == bench.state


def test_silence_closes_and_is_repeated_byte_for_byte() -> None:
    bench = Bench()
    bench.take(a_record(a_frame(0, 1)))
    assert bench.state.is_open
    step = bench.stage.close_silent(bench.state, CAMERA_ID)
    assert kinds(step.outputs) == [Sighting]
    assert not step.state.is_open
    repeated = bench.stage.closed_by_silence(step.state, CAMERA_ID)
    assert encoded(repeated) == encoded(step.outputs)


@given(FRAMES)
@settings(deadline=None, max_examples=40)
def test_every_batch_replayed_gives_nothing_new(frames: list[FrameRecognized]) -> None:
    bench, records = Bench(), records_of(frames)
    emitted = {each for record in records for each in encoded(bench.take(record))}
    before = bench.state
    bench.clock.advance(120)
    again = [each for record in records for each in encoded(bench.take(record))]
    assert set(again) <= emitted
    assert bench.state == before


@given(FRAMES, st.data())
@settings(deadline=None, max_examples=40)
def test_a_crash_anywhere_leaves_no_hole_in_what_readers_keep(
    frames: list[FrameRecognized], data: st.DataObject
) -> None:
    """State durable up to one record, outputs up to an earlier one, offsets up to an even earlier.

    Readers keep the first result of a frame and the highest revision of a sighting.
    """
    records = records_of(frames)
    smooth = Bench()
    expected = [output for record in records for output in smooth.take(record)]
    state_at = data.draw(st.integers(0, len(records)))
    sent_to = data.draw(st.integers(0, state_at))
    committed = data.draw(st.integers(0, sent_to))
    crashed = Bench()
    arrived: list[Output] = []
    for position, record in enumerate(records[:state_at]):
        outputs = crashed.take(record)
        arrived += outputs if position < sent_to else ()
    successor = Bench("aggregator-2")
    successor.state = crashed.state
    for record in records[committed:]:
        arrived += successor.take(record)
    assert kept(arrived) == kept(expected)


def kept(outputs: Sequence[Output]) -> dict[tuple[str, str], object]:
    """What a reader who deduplicates by key has in the end, without times of processing."""
    found: dict[tuple[str, str], object] = {}
    for event in (output.event for output in outputs):
        match event:
            case FrameResult():
                found.setdefault(("result", event.frame.frame_key), replace(event, stages=()))
            case Sighting():
                newest = found.get(("sighting", event.sighting_id))
                if not isinstance(newest, Sighting) or newest.revision <= event.revision:
                    found["sighting", event.sighting_id] = event
            case Answer():
                found["answer", f"{event.request_id}{event.frame_key}"] = event.status
            case _:
                pass
    return found


def test_state_of_another_format_is_refused() -> None:
    for data in (b"", b"\x07" + STATES.encode(CameraState()).data):
        with pytest.raises(ConfigurationError, match="format"):
            STATES.decode(data)
    assert STATES.decode(STATES.encode(CameraState()).data) == CameraState()


@given(FRAMES)
@settings(deadline=None, max_examples=40)
def test_a_state_written_from_the_one_before_has_the_same_bytes(
    frames: Sequence[FrameRecognized],
) -> None:
    bench = Bench()
    before: EncodedState | None = None
    for frame in frames:
        started_at = bench.clock.now()
        bench.state = bench.stage.process(bench.state, a_record(frame), started_at).state
        before = STATES.encode(bench.state, before)
        assert before.data == STATES.encode(bench.state).data


def test_only_sightings_that_changed_are_encoded_again() -> None:
    bench = Bench()
    step = bench.stage.process(CameraState(), a_record(a_frame(0, 1, 2)), NOON)
    first = STATES.encode(step.state)
    step = bench.stage.process(step.state, a_record(a_frame(1, 2)), NOON)
    second = STATES.encode(step.state, first)
    ada, bob = (first.parts[id(item)] for item in first.state.stream.followed)
    stayed, changed = (second.parts[id(item)] for item in second.state.stream.followed)
    assert stayed is ada
    assert changed != bob


def test_state_that_was_written_without_compression_is_read() -> None:
    bench = Bench()
    bench.take(a_record(a_frame(0, 1)))
    content = cramjam.lz4.decompress_block(STATES.encode(bench.state).data[1:])
    assert STATES.decode(b"\x01" + bytes(content)) == bench.state


@given(FRAMES)
@settings(deadline=None, max_examples=40)
def test_two_processes_give_the_same_ids_and_revisions(frames: list[FrameRecognized]) -> None:
    one, other = Bench("aggregator-1"), Bench("aggregator-2")
    for record in records_of(frames):
        assert [
            output.event
            for output in one.take(record)
            if isinstance(output.event, (Sighting, Snapshot))
        ] == [
            output.event
            for output in other.take(record)
            if isinstance(output.event, (Sighting, Snapshot))
        ]


@given(st.permutations(range(12)))
@settings(deadline=None, max_examples=40)
def test_every_frame_has_exactly_one_result_in_whatever_order_they_come(order: list[int]) -> None:
    bench = Bench()
    keys = [
        output.event.frame.frame_key
        for offset, number in enumerate(order)
        for output in bench.take(a_record(a_frame(number, 1), offset=offset))
        if isinstance(output.event, FrameResult)
    ]
    assert sorted(keys) == sorted(a_frame(number).frame.frame_key for number in order)
    (sighting,) = bench.state.stream.followed
    in_order = [number for place, number in enumerate(order) if number == max(order[: place + 1])]
    assert sighting.facts.frame_count == len(in_order)
