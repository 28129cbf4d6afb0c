"""Persons: register, enrol, show, change, erase; recognition's gallery decides and answers."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mesh.events import DeleteFace, ErasePerson, UpdatePerson
from mesh.identity import new_id
from mesh.stage import Output
from results.adapters.http_deps import (
    BEARER,
    Admin,
    Deps,
    GatewayDeps,
    Operator,
    Trace,
    Viewer,
    known_person,
)
from results.adapters.http_enrollment import (
    Enrolled,
    about_of,
    answered_before,
    enrol,
    job_of,
    photo_of,
    reply,
)
from results.adapters.http_fields import Body, FaceId, IdempotencyKey, PersonId
from results.adapters.http_person_models import (
    IMAGE,
    FaceBody,
    PersonBody,
    PersonParams,
    PersonPatch,
    read_body,
)
from results.domain.errors import invalid, not_found
from results.domain.idempotency import Made
from results.domain.persons import render_faces, render_person
from results.domain.queries import PersonQuery

_COMMANDS = "gallery.commands"
_JSON = "application/json"
_FORM = "multipart/form-data"


def _described(model: type[Body]) -> dict[str, Any]:
    """The body in the interface's description: JSON, or a form with the photo as a file."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    form = {
        "type": "object",
        "description": "The JSON body's fields; `consent` as JSON text, `image` as a file.",
        "properties": {
            "name": {"type": "string"},
            "consent": {"type": "string"},
            "detection_id": {"type": "string"},
            "image": {"type": "string", "format": "binary"},
        },
    }
    content = {_JSON: {"schema": schema}, _FORM: {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter(prefix="/api/v1/persons", tags=["persons"], dependencies=BEARER)


@router.post("", status_code=201, summary="Register a person", openapi_extra=_described(PersonBody))
async def add_person(
    request: Request,
    deps: Deps,
    user: Operator,
    trace: Trace,
    key: IdempotencyKey = None,
) -> Response:
    """Register a person, with a first sample from a photo or a detection.

    Whoever is enrolled needs a consent. Answers 202 if recognition takes longer than two seconds.
    With the header `Idempotency-Key` the same request may be sent again, to any gateway: it is
    answered as the first one was, 409 while that is worked on, and 422 if its body differs. After a
    5xx it is worked on again, for the same person. Keys are remembered for a day.
    """
    body, uploaded = await read_body(request, PersonBody)
    now = deps.clock.now()
    consent = body.consent.event(now) if body.consent else None
    photo = uploaded is not None or body.detection_id is not None
    made = _made(key, user.subject, body, uploaded)
    about = about_of(made, body.name, photo=photo)
    if key is not None and (before := await answered_before(deps, made, about)) is not None:
        return before
    if photo:
        person = Enrolled(
            made=made,
            name=body.name,
            collection=body.collection,
            employee_id=body.employee_id,
            department=body.department,
            consent=consent,
        )
        return await enrol(deps, person, await photo_of(deps, body, uploaded), user, trace)
    command = UpdatePerson(
        request_id=made.request_id,
        person_id=made.person_id,
        create=True,
        collection=body.collection,
        name=body.name,
        employee_id=body.employee_id,
        department=body.department,
        status="active",
        consent=consent,
        requested_by=user.subject,
        requested_at=now,
    )
    return await _command(deps, command, trace, about=about, created=201, job_id=made.job_id)


def _made(key: str | None, client: str, body: PersonBody, photo: bytes | None) -> Made:
    if key is None:
        return Made.new()
    content = body.model_dump_json(exclude={IMAGE}).encode() + b"\n" + (photo or b"")
    return Made.under(key, client, content)


@router.get("", summary="List persons")
def list_persons(params: Annotated[PersonParams, Query()], deps: Deps, _: Viewer) -> dict[str, Any]:
    """Persons by name."""
    query = PersonQuery(
        search=params.search,
        status=params.status,
        collection=params.collection,
        paging=params.paging,
    )
    page = deps.persons.persons(query)
    return page.render("persons", [render_person(item) for item in page.items], params.paging)


@router.get("/{person_id}", summary="Show a person")
def show_person(person_id: PersonId, deps: Deps, _: Viewer) -> dict[str, Any]:
    """A person with consent and samples."""
    return render_person(known_person(deps, person_id))


@router.patch("/{person_id}", summary="Change a person")
async def change_person(
    person_id: PersonId, body: PersonPatch, deps: Deps, user: Operator, trace: Trace
) -> Response:
    """Change what is named and keep the rest."""
    if not any(value is not None for value in body.model_dump().values()):
        known = list(PersonPatch.model_fields)
        raise invalid("MISSING_FIELD", "nothing is changed", field="body", limit=known)
    await run_in_threadpool(known_person, deps, person_id)
    now = deps.clock.now()
    command = UpdatePerson(
        request_id=new_id("req"),
        person_id=person_id,
        collection=body.collection,
        name=body.name,
        employee_id=body.employee_id,
        department=body.department,
        status=body.status,
        consent=body.consent.event(now) if body.consent else None,
        requested_by=user.subject,
        requested_at=now,
    )
    return await _command(deps, command, trace)


@router.delete("/{person_id}", summary="Erase a person")
async def erase_person(
    person_id: PersonId, deps: Deps, user: Admin, trace: Trace, reason: str | None = None
) -> Response:
    """Erase a person with everything stored of them."""
    await run_in_threadpool(known_person, deps, person_id)
    command = ErasePerson(
        request_id=new_id("req"),
        person_id=person_id,
        reason=(reason or "")[:500] or None,
        requested_by=user.subject,
        requested_at=deps.clock.now(),
    )
    return await _command(deps, command, trace)


@router.get("/{person_id}/faces", summary="List a person's samples")
def list_faces(person_id: PersonId, deps: Deps, _: Viewer) -> dict[str, Any]:
    """The samples, without their pixels."""
    person = known_person(deps, person_id)
    return {"status": "success", "person_id": person_id, "faces": render_faces(person)}


@router.post(
    "/{person_id}/faces",
    status_code=201,
    summary="Enrol a further sample",
    openapi_extra=_described(FaceBody),
)
async def add_face(
    person_id: PersonId, request: Request, deps: Deps, user: Operator, trace: Trace
) -> Response:
    """Enrol a sample from a photo or a detection; the consent in force covers it."""
    body, uploaded = await read_body(request, FaceBody)
    person = await run_in_threadpool(known_person, deps, person_id)
    given = body.consent.event(deps.clock.now()) if body.consent else None
    enrolled = Enrolled(
        made=replace(Made.new(), person_id=person_id),
        name=person.name,
        collection=person.collection,
        employee_id=person.employee_id,
        department=person.department,
        consent=given or person.consent,
    )
    return await enrol(deps, enrolled, await photo_of(deps, body, uploaded), user, trace)


@router.delete("/{person_id}/faces/{face_id}", summary="Delete a sample")
async def delete_face(
    person_id: PersonId, face_id: FaceId, deps: Deps, user: Operator, trace: Trace
) -> Response:
    """Delete one sample of a person."""
    person = await run_in_threadpool(known_person, deps, person_id)
    if face_id not in {face.face_id for face in person.faces}:
        raise not_found("face", face_id, field="face_id")
    command = DeleteFace(
        request_id=new_id("req"),
        person_id=person_id,
        face_id=face_id,
        requested_by=user.subject,
        requested_at=deps.clock.now(),
    )
    return await _command(deps, command, trace, about={"face_id": face_id})


async def _command(
    deps: GatewayDeps,
    command: UpdatePerson | ErasePerson | DeleteFace,
    trace: dict[str, bytes],
    *,
    about: dict[str, Any] | None = None,
    created: int = 200,
    job_id: str | None = None,
) -> Response:
    output = Output(deps.topics(_COMMANDS), command.person_id, command, trace)
    job = job_of(command.request_id, "command", deps.clock.now(), job_id=job_id)
    answer = await deps.requests.command(output, job)
    told = {"person_id": command.person_id} | (about or {})
    return reply(answer, command.request_id, told, created=created)
