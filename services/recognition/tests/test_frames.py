from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from services.recognition.tests.arranging import (
    MODEL_ID,
    Bench,
    a_face_of,
    a_frame,
    a_photo,
    emitted,
    in_memory,
    per,
    vector,
)

from mesh.clock import ManualClock
from mesh.errors import TransientError
from mesh.events import Answer, FrameRecognized, Lane, Outcome, Purpose, Rejection
from mesh.stage import Emit, Reject
from mesh.testing import NOON, a_detection_config, a_frame_header, a_request
from recognition.domain.embedding import Vectors, from_event
from recognition.ports import RegistryTransaction, SearchResult, StoredChip


class Outage:
    """A gallery that cannot be searched while `away`."""

    def __init__(self, bench: Bench) -> None:
        self.away = False
        self._gallery = bench.gallery

    def search(
        self,
        probes: Vectors,
        collections: Sequence[str | None],
        limit: int,
    ) -> SearchResult:
        if self.away:
            raise TransientError("the gallery is stale")
        return self._gallery.search(probes, collections, limit)

    def version(self) -> int:
        return self._gallery.version()

    def size(self, collection: str | None = None) -> int:
        return self._gallery.size(collection)


class NoRegistry:
    """A registry whose database is away."""

    def transaction(self) -> AbstractContextManager[RegistryTransaction]:
        raise TransientError("the database is away")

    def unembedded(self, model_id: str, *, after: str, limit: int) -> Sequence[StoredChip]:
        raise TransientError("the database is away")


@pytest.fixture
def bench() -> Bench:
    bench = in_memory()
    bench.enroll(1, 1.0, sequence=1001)
    bench.enroll(2, 0.0, 1.0, sequence=1002)
    bench.embedder.calls.clear()
    return bench


def recognized(bench: Bench, *records: object) -> list[FrameRecognized]:
    outputs = bench.outputs(*records)  # type: ignore[arg-type]  # frames
    return [out.event for out in outputs if isinstance(out.event, FrameRecognized)]


def test_a_known_face_gets_its_name_with_the_reasons(bench: Bench) -> None:
    (frame,) = recognized(bench, a_frame(a_face_of(0.9, 0.1)))
    (face,) = frame.faces
    assert face.decision is not None
    assert (face.decision.person_id, face.decision.reason) == (per(1), "matched")
    assert [candidate.person_id for candidate in face.decision.candidates] == [per(1), per(2)]
    assert (face.decision.gallery_size, face.decision.gallery_version) == (2, 2)
    assert frame.outcome is Outcome.PROCESSED


def test_a_stranger_stays_unknown(bench: Bench) -> None:
    (frame,) = recognized(bench, a_frame(a_face_of(0.0, 0.0, 1.0)))
    assert frame.faces[0].decision is not None
    assert frame.faces[0].decision.reason == "below_threshold"


def test_all_faces_of_a_batch_are_embedded_in_one_call(bench: Bench) -> None:
    frames = [a_frame(a_face_of(1.0), a_face_of(0.0, 1.0), sequence=number) for number in range(3)]
    recognized(bench, *frames)
    assert bench.embedder.calls == [6]


def test_model_and_stage_time_are_noted_after_those_of_detection(bench: Bench) -> None:
    (frame,) = recognized(bench, a_frame(a_face_of(1.0)))
    assert [use.model_id for use in frame.models] == [MODEL_ID]
    assert [stage.stage for stage in frame.stages] == ["camera", "detection", "recognition"]


def test_the_frame_goes_out_under_its_camera(bench: Bench) -> None:
    record = a_frame(a_face_of(1.0))
    (output,) = bench.outputs(record)
    assert (output.topic, output.key) == (
        "sightline.recognitions",
        record.event.frame.camera_id,
    )


def test_pictures_of_a_track_are_fused(bench: Bench) -> None:
    faces = [a_face_of(0.8, 0.0, 0.6), a_face_of(0.8, 0.0, 0.0, 0.6)]
    first, second = recognized(
        bench, *(a_frame(face, sequence=number) for number, face in enumerate(faces))
    )
    alone, fused = first.faces[0].decision, second.faces[0].decision
    assert alone is not None
    assert fused is not None
    assert (alone.fused_samples, fused.fused_samples) == (1, 2)
    assert (fused.similarity or 0) > (alone.similarity or 0)


def test_a_face_without_track_is_judged_alone(bench: Bench) -> None:
    frames = [a_frame(a_face_of(1.0, track_id=None), sequence=number) for number in range(2)]
    assert [
        frame.faces[0].decision.fused_samples
        for frame in recognized(bench, *frames)
        if frame.faces[0].decision
    ] == [1, 1]


def test_a_batch_processed_twice_says_the_same(bench: Bench) -> None:
    records = [a_frame(a_face_of(1.0, 0.1 * number), sequence=number) for number in range(4)]
    assert bench.outputs(*records) == bench.outputs(*records)


def test_an_unfit_face_is_not_embedded(bench: Bench) -> None:
    blurred = Rejection(reason="blurry", field="sharpness", value=1, limit=12, message="Blurry.")
    (frame,) = recognized(bench, a_frame(a_face_of(1.0, rejections=(blurred,))))
    (face,) = frame.faces
    assert face.embedding is None
    assert face.decision is not None
    assert (face.decision.reason, face.decision.gallery_size) == ("low_quality", 2)
    assert bench.embedder.calls == []


LEFT_OUT = Rejection(reason="chip_budget", field="chip_bytes", value=9, limit=8, message="Crowd.")


@pytest.mark.parametrize(
    "broken",
    [{"chip": None}, {"chip": a_face_of().chip}, {"chip": None, "rejections": (LEFT_OUT,)}],
)
def test_a_face_that_cannot_be_embedded_is_said_so(bench: Bench, broken: dict[str, Any]) -> None:
    (frame,) = recognized(bench, a_frame(a_face_of(1.0, **broken)))
    assert frame.faces[0].embedding is None
    assert frame.faces[0].decision is not None
    assert frame.faces[0].decision.reason == "no_embedding"
    assert frame.models == ()


def test_an_empty_gallery_names_nobody() -> None:
    (frame,) = recognized(in_memory(), a_frame(a_face_of(1.0)))
    assert frame.faces[0].decision is not None
    assert frame.faces[0].decision.reason == "empty_gallery"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SHED])
def test_a_frame_that_ended_earlier_passes_unchanged(bench: Bench, outcome: Outcome) -> None:
    (frame,) = recognized(bench, a_frame(outcome=outcome, reason="unreadable_image"))
    assert (frame.outcome, frame.reason, frame.faces) == (outcome, "unreadable_image", ())


@pytest.mark.parametrize("purpose", [Purpose.ENCODE, Purpose.SEARCH])
def test_who_asks_for_an_embedding_gets_it_in_full_and_no_name(
    bench: Bench, purpose: Purpose
) -> None:
    (frame,) = recognized(
        bench, a_frame(a_face_of(0.6, 0.8), frame=a_frame_header(purpose=purpose))
    )
    (face,) = frame.faces
    assert face.decision is None
    assert face.embedding is not None
    assert face.embedding.dtype == "float32"
    assert from_event(face.embedding).tolist() == pytest.approx(vector(0.6, 0.8).tolist())


@pytest.mark.parametrize(
    "changes",
    [
        {"request": a_request(model_type="face-detection")},
        {"frame": a_frame_header(purpose=Purpose.DROWSINESS)},
    ],
)
def test_who_does_not_ask_for_recognition_gets_none(bench: Bench, changes: dict[str, Any]) -> None:
    (frame,) = recognized(bench, a_frame(a_face_of(1.0), **changes))
    assert (frame.faces[0].embedding, frame.faces[0].decision) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"request": a_request(collection="visitors")},
        {"detection": a_detection_config(collection="visitors")},
    ],
)
def test_only_the_asked_collection_is_searched(bench: Bench, changes: dict[str, Any]) -> None:
    (frame,) = recognized(bench, a_frame(a_face_of(1.0), **changes))
    assert frame.faces[0].decision is not None
    assert frame.faces[0].decision.reason == "empty_gallery"


def test_a_frame_given_up_leaves_with_that_outcome(bench: Bench) -> None:
    (output,) = emitted(bench.stage.give_up([a_frame(a_face_of(1.0))], "failed", "poison"))
    assert (output.event.outcome, output.event.reason) == (Outcome.FAILED, "poison")
    assert output.event.faces[0].decision is None


def test_who_waits_for_an_enrolment_hears_that_it_was_given_up(bench: Bench) -> None:
    outputs = emitted(bench.stage.give_up([a_photo(a_face_of(1.0))], "shed", "deadline"))
    answer = outputs[1].event
    assert isinstance(answer, Answer)
    assert (answer.status, answer.code) == ("error", "DEADLINE_EXCEEDED")


def test_an_enrolment_without_a_person_is_rejected(bench: Bench) -> None:
    header = a_frame_header(purpose=Purpose.ENROLLMENT)
    (outcome,) = bench.stage.process([a_frame(a_face_of(1.0), frame=header)])
    assert isinstance(outcome, Reject)


class TestGalleryAway:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(NOON)

    @pytest.fixture
    def outage(self, bench: Bench, clock: ManualClock) -> Outage:
        return Outage(bench)

    @pytest.fixture
    def away(self, bench: Bench, clock: ManualClock, outage: Outage) -> Bench:
        return replace(bench, gallery=outage, clock=clock)

    def test_nobody_is_called_unknown(self, away: Bench, outage: Outage) -> None:
        outage.away = True
        with pytest.raises(TransientError):
            away.stage.process([a_frame(a_face_of(1.0))])

    def test_live_frames_age_out_and_the_rest_waits(
        self, away: Bench, outage: Outage, clock: ManualClock
    ) -> None:
        outage.away = True
        live = a_frame(a_face_of(1.0))
        evidence = a_frame(a_face_of(1.0), frame=a_frame_header(lane=Lane.EVIDENCE))
        with pytest.raises(TransientError):
            away.stage.process([live])
        clock.advance(timedelta(seconds=3).total_seconds())
        (outcome,) = away.stage.process([live])
        assert isinstance(outcome, Emit)
        assert (outcome.outputs[0].event.outcome, outcome.outputs[0].event.reason) == (
            Outcome.SHED,
            "gallery",
        )
        with pytest.raises(TransientError):
            away.stage.process([evidence])

    def test_once_it_is_back_frames_are_recognised_again(
        self, away: Bench, outage: Outage, clock: ManualClock
    ) -> None:
        outage.away = True
        with pytest.raises(TransientError):
            away.stage.process([a_frame(a_face_of(1.0))])
        outage.away = False
        (fresh,) = recognized(away, a_frame(a_face_of(1.0), sequence=1))
        clock.advance(60)
        (late,) = recognized(away, a_frame(a_face_of(1.0), sequence=2))
        assert [frame.outcome for frame in (fresh, late)] == [Outcome.PROCESSED] * 2

    def test_a_photo_is_answered_at_its_deadline_though_the_registry_is_away(
        self, bench: Bench, clock: ManualClock
    ) -> None:
        away = replace(bench, registry=NoRegistry(), clock=clock)
        photo = a_photo(a_face_of(1.0))
        header = replace(photo.event.frame, deadline=NOON + timedelta(seconds=5))
        photo = replace(photo, event=replace(photo.event, frame=header))
        with pytest.raises(TransientError):
            away.stage.process([photo])
        clock.advance(5)
        frame, answer = (output.event for output in away.outputs(photo))
        assert (frame.outcome, frame.reason) == (Outcome.SHED, "deadline")
        assert (answer.status, answer.code) == ("error", "DEADLINE_EXCEEDED")

    def test_frames_without_faces_pass(self, away: Bench, outage: Outage) -> None:
        outage.away = True
        assert recognized(away, a_frame())[0].outcome is Outcome.PROCESSED
