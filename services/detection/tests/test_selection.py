from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.domain.batching import portions
from detection.domain.face import RawFace
from detection.domain.geometry import area, shorter_side
from detection.domain.report import failed, ledger_entries, shed
from detection.domain.selection import FaceFilter, face_filter, select_faces
from detection.domain.wishes import wishes
from mesh.events import BoundingBox, FrameHeader, Lane, Point, Purpose, SequenceRange
from mesh.testing import (
    NOON,
    a_detection_config,
    a_frame_captured,
    a_frame_header,
    a_request,
)

MakeFace = Callable[..., RawFace]
LIMITS = FaceFilter(min_confidence=0.65, min_face_size=40, max_faces=3)


def test_a_camera_sets_the_limits_of_its_frames() -> None:
    config = a_detection_config(confidence_threshold=0.7, min_face_size=50, max_faces_per_frame=4)
    limits = face_filter(a_frame_captured(detection=config))
    assert limits == FaceFilter(min_confidence=0.7, min_face_size=50, max_faces=4)


def test_a_request_overrides_what_it_names() -> None:
    asked = a_request(min_confidence=0.3, max_faces=1)
    limits = face_filter(a_frame_captured(request=asked))
    assert limits == FaceFilter(min_confidence=0.3, min_face_size=40, max_faces=1)
    limits = face_filter(a_frame_captured(request=a_request(min_face_size=20)))
    assert limits == FaceFilter(min_confidence=0.65, min_face_size=20, max_faces=10)


def test_an_enrolment_photo_has_no_size_limit() -> None:
    frame = a_frame_header(purpose=Purpose.ENROLLMENT)
    assert face_filter(a_frame_captured(frame=frame, request=a_request())).min_face_size == 0


def test_a_camera_may_be_there_for_other_tasks_alone() -> None:
    persons = a_detection_config(tasks=("person",))
    assert wishes(a_frame_captured()) == {"face"}
    assert wishes(a_frame_captured(detection=persons)) == {"person"}
    assert wishes(a_frame_captured(detection=persons, request=a_request())) == {"face"}


def test_faces_that_miss_a_limit_are_left_out_and_the_largest_come_first(
    a_face: MakeFace,
) -> None:
    faces = [
        a_face(side=50),
        a_face(side=90),
        a_face(side=39.9),
        a_face(side=70, confidence=0.64),
        a_face(side=60),
        a_face(side=80),
    ]
    kept = select_faces(faces, LIMITS, width=640, height=360)
    assert [shorter_side(face.box) for face in kept] == [90, 80, 60]


def test_a_box_that_leaves_the_picture_counts_only_inside(a_face: MakeFace) -> None:
    faces = [a_face(x=-30, side=60), a_face(x=-10, side=60), a_face(x=700, side=60)]
    (face,) = select_faces(faces, LIMITS, width=640, height=360)
    assert face.box == BoundingBox(x1=0, y1=80, x2=50, y2=140)


@given(
    st.lists(
        st.tuples(st.floats(-50, 700), st.floats(-50, 400), st.floats(1, 300), st.floats(0, 1)),
        max_size=12,
    )
)
def test_whatever_is_kept_is_within_the_limits(
    drawn: list[tuple[float, float, float, float]],
) -> None:
    faces = [
        RawFace(
            box=BoundingBox(x1=x, y1=y, x2=x + side, y2=y + side),
            confidence=confidence,
            landmarks=(Point(x=x, y=y),) * 5,
        )
        for x, y, side, confidence in drawn
    ]
    kept = select_faces(faces, LIMITS, width=640, height=360)
    areas = [area(face.box) for face in kept]
    assert len(kept) <= 3
    assert areas == sorted(areas, reverse=True)
    assert all(face.confidence >= 0.65 and shorter_side(face.box) >= 40 for face in kept)
    assert all(0 <= face.box.x1 < face.box.x2 <= 640 for face in kept)


def test_entries_are_told_apart_by_camera_epoch_lane_and_reason() -> None:
    def frame(number: int, **changes: Any) -> FrameHeader:
        return replace(a_frame_header(sequence_number=number), **changes)

    entries = ledger_entries(
        [
            (frame(4), shed("deadline")),
            (frame(3), shed("deadline")),
            (frame(7), shed("deadline")),
            (frame(5), shed("max_age")),
            (frame(6, lane=Lane.URGENT), shed("max_age")),
            (frame(1, camera_id="cam_x"), failed("poison")),
        ],
        instance_id="d-0",
        reported_at=NOON,
    )
    told = {(e.camera_id, e.lane, e.outcome, e.reason): e.ranges for e in entries}
    camera = a_frame_header().camera_id
    one = SequenceRange
    assert told == {
        (camera, Lane.LIVE, "shed", "deadline"): (one(first=3, last=4), one(first=7, last=7)),
        (camera, Lane.LIVE, "shed", "max_age"): (one(first=5, last=5),),
        (camera, Lane.URGENT, "shed", "max_age"): (one(first=6, last=6),),
        ("cam_x", Lane.LIVE, "failed", "poison"): (one(first=1, last=1),),
    }


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 60))
def test_portions_keep_the_order_and_the_limit(widths: list[int], limit: int) -> None:
    events = [a_frame_captured(frame=a_frame_header(width=w, height=1)) for w in widths]
    cut = list(portions(events, limit))
    assert [event.frame.width for portion in cut for event in portion] == widths
    for portion in cut:
        assert len(portion) == 1 or sum(event.frame.width for event in portion) <= limit


@pytest.mark.parametrize("count", [0, 1])
def test_no_portion_is_empty(count: int) -> None:
    assert [len(p) for p in portions([a_frame_captured()] * count, 10)] == [1] * count
