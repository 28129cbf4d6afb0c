"""Faces, what recognition says of them, and results."""

from dataclasses import replace
from datetime import timedelta
from struct import pack
from typing import Any

from mesh import events
from mesh.identity import detection_id
from mesh.testing.frames import (
    CAMERA_ID,
    EPOCH,
    NOON,
    PERSON_ID,
    a_detection_config,
    a_frame_header,
    a_stage_time,
    header_in,
)

MODEL_ID = "omz-face-reid-0095"


def a_quality(**changes: Any) -> events.FaceQuality:
    """A sharp, well-lit face of 100 x 100 pixels."""
    made = events.FaceQuality(
        score=0.9, sharpness=250.0, brightness=120.0, is_blurry=False, face_size_pixels=10_000
    )
    return replace(made, **changes)


def a_detected_face(**changes: Any) -> events.DetectedFace:
    """A face that is fit for recognition, with a chip that holds no picture."""
    index = changes.get("index", 0)
    made = events.DetectedFace(
        index=index,
        detection_id=detection_id(a_frame_header().frame_key, index),
        box=events.BoundingBox(x1=100.0, y1=100.0, x2=200.0, y2=200.0),
        confidence=0.9,
        landmarks=_landmarks(100.0),
        track_id=f"trk_{index}",
        quality=a_quality(),
        chip=events.FaceChip(
            image=b"\xff\xd8\xff\xe0 no chip \xff\xd9",
            width=140,
            height=140,
            landmarks=_landmarks(20.0),
        ),
    )
    return replace(made, **changes)


def a_frame_detected(**changes: Any) -> events.FrameDetected:
    """A frame with one face."""
    made = events.FrameDetected(
        frame=header_in(changes),
        outcome=events.Outcome.PROCESSED,
        faces=(a_detected_face(),),
        detection=a_detection_config(),
        stages=(a_stage_time("camera"), a_stage_time("detection")),
    )
    return replace(made, **changes)


def an_embedding(*values: float, **changes: Any) -> events.Embedding:
    """A unit vector of four elements, or these values as they are."""
    vector = values or (1.0, 0.0, 0.0, 0.0)
    made = events.Embedding(
        model_id=MODEL_ID,
        dtype="float32",
        dim=len(vector),
        vector=pack(f"<{len(vector)}f", *vector),
    )
    return replace(made, **changes)


def a_candidate(**changes: Any) -> events.Candidate:
    """Somebody near."""
    similarity = changes.get("similarity", 0.8)
    made = events.Candidate(
        person_id=PERSON_ID, similarity=similarity, distance=round(1 - similarity, 6)
    )
    return replace(made, **changes)


def a_decision(**changes: Any) -> events.Decision:
    """The person was recognised with a clear margin."""
    made = events.Decision(
        identified=True,
        person_id=PERSON_ID,
        reason="matched",
        similarity=0.8,
        distance=0.2,
        threshold=0.5,
        margin=0.3,
        margin_limit=0.05,
        candidates=(a_candidate(),),
        model_id=MODEL_ID,
        gallery_version=1,
        gallery_size=1,
    )
    return replace(made, **changes)


def a_recognized_face(**changes: Any) -> events.RecognizedFace:
    """A face with its embedding and a match."""
    made = events.RecognizedFace(
        face=a_detected_face(), embedding=an_embedding(), decision=a_decision()
    )
    return replace(made, **changes)


def a_frame_recognized(**changes: Any) -> events.FrameRecognized:
    """A frame with one recognised face."""
    made = events.FrameRecognized(
        frame=header_in(changes),
        outcome=events.Outcome.PROCESSED,
        faces=(a_recognized_face(),),
        detection=a_detection_config(),
        stages=tuple(map(a_stage_time, ("camera", "detection", "recognition"))),
    )
    return replace(made, **changes)


def a_result_detection(**changes: Any) -> events.ResultDetection:
    """A recognised face as results carry it."""
    face = a_detected_face()
    made = events.ResultDetection(
        detection_id=face.detection_id,
        index=face.index,
        detection_type="face",
        box=face.box,
        confidence=face.confidence,
        track_id=face.track_id,
        quality=face.quality,
        landmarks=face.landmarks,
        decision=a_decision(),
    )
    return replace(made, **changes)


def a_frame_result(**changes: Any) -> events.FrameResult:
    """The result of a frame with one recognised face."""
    made = events.FrameResult(
        frame=header_in(changes),
        outcome=events.Outcome.PROCESSED,
        detections=(a_result_detection(),),
        stages=tuple(map(a_stage_time, ("camera", "detection", "recognition", "aggregator"))),
    )
    return replace(made, **changes)


def a_sighting(**changes: Any) -> events.Sighting:
    """A person seen for two seconds, still open."""
    key = a_frame_header().frame_key
    made = events.Sighting(
        sighting_id="sgt_00000000-0000-4000-8000-000000000001",
        camera_id=CAMERA_ID,
        camera_name="Front door",
        epoch=EPOCH,
        person_id=PERSON_ID,
        track_ids=("trk_0",),
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=2),
        first_frame_key=key,
        last_frame_key=key,
        frame_count=1,
        best_detection_id=detection_id(key, 0),
        best_quality=0.9,
        best_similarity=0.8,
        closed=False,
        revision=0,
    )
    return replace(made, **changes)


def _landmarks(offset: float) -> tuple[events.Point, ...]:
    five = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
    return tuple(events.Point(x=x + offset, y=y + offset) for x, y in five)
