"""Detections: the live ones, the stored ones, and their pictures."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from mesh.events import StreamState
from results.adapters.http_cameras import known_camera
from results.adapters.http_deps import BEARER, Deps, GatewayDeps, Noted, Viewer
from results.adapters.http_fields import (
    Body,
    CameraId,
    DetectionId,
    Moment,
    PageParams,
    PersonId,
    Share,
)
from results.domain.camera_report import unavailable_stream
from results.domain.camera_state import heard_of
from results.domain.errors import invalid, not_found
from results.domain.feed import detection_event
from results.domain.frame_report import completed_at, model_info, processing_info, summary
from results.domain.queries import DetectionQuery, StoredDetection
from results.domain.rendering import (
    Names,
    persons_of,
    render_detection,
)
from results.domain.times import iso

router = APIRouter(prefix="/api/v1/detections", tags=["detections"], dependencies=BEARER)


class LiveParams(Body):
    """Whose last result."""

    camera_id: CameraId


class DetectionParams(PageParams):
    """Which stored detections; times are inclusive and compare with `received_at`."""

    camera_id: CameraId | None = None
    person_id: PersonId | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None
    min_confidence: Share | None = None
    detection_type: Literal["face", "person", "vehicle", "object"] | None = None


@router.get("/live", summary="The last result of a camera")
def live(params: Annotated[LiveParams, Query()], deps: Deps, _: Viewer) -> dict[str, Any]:
    """The last result of a camera, if it is younger than three seconds.

    Without one, a camera whose stream is in error answers `STREAM_UNAVAILABLE`; a camera that is
    merely quiet has no detections and `frame` is null.
    """
    entry = known_camera(deps, params.camera_id)
    found = deps.state.result(params.camera_id)
    status = heard_of(entry.camera, deps.state.heard(params.camera_id), deps.clock.now())
    if found is None and status is not None and status.state is StreamState.ERROR:
        raise unavailable_stream(status)
    shown: dict[str, Any] = {
        "status": "success",
        "camera_id": params.camera_id,
        "camera_name": entry.camera.name,
        "state": status.state.value if status else None,
        "age_ms": round(found.age_seconds * 1000) if found else None,
        "frame": None,
        "detections": [],
        "summary": summary(()),
    }
    if found is None:
        return shown
    result = found.result
    names = deps.names.named(persons_of(result.detections))
    event = detection_event(result, names)["data"]
    detections = event.pop("detections")
    return shown | {
        "frame": event,
        "detections": detections,
        "summary": summary(result.detections),
    }


@router.get("", summary="Query stored detections")
def list_detections(
    params: Annotated[DetectionParams, Query()], deps: Deps, _: Viewer
) -> dict[str, Any]:
    """Detections, newest first; `pagination.has_more` tells whether there is another page."""
    if params.start_time and params.end_time and params.start_time > params.end_time:
        message = "start_time is later than end_time"
        raise invalid("OUT_OF_RANGE", message, field="start_time", limit=iso(params.end_time))
    query = DetectionQuery(
        camera_id=params.camera_id,
        person_id=params.person_id,
        start=params.start_time,
        end=params.end_time,
        min_confidence=params.min_confidence,
        detection_type=params.detection_type,
        paging=params.paging,
    )
    page = deps.results.detections(query)
    names = deps.names.named(persons_of([item.detection for item in page.items]))
    return page.render("detections", [_listed(item, names) for item in page.items], params.paging)


@router.get("/{detection_id}", summary="Show a detection")
def show_detection(
    detection_id: DetectionId, deps: Deps, noted: Noted, _: Viewer
) -> dict[str, Any]:
    """A stored detection with the times and models of its frame."""
    found = stored(deps, detection_id)
    noted.update(_shows(found))
    names = deps.names.named(persons_of([found.detection]))
    return {
        "status": "success",
        "detection": _listed(found, names),
        "processing_info": processing_info(found.frame, found.stages),
        "model_info": model_info(found.models),
    }


@router.get(
    "/{detection_id}/snapshot",
    summary="The picture of a face",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def show_snapshot(detection_id: DetectionId, deps: Deps, noted: Noted, _: Viewer) -> Response:
    """The face that was cut out, once it is stored; policy decides which are kept."""
    found = stored(deps, detection_id)
    noted.update(_shows(found))
    data = snapshot_bytes(deps, found)
    if data is None:
        raise not_found("snapshot", detection_id, field="detection_id")
    link = found.snapshot
    kind = f"image/{link.image_format}" if link else "image/jpeg"
    etag = f'"{link.sha256}"' if link else ""
    return Response(data, media_type=kind, headers={"ETag": etag})


def stored(deps: GatewayDeps, detection_id: str) -> StoredDetection:
    """A stored detection; blocks.

    Raises:
        ApiError: There is none with this identifier.
    """
    found = deps.results.detection(detection_id)
    if found is None:
        raise not_found("detection", detection_id, field="detection_id")
    return found


def snapshot_bytes(deps: GatewayDeps, found: StoredDetection) -> bytes | None:
    """The stored picture of a face, if there is one; blocks."""
    if found.snapshot is None or found.snapshot.sha256 is None:
        return None
    try:
        return deps.snapshots.read(found.snapshot.sha256)
    except KeyError:
        return None


def _shows(found: StoredDetection) -> dict[str, str]:
    decision = found.detection.decision
    return {"person_id": decision.person_id} if decision and decision.person_id else {}


def _listed(item: StoredDetection, names: Names) -> dict[str, Any]:
    frame = item.frame
    at = completed_at(frame, item.stages)
    rendered = render_detection(item.detection, frame, names, created_at=at, snapshot=item.snapshot)
    return rendered | {
        "camera_id": frame.camera_id,
        "camera_name": frame.camera_name,
        "frame_id": frame.frame_id,
        "frame_key": frame.frame_key,
        "timestamp": iso(frame.camera_timestamp),
        "received_at": iso(frame.received_timestamp),
        "picture": {"width": frame.width, "height": frame.height},
    }
