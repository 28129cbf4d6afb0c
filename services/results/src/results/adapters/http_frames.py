"""`POST /api/v1/detections/process-frame`: a pushed picture, answered at once or by a job."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from mesh.events import Answer, Priority, Purpose, Request, StreamType
from mesh.identity import new_id
from results.adapters.http_deps import BEARER, Deps, GatewayDeps, Operator, Trace
from results.adapters.http_frame_models import ACCEPTED, ANSWERS, DetectionOptions, FrameBody
from results.adapters.patience import Patience
from results.adapters.picture_intake import accept_picture
from results.domain.answers import KEPT_ERRORS, PICTURE_FIELD, processed
from results.domain.errors import ApiError, not_found
from results.domain.frames import Origin, Push
from results.domain.jobs import Callback, Job
from results.domain.models import RECOGNITION, check_model, heard
from results.domain.picture import decode_base64
from results.domain.rendering import persons_of, render_result
from results.domain.tasks import check_model_type, check_tasks, detectors_of

_OPTIONS = "detection_options"
router = APIRouter(prefix="/api/v1/detections", tags=["detections"], dependencies=BEARER)


@router.post(
    "/process-frame", summary="Detect and recognise the faces of one picture", responses=ANSWERS
)
async def process_frame(body: FrameBody, deps: Deps, user: Operator, trace: Trace) -> JSONResponse:
    """Answer with the faces of a picture, specification 5.1, or 202 with a job, 5.3.

    A `frame_id` that is repeated before its answer or within five seconds of it, at any gateway,
    is answered with the first result or job and the status `duplicate`: a client that lost its
    connection, or was told 504, sends the same request again. Pictures above 1 MiB travel beside
    their record, through the object store, as they came. `stream_type` describes the client's
    source and need not be the camera's.
    """
    patience = deps.requests.patience(body.detection_options.processing.timeout_ms / 1000)
    push = await _push_of(body, deps, patience)
    callback = await _callback_of(body, deps, patience)
    first = await deps.requests.claims.first(push, patience)
    if first is not None:
        return JSONResponse(_repeated(await _first_body(first, push, deps, patience)))
    deferred = body.detection_options.processing.asynchronous
    job = _job_of(push, callback) if deferred else None
    accepted = _accepted(job, deps) if job else None
    kept: dict[str, Any] | None = None
    try:
        deps.requests.gate.admit(push, user.subject)
        if job is not None:
            await deps.requests.submit(push, job, trace, patience)
            kept = accepted
        else:
            answer = await deps.requests.process(push, trace, patience)
            kept = await _rendered(answer, push, deps, patience)
    except ApiError as error:
        if error.status in KEPT_ERRORS:
            kept = error.envelope() | {"http_status": error.status}
        elif deps.requests.claims.may_come(push):
            kept = accepted
        raise
    finally:
        await deps.requests.claims.settle(push, kept)
    headers = {"Location": f"/api/v1/jobs/{job.job_id}"} if job else None
    return JSONResponse(kept, 202 if deferred else 200, headers=headers)


async def _push_of(body: FrameBody, deps: GatewayDeps, patience: Patience) -> Push:
    received_at = deps.clock.now()
    check_options(body.detection_options, deps)
    entry = await patience.blocking("database", deps.cameras.camera, body.camera_id)
    if entry is None:
        raise not_found("camera", body.camera_id, field="camera_id")
    data = decode_base64(body.frame_data, field=PICTURE_FIELD)
    declared = body.frame_metadata.format
    picture = accept_picture(data, field=PICTURE_FIELD, declared=declared)
    return Push(
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


async def _callback_of(body: FrameBody, deps: GatewayDeps, patience: Patience) -> Callback | None:
    """Where the end of an asynchronous request is posted to; others have nothing to post."""
    url = body.client_context.callback_url
    if url is None or not body.detection_options.processing.asynchronous:
        return None
    await patience.blocking("name_service", deps.callbacks.accept, url)
    return Callback(url=url)


def _job_of(push: Push, callback: Callback | None) -> Job:
    """The job of a picture that is answered later."""
    return Job(
        job_id=new_id("job"),
        request_id=push.request.request_id,
        kind="process_frame",
        created_at=push.received_at,
        deadline=push.deadline,
        camera_id=push.origin.camera_id,
        frame_id=push.frame_id,
        with_snapshots=push.request.return_snapshots,
        callback=callback,
    )


def _accepted(job: Job, deps: GatewayDeps) -> dict[str, Any]:
    """What is told of a picture that was taken and is answered later; specification 5.3."""
    load = deps.requests.gate.load
    return {
        "status": ACCEPTED,
        "message": "Frame queued for processing",
        "job_id": job.job_id,
        "frame_id": job.frame_id,
        "estimated_completion_ms": load.estimate_ms(load.queue + 1),
        "queue_position": load.queue + 1,
        "callback_url": job.callback.url if job.callback else None,
    }


async def _rendered(
    answer: Answer, push: Push, deps: GatewayDeps, patience: Patience
) -> dict[str, Any]:
    result = processed(answer, field=PICTURE_FIELD)
    persons = persons_of(result.detections)
    names = await patience.blocking("database", deps.names.named, persons) if persons else {}
    return render_result(
        result,
        names,
        embeddings={each.detection_id: each.embedding for each in answer.embeddings},
        with_snapshots=push.request.return_snapshots,
    )


async def _first_body(
    first: dict[str, Any] | Answer, push: Push, deps: GatewayDeps, patience: Patience
) -> dict[str, Any]:
    return await _rendered(first, push, deps, patience) if isinstance(first, Answer) else first


def _repeated(first: dict[str, Any]) -> dict[str, Any]:
    """What is answered to a repeated frame: the first result or job, or the first refusal."""
    if first["status"] == ACCEPTED:
        return first | {"status": "duplicate", "message": "Frame already queued for processing"}
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
        ApiError: A model is unknown, or none is loaded for what is to be looked for.
    """
    statuses = heard(deps.state.models(), deps.clock.now())
    check_model_type(options.model_type, statuses, field=f"{_OPTIONS}.model_type")
    check_tasks(options.tasks, statuses, field=f"{_OPTIONS}.tasks")
    models, field = options.models, f"{_OPTIONS}.models"
    detectors = detectors_of(options.model_type, options.tasks)
    check_model(models.detection, statuses, tasks=detectors, field=f"{field}.detection")
    check_model(models.recognition, statuses, tasks=[RECOGNITION], field=f"{field}.recognition")


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
        tasks=tuple(dict.fromkeys(options.tasks)),
    )
