"""Builders and doubles for tests: plausible events with the changes that a test is about.

Every builder takes the fields of its event as keywords. Identifiers that follow from others
(`frame_key`, `detection_id`) are derived unless they are given.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any, TypeVar

from mesh import events
from mesh.identity import detection_id, frame_key
from mesh.memory import InMemoryBroker
from mesh.record import Record

__all__ = [
    "CAMERA_ID",
    "NOON",
    "PERSON_ID",
    "InMemoryBroker",
    "a_camera",
    "a_candidate",
    "a_decision",
    "a_detected_face",
    "a_detection_config",
    "a_face",
    "a_frame_captured",
    "a_frame_detected",
    "a_frame_header",
    "a_frame_recognized",
    "a_frame_result",
    "a_person",
    "a_quality",
    "a_recognized_face",
    "a_record",
    "a_request",
    "a_result_detection",
    "a_sighting",
    "a_stage_time",
    "an_embedding",
    "an_enrollment",
]

CAMERA_ID = "cam_00000000-0000-4000-8000-000000000001"
PERSON_ID = "per_00000000-0000-4000-8000-000000000001"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When everything in these events happened, unless said otherwise."""
EPOCH = int(NOON.timestamp() * 1_000_000) << 12
MODEL_ID = "omz-face-reid-0095"

E = TypeVar("E")


def a_record(
    event: E,
    *,
    topic: str = "sightline.frames.live",
    partition: int = 0,
    offset: int = 0,
    key: str | None = None,
    headers: Mapping[str, bytes] | None = None,
    timestamp: datetime | None = NOON,
) -> Record[E]:
    """A consumed record of this event; its key is the event's camera unless given."""
    return Record(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key or _camera_of(event),
        event=event,
        headers=headers or {},
        timestamp=timestamp,
    )


def a_detection_config(**changes: Any) -> events.DetectionConfig:
    """Settings of a camera: the defaults."""
    return events.DetectionConfig(**changes)


def a_frame_header(**changes: Any) -> events.FrameHeader:
    """Frame 0 of a camera, live, surveillance, 640 x 360, taken and received at noon."""
    header = replace(
        events.FrameHeader(
            frame_key="",
            camera_id=CAMERA_ID,
            camera_name="Front door",
            epoch=EPOCH,
            sequence_number=0,
            lane=events.Lane.LIVE,
            priority=events.Priority.NORMAL,
            purpose=events.Purpose.SURVEILLANCE,
            stream_type=events.StreamType.RTSP,
            camera_timestamp=NOON,
            timestamp_source=events.TimestampSource.ARRIVAL,
            received_timestamp=NOON,
            width=640,
            height=360,
        ),
        **changes,
    )
    derived = frame_key(header.camera_id, header.epoch, header.sequence_number)
    return replace(header, frame_key=header.frame_key or derived)


def a_stage_time(stage: str = "camera", **changes: Any) -> events.StageTime:
    """Ten milliseconds of one stage."""
    made = events.StageTime(
        stage=stage,
        instance_id=f"{stage}-0",
        started_at=NOON,
        ended_at=NOON + timedelta(milliseconds=10),
    )
    return replace(made, **changes)


def a_frame_captured(**changes: Any) -> events.FrameCaptured:
    """A frame with bytes that look like a JPEG but hold no picture."""
    made = events.FrameCaptured(
        frame=_header(changes),
        image=b"\xff\xd8\xff\xe0 no picture \xff\xd9",
        detection=a_detection_config(),
        stages=(a_stage_time("camera"),),
    )
    return replace(made, **changes)


def a_request(**changes: Any) -> events.Request:
    """A client that waits two seconds for a pushed frame."""
    made = events.Request(request_id="req_00000000-0000-4000-8000-000000000001", timeout_ms=2000)
    return replace(made, **changes)


def an_enrollment(**changes: Any) -> events.Enrollment:
    """Ada's photo, with consent."""
    made = events.Enrollment(
        person_id=PERSON_ID,
        face_id="face_00000000-0000-4000-8000-000000000001",
        name="Ada Lovelace",
        consent=events.Consent(consent_type="face_recognition", status="granted", granted_at=NOON),
        requested_by="tester",
    )
    return replace(made, **changes)


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


a_face = a_detected_face


def a_frame_detected(**changes: Any) -> events.FrameDetected:
    """A frame with one face."""
    made = events.FrameDetected(
        frame=_header(changes),
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
        frame=_header(changes),
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
        frame=_header(changes),
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


def a_camera(**changes: Any) -> events.Camera:
    """A camera that loops a file."""
    made = events.Camera(
        camera_id=CAMERA_ID,
        name="Front door",
        stream=events.StreamConfig(stream_type=events.StreamType.FILE, url="clip.mp4", fps=5.0),
        detection=a_detection_config(),
        created_at=NOON,
        updated_at=NOON,
        revision=0,
    )
    return replace(made, **changes)


def a_person(**changes: Any) -> events.Person:
    """Ada, active, without samples."""
    made = events.Person(
        person_id=PERSON_ID,
        collection="default",
        name="Ada Lovelace",
        status="active",
        consent=an_enrollment().consent,
        created_at=NOON,
        updated_at=NOON,
        revision=0,
    )
    return replace(made, **changes)


def _header(changes: Mapping[str, Any]) -> events.FrameHeader:
    given: events.FrameHeader | None = changes.get("frame")
    return given or a_frame_header()


def _landmarks(offset: float) -> tuple[events.Point, ...]:
    five = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))
    return tuple(events.Point(x=x + offset, y=y + offset) for x, y in five)


def _camera_of(event: object) -> str | None:
    frame = getattr(event, "frame", None)
    key = getattr(frame or event, "camera_id", None)
    return key if isinstance(key, str) else None
