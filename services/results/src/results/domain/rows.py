"""Rows from events: column names to plain values that JSON can carry."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any

from mesh.events import (
    Alert,
    AttendanceMark,
    AuditEntry,
    FrameResult,
    LogEvent,
    Person,
    ResultDetection,
    Sighting,
    Snapshot,
)
from results.domain.attributes import kept

Row = Mapping[str, Any]
"""A row of one table: text, numbers, booleans, ISO times, and lists and mappings of these."""


_SCALARS = frozenset({str, int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """An event, or a part of one, as JSON can carry it; field names stay."""
    kind: object = type(value)
    if kind in _SCALARS:
        return value
    names = _field_names(kind)
    if names is not None:
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)


@cache
def _field_names(kind: object) -> tuple[str, ...] | None:
    if isinstance(kind, type) and is_dataclass(kind):
        return tuple(item.name for item in fields(kind))
    return None


def detection_rows(result: FrameResult) -> list[Row]:
    """One row per detection of a frame."""
    frame = result.frame
    shared = {
        "frame_key": frame.frame_key,
        "received_at": plain(frame.received_timestamp),
        "camera_id": frame.camera_id,
        "camera_name": frame.camera_name,
        "epoch": frame.epoch,
        "sequence_number": frame.sequence_number,
        "frame_id": frame.frame_id,
        "camera_timestamp": plain(frame.camera_timestamp),
        "purpose": str(frame.purpose),
        "frame_width": frame.width,
        "frame_height": frame.height,
        "models": plain(result.models),
        "stages": plain(result.stages),
        "revision": result.revision,
    }
    return [{**shared, **_detection(detection)} for detection in result.detections]


def _detection(detection: ResultDetection) -> Row:
    decision = detection.decision
    return {
        "detection_id": detection.detection_id,
        "index": detection.index,
        "detection_type": detection.detection_type,
        "class_name": detection.class_name,
        **plain(detection.box),
        "confidence": detection.confidence,
        "person_id": decision.person_id if decision else None,
        "similarity": decision.similarity if decision else None,
        "threshold": decision.threshold if decision else None,
        "decision": plain(decision),
        "quality": plain(detection.quality),
        "pose": plain(detection.pose),
        "landmarks": plain(detection.landmarks),
        "rejections": plain(detection.rejections),
        "track_id": detection.track_id,
        "sighting_id": detection.sighting_id,
        "attributes": kept(plain(detection.attributes)),
        "activity": plain(detection.activity),
    }


def event_row(event: Sighting | Alert | AttendanceMark | LogEvent | AuditEntry) -> Row:
    """The row of an event whose columns are its fields."""
    row: Row = plain(event)
    return row


def person_row(person: Person) -> Row:
    """The row of a person's registry entry."""
    return {**plain(person), "face_count": len(person.faces)}


def snapshot_row(snapshot: Snapshot) -> Row:
    """The link from a detection to its stored picture; the picture itself is no column."""
    return {
        "detection_id": snapshot.detection_id,
        "sha256": snapshot.sha256,
        "camera_id": snapshot.camera_id,
        "frame_key": snapshot.frame_key,
        "sighting_id": snapshot.sighting_id,
        "reason": snapshot.reason,
        "image_format": snapshot.image_format,
        "width": snapshot.width,
        "height": snapshot.height,
        "size_bytes": len(snapshot.image),
        "taken_at": plain(snapshot.taken_at),
    }


def newest(rows: Iterable[Row], key: str, revision: str | None = "revision") -> list[Row]:
    """One row per key: the highest revision, or the first where there are no revisions."""
    kept: dict[Any, Row] = {}
    for row in rows:
        known = kept.get(row[key])
        if known is None or (revision is not None and row[revision] > known[revision]):
            kept[row[key]] = row
    return list(kept.values())


def persons_in(rows: Iterable[Row]) -> set[str]:
    """Every person that these rows name, candidates included."""
    found = set()
    for row in rows:
        found.add(row.get("person_id"))
        for candidate in (row.get("decision") or {}).get("candidates", ()):
            found.add(candidate["person_id"])
    return {person for person in found if person is not None}


def without_persons(rows: Iterable[Row], erased: Collection[str]) -> list[Row]:
    """The same rows, with nothing left that points to an erased person."""
    gone: Callable[[str | None], bool] = frozenset(erased).__contains__
    return [_forget(row, gone) for row in rows] if erased else list(rows)


def _forget(row: Row, gone: Callable[[str | None], bool]) -> Row:
    changed = dict(row)
    if gone(row.get("person_id")):
        changed["person_id"] = None
    decision = row.get("decision")
    if decision:
        left = [c for c in decision["candidates"] if not gone(c["person_id"])]
        changed["decision"] = {**decision, "candidates": left}
        if gone(decision["person_id"]):
            changed["decision"] |= {"person_id": None, "identified": False, "reason": "erased"}
    return changed
