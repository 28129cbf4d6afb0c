"""The system: health, sightings, events, sessions of browsers, requests on their way."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from results.adapters.http_deps import BEARER, COOKIE, Deps, Operator, Viewer
from results.adapters.http_enrollment import on_its_way
from results.adapters.http_fields import CameraId, Moment, PageParams, PersonId, RequestId
from results.adapters.http_jobs import found
from results.domain.camera_state import heard_of, waiting_state
from results.domain.feed import render_sighting
from results.domain.health import render_health
from results.domain.jobs import body_of
from results.domain.queries import SightingQuery
from results.domain.times import iso

public = APIRouter(tags=["system"])
router = APIRouter(prefix="/api/v1", tags=["system"], dependencies=BEARER)


class SightingParams(PageParams):
    """Which sightings; those that overlap the time."""

    camera_id: CameraId | None = None
    person_id: PersonId | None = None
    start_time: Moment | None = None
    end_time: Moment | None = None


class EventParams(PageParams):
    """Which events."""

    camera_id: CameraId | None = None


@public.get("/health", summary="Is this gateway well?")
def health(deps: Deps) -> JSONResponse:
    """Liveness and readiness in one; 503 names what is missing."""
    problems = dict(deps.health.readiness())
    body = {
        "status": "unavailable" if problems else "ok",
        "problems": problems,
        "circuit": deps.requests.gate.render(),
    }
    return JSONResponse(body, 503 if problems else 200)


@router.post("/session", summary="Let this browser load pictures")
def open_session(request: Request, deps: Deps, user: Viewer) -> JSONResponse:
    """Set a cookie that is sent with pictures alone; everything else needs the bearer token."""
    token = request.headers["authorization"].partition(" ")[2].strip()
    response = JSONResponse({"status": "success", "subject": user.subject, "role": user.role})
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(deps.policy.session.total_seconds()),
        path="/api/v1",
        httponly=True,
        samesite="strict",
        secure=deps.policy.secure_cookie or request.url.scheme == "https",
    )
    return response


@router.delete("/session", status_code=204, summary="Forget this browser")
def close_session(response: Response, _: Viewer) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, path="/api/v1", httponly=True, samesite="strict")


@router.get("/requests/{request_id}", summary="The outcome of a request that took longer")
def request_outcome(request_id: RequestId, deps: Deps, _: Operator) -> JSONResponse:
    """What became of an enrolment or a command that was answered 202: the same as at once."""
    job, names = found(deps, request_id, kind="request", field="request_id")
    if job.ending is None:
        return JSONResponse(on_its_way(request_id), 202)
    return JSONResponse(body_of(job.ending, names), job.ending.http_status)


@router.get("/sightings", summary="Who was seen where, from when to when")
def sightings(params: Annotated[SightingParams, Query()], deps: Deps, _: Viewer) -> dict[str, Any]:
    """Sightings, newest first."""
    query = SightingQuery(
        camera_id=params.camera_id,
        person_id=params.person_id,
        start=params.start_time,
        end=params.end_time,
        paging=params.paging,
    )
    page = deps.results.sightings(query)
    names = deps.names.named({item.person_id for item in page.items if item.person_id})
    rendered = [render_sighting(item, names.get(item.person_id or "")) for item in page.items]
    return page.render("sightings", rendered, params.paging)


@router.get("/events", summary="What happened")
def events(params: Annotated[EventParams, Query()], deps: Deps, _: Viewer) -> dict[str, Any]:
    """Events of cameras and models, newest first."""
    page = deps.results.events(params.camera_id, params.paging)
    rendered = [
        {
            "event_id": event.event_id,
            "event_type": event.event_type,
            "timestamp": iso(event.occurred_at),
            "severity": event.severity,
            "service": event.service,
            "camera_id": event.camera_id,
            "camera_name": event.camera_name,
            "message": event.message,
            "attributes": event.attributes,
        }
        for event in page.items
    ]
    return page.render("events", rendered, params.paging)


@router.get("/system/health", summary="Health of each stage")
def system_health(deps: Deps, _: Viewer) -> dict[str, Any]:
    """What this gateway sees of the stages: heartbeats, streams, and the age of results."""
    now, state = deps.clock.now(), deps.state
    told = [(each, heard_of(each, state.heard(each.camera_id), now)) for each in state.cameras()]
    rendered = render_health(
        now=now,
        models=state.models(),
        cameras=[status.state if status else waiting_state(each) for each, status in told],
        result_age=state.seconds_since_result(),
        problems=deps.health.readiness(),
    )
    rendered["stages"]["gateway"]["circuit"] = deps.requests.gate.render()
    return rendered
