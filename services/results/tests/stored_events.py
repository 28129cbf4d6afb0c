"""Events as the writer reads them, with the changes that a test is about."""

import hashlib
from dataclasses import replace
from typing import Any

from mesh.events import (
    Alert,
    AttendanceMark,
    AuditEntry,
    FrameResult,
    Lane,
    LedgerEntry,
    LogEvent,
    SequenceRange,
    Snapshot,
)
from mesh.identity import detection_id
from mesh.testing import (
    CAMERA_ID,
    EPOCH,
    NOON,
    PERSON_ID,
    a_frame_header,
    a_frame_result,
    a_result_detection,
)


def a_result(number: int, **changes: Any) -> FrameResult:
    frame = a_frame_header(sequence_number=number, **changes.pop("frame", {}))
    face = a_result_detection(detection_id=detection_id(frame.frame_key, 0))
    return a_frame_result(frame=frame, detections=(face,), **changes)


def an_alert(**changes: Any) -> Alert:
    made = Alert(
        alert_id="alt_1",
        alert_type="crowd",
        severity="warning",
        camera_id=CAMERA_ID,
        person_id=PERSON_ID,
        raised_at=NOON,
        message="Twelve people, limit ten",
        attributes={"count": "12"},
        revision=0,
    )
    return replace(made, **changes)


def a_mark() -> AttendanceMark:
    return AttendanceMark(
        mark_id="mrk_1",
        person_id=PERSON_ID,
        camera_id=CAMERA_ID,
        kind="check_in",
        marked_at=NOON,
        revision=0,
    )


def a_log_event() -> LogEvent:
    return LogEvent(
        event_id="evt_1",
        event_type="camera_connection",
        occurred_at=NOON,
        severity="info",
        service="camera",
        instance_id="camera-0",
        message="Connected",
    )


def an_audit_entry() -> AuditEntry:
    return AuditEntry(
        audit_id="aud_1",
        audit_type="data_access",
        occurred_at=NOON,
        user_id="tester",
        action="read",
        resource=f"person:{PERSON_ID}",
        result="success",
    )


def a_snapshot(result: FrameResult) -> Snapshot:
    image = b"\xff\xd8\xff\xe0 no picture \xff\xd9"
    return Snapshot(
        detection_id=result.detections[0].detection_id,
        camera_id=CAMERA_ID,
        frame_key=result.frame.frame_key,
        reason="best_of_sighting",
        sha256=hashlib.sha256(image).hexdigest(),
        image=image,
        image_format="jpeg",
        width=100,
        height=100,
        taken_at=NOON,
    )


def an_entry(**changes: Any) -> LedgerEntry:
    made = LedgerEntry(
        camera_id=CAMERA_ID,
        epoch=EPOCH,
        lane=Lane.LIVE,
        outcome="shed",
        reason="stale",
        ranges=(SequenceRange(first=0, last=9),),
        service="detection",
        instance_id="detection-0",
        reported_at=NOON,
    )
    return replace(made, **changes)
