"""The public result is a function of what recognition said."""

from dataclasses import replace
from datetime import timedelta

import pytest

from aggregator.domain.answers import frame_answer
from aggregator.domain.event_time import event_time
from aggregator.domain.results import frame_result
from aggregator.domain.snapshots import best_of_sightings, requested
from mesh.codec import AvroCodec
from mesh.events import (
    Activity,
    BoundingBox,
    DetectedObject,
    FaceAttributes,
    FrameRecognized,
    Liveness,
    Outcome,
    Purpose,
)
from mesh.testing import (
    NOON,
    a_detected_face,
    a_frame_header,
    a_frame_recognized,
    a_recognized_face,
    a_request,
    a_stage_time,
    an_enrollment,
)
from mesh.topics import Topics

STAGE = a_stage_time("aggregator")
PIXELS = a_detected_face().chip


def an_object(class_name: str) -> DetectedObject:
    return DetectedObject(
        index=0,
        detection_id="det_x",
        class_name=class_name,
        box=BoundingBox(x1=0, y1=0, x2=1, y2=1),
        confidence=0.5,
    )


def a_push(**changes: object) -> FrameRecognized:
    header = a_frame_header(purpose=Purpose.PROCESS_FRAME)
    return a_frame_recognized(frame=header, **{"request": a_request(), **changes})


def test_a_result_carries_decisions_and_stage_times_but_no_sighting() -> None:
    event = a_frame_recognized()
    result = frame_result(event, STAGE)
    assert result.frame == event.frame
    assert result.stages == (*event.stages, STAGE)
    assert [found.decision for found in result.detections] == [event.faces[0].decision]
    assert result.detections[0].sighting_id is None
    assert result.revision == 0


def test_neither_pixels_nor_embeddings_leave_with_a_result() -> None:
    assert PIXELS is not None
    event = a_frame_recognized()
    data = AvroCodec.in_memory().encode(Topics()("results"), frame_result(event, STAGE))
    assert PIXELS.image not in data
    assert event.faces[0].embedding is not None
    assert event.faces[0].embedding.vector not in data


@pytest.mark.parametrize(
    "purpose", sorted(set(Purpose) - {Purpose.SURVEILLANCE, Purpose.PROCESS_FRAME})
)
def test_private_purposes_leave_only_their_outcome(purpose: Purpose) -> None:
    event = a_frame_recognized(
        frame=a_frame_header(purpose=purpose),
        request=a_request(enrollment=an_enrollment(), return_embeddings=True),
    )
    result = frame_result(event, STAGE)
    assert (result.outcome, result.detections, result.models) == (Outcome.PROCESSED, (), ())
    assert result.frame.purpose is purpose
    assert frame_answer(event, result, STAGE) is None


def test_what_further_models_said_of_faces_and_persons_is_passed_on() -> None:
    attributes = FaceAttributes(
        left_eye_openness=0.3, liveness=Liveness(score=0.9, model_id="minifasnet")
    )
    fall = Activity(name="fall", score=0.7, model_id="fall-heuristic")
    event = a_frame_recognized(
        faces=(a_recognized_face(face=a_detected_face(attributes=attributes)),),
        objects=(replace(an_object("person"), activity=fall),),
    )
    face, person = frame_result(event, STAGE).detections
    assert (face.attributes, face.activity) == (attributes, None)
    assert (person.attributes, person.activity) == (None, fall)


@pytest.mark.parametrize(
    ("class_name", "kind"), [("person", "person"), ("bus", "vehicle"), ("dog", "object")]
)
def test_objects_are_persons_vehicles_or_objects(class_name: str, kind: str) -> None:
    event = a_frame_recognized(faces=(), objects=(an_object(class_name),))
    found = frame_result(event, STAGE).detections[0]
    assert (found.detection_type, found.class_name) == (kind, class_name)


def test_a_poisoned_frame_is_failed_with_its_stages() -> None:
    result = frame_result(a_frame_recognized(), STAGE, poisoned=True)
    assert (result.outcome, result.reason) == (Outcome.FAILED, "poison")
    assert result.detections == ()
    assert result.stages[-1] == STAGE


def test_a_camera_clock_is_believed_within_a_minute() -> None:
    near, far = NOON - timedelta(seconds=60), NOON - timedelta(seconds=60.001)
    assert event_time(a_frame_header(camera_timestamp=near)) == near
    assert event_time(a_frame_header(camera_timestamp=far)) == NOON
    assert event_time(a_frame_header(camera_timestamp=NOON + timedelta(days=9))) == NOON


def test_a_push_is_answered_with_its_result() -> None:
    event = a_push()
    answer = frame_answer(event, frame_result(event, STAGE), STAGE)
    assert answer is not None
    assert (answer.kind, answer.status, answer.code) == ("frame", "success", None)
    assert answer.request_id == a_request().request_id
    assert answer.result == frame_result(event, STAGE)
    assert answer.embeddings == ()
    assert answer.answered_at == STAGE.ended_at


def test_a_push_without_faces_says_so() -> None:
    event = a_push(faces=())
    answer = frame_answer(event, frame_result(event, STAGE), STAGE)
    assert answer is not None
    assert (answer.status, answer.message) == ("success", "No faces detected in frame")


def test_embeddings_are_answered_to_who_asked() -> None:
    bare = a_recognized_face(embedding=None, face=a_detected_face(index=1, detection_id="det_2"))
    event = a_push(faces=(a_recognized_face(), bare), request=a_request(return_embeddings=True))
    answer = frame_answer(event, frame_result(event, STAGE), STAGE)
    assert answer is not None
    assert [each.detection_id for each in answer.embeddings] == [event.faces[0].face.detection_id]


@pytest.mark.parametrize(
    ("outcome", "reason", "code"),
    [
        (Outcome.FAILED, "unreadable_image: truncated", "FRAME_UNREADABLE"),
        (Outcome.FAILED, "model_timeout", "MODEL_TIMEOUT"),
        (Outcome.FAILED, "poison", "PROCESSING_FAILED"),
        (Outcome.FAILED, None, "PROCESSING_FAILED"),
        (Outcome.SHED, "deadline", "DEADLINE_EXCEEDED"),
        (Outcome.SHED, "gallery", "OVERLOADED"),
    ],
)
def test_a_push_that_was_not_processed_is_an_error(
    outcome: Outcome, reason: str | None, code: str
) -> None:
    event = a_push(outcome=outcome, reason=reason, faces=())
    answer = frame_answer(event, frame_result(event, STAGE), STAGE)
    assert answer is not None
    assert (answer.status, answer.code) == ("error", code)
    assert outcome.value in answer.message


def test_nobody_waits_for_a_camera_frame() -> None:
    event = a_frame_recognized()
    assert frame_answer(event, frame_result(event, STAGE), STAGE) is None


def test_requested_pictures_are_named_by_their_digest() -> None:
    chipless = a_recognized_face(face=a_detected_face(index=1, chip=None))
    event = a_push(faces=(a_recognized_face(), chipless), request=a_request(return_snapshots=True))
    (snapshot,) = requested(event)
    assert PIXELS is not None
    assert snapshot.image == PIXELS.image
    assert len(snapshot.sha256) == 64
    assert (snapshot.reason, snapshot.sighting_id) == ("requested", None)
    assert requested(a_push()) == ()
    assert requested(a_frame_recognized()) == ()


def test_the_best_picture_of_a_sighting_names_it() -> None:
    event = a_frame_recognized()
    chipless = a_recognized_face(face=a_detected_face(chip=None))
    (snapshot,) = best_of_sightings(event, [("sgt_1", event.faces[0]), ("sgt_2", chipless)])
    assert (snapshot.sighting_id, snapshot.reason) == ("sgt_1", "best_of_sighting")
    assert snapshot.taken_at == NOON
