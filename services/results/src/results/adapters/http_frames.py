"""`POST /api/v1/detections/process-frame`: a pushed picture, answered when it was processed."""

import asyncio
from typing import Any

from fastapi import APIRouter

from mesh.events import Priority, Purpose, Request, StreamType
from mesh.identity import new_id
from results.adapters.http_deps import BEARER, Deps, GatewayDeps, Operator, Trace
from results.adapters.http_frame_models import DetectionOptions, FrameBody
from results.domain.answers import processed
from results.domain.errors import ApiError, invalid, not_found
from results.domain.frames import Origin, Push
from results.domain.models import DETECTION, RECOGNITION, check_model, check_model_type
from results.domain.picture import decode_base64
from results.domain.rendering import persons_of, render_result

FIELD = "frame_data"
_OPTIONS = "detection_options"
router = APIRouter(prefix="/api/v1/detections", tags=["detections"], dependencies=BEARER)


@router.post("/process-frame", summary="Detect and recognise the faces of one picture")
async def process_frame(body: FrameBody, deps: Deps, _: Operator, trace: Trace) -> dict[str, Any]:
    """Answer with the faces of a picture, specification 5.1.

    A `frame_id` that is repeated within five seconds is answered with the first result and the
    status `duplicate`. Pictures above 1 MiB are compressed again, with the same pixels, before
    they travel. `stream_type` describes the client's source and need not be the camera's.
    """
    received_at = deps.clock.now()
    check_options(body.detection_options, deps)
    entry = await asyncio.to_thread(deps.cameras.camera, body.camera_id)
    if entry is None:
        raise not_found("camera", body.camera_id, field="camera_id")
    data = decode_base64(body.frame_data, field=FIELD)
    picture = await deps.requests.accept(data, field=FIELD, declared=body.frame_metadata.format)
    push = Push(
        origin=Origin.of_camera(entry.camera),
        picture=picture,
        purpose=Purpose.PROCESS_FRAME,
        request=request_of(body),
        priority=Priority(body.detection_options.processing.priority),
        received_at=received_at,
        frame_id=body.frame_id,
        taken_at=body.timestamp,
        stream_type=StreamType(body.stream_type),
    )
    first = await deps.requests.first(push)
    if first is not None:
        return _repeated(first)
    return await _processed(push, deps, trace)


async def _processed(push: Push, deps: GatewayDeps, trace: dict[str, bytes]) -> dict[str, Any]:
    kept: dict[str, Any] | None = None
    try:
        answer = await deps.requests.process(push, trace)
        result = processed(answer, field=FIELD)
        names = await asyncio.to_thread(deps.names.named, persons_of(result.detections))
        kept = render_result(
            result,
            names,
            embeddings={each.detection_id: each.embedding for each in answer.embeddings},
            with_snapshots=push.request.return_snapshots,
        )
    except ApiError as error:
        if error.status in (413, 422):
            # The same picture would fail again: its repetition is answered alike.
            kept = error.envelope() | {"http_status": error.status}
        raise
    finally:
        await deps.requests.settle(push, kept)
    return kept


def _repeated(first: dict[str, Any]) -> dict[str, Any]:
    """What is answered to a repeated frame: the first result, or the first refusal."""
    if first["status"] != "error":
        return first | {"status": "duplicate", "message": "Frame already processed"}
    error = dict(first["error"])
    raise ApiError(
        first["http_status"],
        error.pop("code"),
        error.pop("message"),
        field=error.pop("field"),
        limit=error.pop("limit"),
        details=error | {"duplicate": True},
    )


def check_options(options: DetectionOptions, deps: GatewayDeps) -> None:
    """Refuse what cannot be done, before anything else is looked at.

    Raises:
        ApiError: A model is unknown, or the request is asynchronous.
    """
    if options.processing.asynchronous:
        field = f"{_OPTIONS}.processing.async"
        message = f"{field} is true, but asynchronous requests are not supported yet"
        raise invalid("ASYNC_NOT_SUPPORTED", message, field=field, limit=["false"])
    statuses = deps.state.models()
    check_model_type(options.model_type, statuses, field=f"{_OPTIONS}.model_type")
    models = options.models
    check_model(models.detection, statuses, task=DETECTION, field=f"{_OPTIONS}.models.detection")
    check_model(
        models.recognition, statuses, task=RECOGNITION, field=f"{_OPTIONS}.models.recognition"
    )


def request_of(body: FrameBody) -> Request:
    """What travels with the picture; its identifier is ours, because answers are matched by it."""
    options = body.detection_options
    wanted = options.parameters
    return Request(
        request_id=new_id("req"),
        client_id=body.client_context.client_id,
        timeout_ms=options.processing.timeout_ms,
        model_type=options.model_type,
        detection_model=options.models.detection,
        recognition_model=options.models.recognition,
        min_confidence=wanted.min_confidence,
        min_face_size=wanted.min_face_size,
        max_faces=wanted.max_faces,
        return_snapshots=wanted.return_snapshots,
        return_embeddings=wanted.return_embeddings,
    )
