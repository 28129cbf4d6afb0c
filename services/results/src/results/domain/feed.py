"""Messages of the live feed, specification 9.1.2."""

from typing import Any

from mesh.events import CameraStatus, FrameResult, Person, Sighting
from results.domain.camera_report import render_session, stream_error
from results.domain.filters import CAMERAS, DETECTIONS, SIGHTINGS
from results.domain.frame_report import completed_at, model_info, processing_info
from results.domain.rendering import Names
from results.domain.rendering import render_detection as detection
from results.domain.times import iso


def detection_event(result: FrameResult, names: Names) -> dict[str, Any]:
    """A frame's result, with the key of its picture."""
    frame = result.frame
    at = completed_at(frame, result.stages)
    info = processing_info(frame, result.stages)
    return {
        "type": DETECTIONS,
        "timestamp": at,
        "data": {
            "camera_id": frame.camera_id,
            "camera_name": frame.camera_name,
            "frame_id": frame.frame_id,
            "frame_key": frame.frame_key,
            "sequence_number": frame.sequence_number,
            "purpose": frame.purpose.value,
            "outcome": result.outcome.value,
            "reason": result.reason,
            "timestamp": info["timestamp"],
            "received_at": iso(frame.received_timestamp),
            "processing_time_ms": info["processing_time_ms"],
            "picture": {"width": frame.width, "height": frame.height},
            "detections": [
                detection(item, frame, names, created_at=at) for item in result.detections
            ],
            "model_info": model_info(result.models),
        },
    }


def render_sighting(sighting: Sighting, person: Person | None) -> dict[str, Any]:
    """One face at one camera, from its first to its last frame."""
    return {
        "sighting_id": sighting.sighting_id,
        "camera_id": sighting.camera_id,
        "camera_name": sighting.camera_name,
        "person_id": sighting.person_id,
        "person_name": person.name if person else None,
        "started_at": iso(sighting.started_at),
        "ended_at": iso(sighting.ended_at),
        "frame_count": sighting.frame_count,
        "best_detection_id": sighting.best_detection_id,
        "best_quality": sighting.best_quality,
        "best_similarity": sighting.best_similarity,
        "first_frame_key": sighting.first_frame_key,
        "last_frame_key": sighting.last_frame_key,
        "closed": sighting.closed,
        "revision": sighting.revision,
    }


def sighting_event(sighting: Sighting, person: Person | None) -> dict[str, Any]:
    """A sighting opened, grew or closed."""
    return {
        "type": SIGHTINGS,
        "timestamp": iso(sighting.ended_at),
        "data": render_sighting(sighting, person),
    }


def camera_event(status: CameraStatus) -> dict[str, Any]:
    """A camera's stream changed or reported."""
    failed = status.state.value == "error"
    return {
        "type": CAMERAS,
        "timestamp": iso(status.updated_at),
        "data": {
            "camera_id": status.camera_id,
            "camera_name": status.camera_name,
            "state": status.state.value,
            "details": status.details,
            "last_error": status.last_error,
            "last_frame_at": iso(status.last_frame_at),
            "error": stream_error(status) if failed else None,
            "session": render_session(status, ()),
        },
    }
