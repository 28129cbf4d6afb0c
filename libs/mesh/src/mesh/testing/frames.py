"""Records, frames, requests, cameras and people."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from mesh import events
from mesh.identity import frame_key
from mesh.record import Record

CAMERA_ID = "cam_00000000-0000-4000-8000-000000000001"
PERSON_ID = "per_00000000-0000-4000-8000-000000000001"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When everything in these events happened, unless said otherwise."""
EPOCH = int(NOON.timestamp() * 1_000_000) << 12

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
        frame=header_in(changes),
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


def header_in(changes: Mapping[str, Any]) -> events.FrameHeader:
    """The frame among these changes, or the usual one."""
    given: events.FrameHeader | None = changes.get("frame")
    return given or a_frame_header()


def _camera_of(event: object) -> str | None:
    frame = getattr(event, "frame", None)
    key = getattr(frame or event, "camera_id", None)
    return key if isinstance(key, str) else None
