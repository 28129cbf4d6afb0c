"""Results as the specification's sections 5.1 and 5.2.1 write them; names are joined here."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.events import (
    BoundingBox,
    Decision,
    Embedding,
    FaceQuality,
    FrameHeader,
    FrameResult,
    Person,
    Pose,
    Rejection,
    ResultDetection,
)
from results.domain.attributes import points_of, render_activity, render_attributes
from results.domain.frame_report import completed_at, model_info, processing_info, summary
from results.domain.models import OBJECTS

Names = Mapping[str, Person]
"""Persons by their id; one who is missing is erased or not yet known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLink:
    """Where a face picture lies; the size is unknown until it is stored."""

    detection_id: str
    sha256: str | None = None
    size_bytes: int | None = None
    image_format: str = "jpeg"
    width: int | None = None
    height: int | None = None


def persons_of(detections: Sequence[ResultDetection]) -> set[str]:
    """Everybody that the detections mention, runners-up included."""
    decisions = [item.decision for item in detections if item.decision is not None]
    identified = {decision.person_id for decision in decisions if decision.person_id}
    return identified | {near.person_id for decision in decisions for near in decision.candidates}


def render_result(
    result: FrameResult,
    names: Names,
    *,
    embeddings: Mapping[str, Embedding] | None = None,
    with_snapshots: bool = False,
) -> dict[str, Any]:
    """The answer to a processed frame, specification 5.1."""
    done = bool(result.detections)
    others = any(model.task == OBJECTS for model in result.models)
    empty = "Nothing detected in frame" if others else "No faces detected in frame"
    links = {
        item.detection_id: SnapshotLink(detection_id=item.detection_id)
        for item in result.detections
        if with_snapshots and item.detection_type == "face"
    }
    created = completed_at(result.frame, result.stages)
    return {
        "status": "success",
        "message": "Frame processed successfully" if done else empty,
        "processing_info": processing_info(result.frame, result.stages),
        "detections": [
            render_detection(
                item,
                result.frame,
                names,
                created_at=created,
                snapshot=links.get(item.detection_id),
                embedding=(embeddings or {}).get(item.detection_id),
            )
            for item in result.detections
        ],
        "summary": summary(result.detections),
        "model_info": model_info(result.models),
    }


def render_detection(
    item: ResultDetection,
    frame: FrameHeader,
    names: Names,
    *,
    created_at: str | None,
    snapshot: SnapshotLink | None = None,
    embedding: Embedding | None = None,
) -> dict[str, Any]:
    """One detection, specification 5.1; why it has its name is in `metadata.decision`."""
    decision = item.decision
    return {
        "detection_id": item.detection_id,
        "detection_type": item.detection_type,
        "bounding_box": box(item.box, width=frame.width, height=frame.height),
        "confidence": round(item.confidence, 4),
        "person": _person(decision, names) if decision else None,
        "face_attributes": _attributes(item.quality, item) if item.quality else None,
        **({"activity": render_activity(item.activity)} if item.activity else {}),
        "snapshot": snapshot_link(snapshot) if snapshot else None,
        "embedding": vector(embedding) if embedding else None,
        "metadata": {
            "created_at": created_at,
            "class_name": item.class_name,
            "track_id": item.track_id,
            "sighting_id": item.sighting_id,
            "landmarks": points_of(item.landmarks),
            "rejections": [render_rejection(rejection) for rejection in item.rejections],
            "decision": _decision(decision, names) if decision else None,
        },
    }


def box(rectangle: BoundingBox, *, width: int, height: int) -> dict[str, Any]:
    """A box in whole pixels and as shares of the picture."""
    wide, tall = rectangle.x2 - rectangle.x1, rectangle.y2 - rectangle.y1
    across, down = max(width, 1), max(height, 1)
    return {
        "x": round(rectangle.x1),
        "y": round(rectangle.y1),
        "width": round(wide),
        "height": round(tall),
        "normalized": {
            "x": round(rectangle.x1 / across, 4),
            "y": round(rectangle.y1 / down, 4),
            "width": round(wide / across, 4),
            "height": round(tall / down, 4),
        },
    }


def snapshot_link(link: SnapshotLink) -> dict[str, Any]:
    """Where the face picture can be read; it answers 404 until it is stored."""
    return {
        "url": f"/api/v1/detections/{link.detection_id}/snapshot",
        "storage_path": link.sha256,
        "size_bytes": link.size_bytes,
        "format": link.image_format,
        "resolution": f"{link.width}x{link.height}" if link.width else None,
    }


def vector(embedding: Embedding) -> list[float]:
    """The elements of an embedding."""
    kind = "e" if embedding.dtype == "float16" else "f"
    return list(struct.unpack(f"<{embedding.dim}{kind}", embedding.vector))


def render_rejection(rejection: Rejection) -> dict[str, Any]:
    """Why a face was unfit, with what was measured."""
    return {
        "reason": rejection.reason,
        "field": rejection.field,
        "value": rejection.value,
        "limit": rejection.limit,
        "message": rejection.message,
    }


def _person(decision: Decision, names: Names) -> dict[str, Any] | None:
    if not decision.identified or decision.person_id is None:
        return None
    person = names.get(decision.person_id)
    return {
        "person_id": decision.person_id,
        "employee_id": person.employee_id if person else None,
        "name": person.name if person else None,
        "department": person.department if person else None,
        "match_confidence": _rounded(decision.similarity),
        "match_distance": _rounded(decision.distance),
        "enrollment_status": person.status if person else "unknown",
        "face_encoding_count": len(person.faces) if person else 0,
    }


def _attributes(quality: FaceQuality, item: ResultDetection) -> dict[str, Any]:
    pose = item.pose
    further = render_attributes(item.attributes) if item.attributes else {}
    return {
        "quality_score": round(quality.score, 3),
        "is_blurry": quality.is_blurry,
        "sharpness": round(quality.sharpness, 1),
        "brightness": round(quality.brightness, 1),
        "face_size_pixels": quality.face_size_pixels,
        "pose": _angles(pose) if pose else None,
        **further,
    }


def _angles(pose: Pose) -> dict[str, float]:
    """In tenths of a degree."""
    return {
        "yaw": round(pose.yaw, 1),
        "pitch": round(pose.pitch, 1),
        "roll": round(pose.roll, 1),
    }


def _decision(decision: Decision, names: Names) -> dict[str, Any]:
    return {
        "identified": decision.identified,
        "reason": decision.reason,
        "similarity": _rounded(decision.similarity),
        "threshold": _rounded(decision.threshold),
        "margin": _rounded(decision.margin),
        "margin_limit": _rounded(decision.margin_limit),
        "candidates": [
            {
                "person_id": near.person_id,
                "name": names[near.person_id].name if near.person_id in names else None,
                "similarity": _rounded(near.similarity),
            }
            for near in decision.candidates
        ],
        "model_id": decision.model_id,
        "gallery_version": decision.gallery_version,
        "gallery_size": decision.gallery_size,
        "fused_samples": decision.fused_samples,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
