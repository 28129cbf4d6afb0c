"""Enrolment: the picture of a person becomes a frame, recognition answers."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from mesh.auth import Identity
from mesh.events import Answer, BoundingBox, Consent, Enrollment, Priority, Purpose, Request
from results.adapters.http_deps import GatewayDeps
from results.adapters.http_detections import snapshot_bytes
from results.adapters.http_person_models import IMAGE, PhotoBody
from results.adapters.picture_intake import accept_picture
from results.domain.errors import ApiError, invalid, not_found
from results.domain.frames import Origin, Push
from results.domain.idempotency import Made, repeated
from results.domain.jobs import Job, plain_answer
from results.domain.persons import check_consent

_DEADLINE_MS = 60_000
"""A photo waits in its queue as long as this; the client is answered 202 long before."""
_MARGIN = 0.6
"""Room that is left around a face that is cut out of a frame, as a share of its box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """Who a sample belongs to."""

    made: Made
    name: str
    collection: str
    employee_id: str | None = None
    department: str | None = None
    consent: Consent | None = None


async def photo_of(deps: GatewayDeps, body: PhotoBody, uploaded: bytes | None) -> bytes:
    """The picture to enrol from.

    Raises:
        ApiError: There is none, or both a photo and a detection are given.
    """
    if uploaded is not None and body.detection_id is not None:
        message = "image and detection_id exclude each other"
        raise invalid("AMBIGUOUS", message, field="detection_id", limit="one of the two")
    if uploaded is not None:
        return uploaded
    if body.detection_id is None:
        message = "either image or detection_id is needed"
        raise invalid("MISSING_FIELD", message, field=IMAGE, limit="image or detection_id")
    found = await asyncio.to_thread(_detected, deps, body.detection_id)
    if found is None:
        raise not_found("picture of this detection", body.detection_id, field="detection_id")
    return found


def _detected(deps: GatewayDeps, detection_id: str) -> bytes | None:
    """The face of a detection: its stored picture, else cut out of a recent frame."""
    stored = deps.results.detection(detection_id)
    if stored is not None and (chip := snapshot_bytes(deps, stored)) is not None:
        return chip
    live = deps.state.detection(detection_id)
    if live is not None:
        frame, box = live[0].frame, live[1].box
    elif stored is not None:
        frame, box = stored.frame, stored.detection.box
    else:
        raise not_found("detection", detection_id, field="detection_id")
    picture = deps.pictures.picture(frame.camera_id, frame.frame_key)
    if picture is None:
        return None
    try:
        return deps.editor.crop(picture.data, _around(box, frame.width, frame.height))
    except ValueError:
        return None


def _around(box: BoundingBox, width: int, height: int) -> tuple[int, int, int, int]:
    across, down = (box.x2 - box.x1) * _MARGIN, (box.y2 - box.y1) * _MARGIN
    return (
        max(0, int(box.x1 - across)),
        max(0, int(box.y1 - down)),
        min(width, int(box.x2 + across) + 1),
        min(height, int(box.y2 + down) + 1),
    )


async def enrol(
    deps: GatewayDeps, person: Enrolled, photo: bytes, user: Identity, trace: dict[str, bytes]
) -> JSONResponse:
    """Send an enrolment photo and answer with what became of it.

    Raises:
        ApiError: Consent is missing, the photo cannot be used, or recognition rejected it.
    """
    received_at = deps.clock.now()
    consent = check_consent(person.consent, received_at)
    picture = accept_picture(photo, field=IMAGE)
    enrollment = Enrollment(
        person_id=person.made.person_id,
        face_id=person.made.face_id,
        collection=person.collection,
        name=person.name,
        employee_id=person.employee_id,
        department=person.department,
        consent=consent,
        requested_by=user.subject,
    )
    push = Push(
        origin=Origin.of_gateway(deps.instance_id),
        picture=picture,
        purpose=Purpose.ENROLLMENT,
        request=Request(
            request_id=person.made.request_id, timeout_ms=_DEADLINE_MS, enrollment=enrollment
        ),
        priority=Priority.HIGH,
        received_at=received_at,
    )
    deps.requests.gate.admit(push, user.subject)
    made = person.made
    job = job_of(made.request_id, "enrollment", received_at, job_id=made.job_id)
    answer = await deps.requests.ask(push, job, trace)
    return reply(answer, made.request_id, about_of(made, person.name, photo=True), created=201)


def about_of(made: Made, name: str, *, photo: bool) -> dict[str, Any]:
    """What every answer says of the person that a request makes."""
    about = {"person_id": made.person_id, "face_id": made.face_id, "name": name}
    return about if photo else {key: about[key] for key in ("person_id", "name")}


async def answered_before(
    deps: GatewayDeps, made: Made, about: dict[str, Any]
) -> JSONResponse | None:
    """The answer to the request that came with this key first, unless it is to be worked on.

    Raises:
        ApiError: It was refused or is in progress, or its body was another.
    """
    job = await run_in_threadpool(deps.jobs.job, made.job_id, deps.clock.now())
    body = None if job is None else repeated(job, made, about)
    return None if body is None else JSONResponse(body, 201)


def job_of(request_id: str, kind: str, now: datetime, *, job_id: str | None = None) -> Job:
    """The job of an enrolment or a command: its outcome outlives this gateway."""
    return Job(
        job_id=job_id or request_id,
        request_id=request_id,
        kind=kind,
        created_at=now,
        deadline=now + timedelta(milliseconds=_DEADLINE_MS),
    )


def on_its_way(request_id: str) -> dict[str, Any]:
    """What is told of a request that is not answered yet."""
    return {
        "status": "accepted",
        "message": "The request is on its way; ask again for its outcome.",
        "request_id": request_id,
        "job_id": request_id,
        "url": f"/api/v1/requests/{request_id}",
    }


def reply(
    answer: Answer | None, request_id: str, about: dict[str, Any], *, created: int = 200
) -> JSONResponse:
    """What the client is told: the outcome, or where to ask for it.

    Raises:
        ApiError: The mesh rejected the request.
    """
    if answer is None:
        body = on_its_way(request_id)
        return JSONResponse(body | about, 202, headers={"Location": body["url"]})
    try:
        outcome = plain_answer(answer)
    except ApiError as error:
        error.details = about | error.details
        raise
    return JSONResponse(about | outcome, created)
