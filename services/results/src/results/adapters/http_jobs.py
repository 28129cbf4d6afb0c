"""`GET /api/v1/jobs/{job_id}`: what became of a request that is answered later."""

from typing import Any

from fastapi import APIRouter

from results.adapters.http_deps import BEARER, Deps, GatewayDeps, Operator
from results.adapters.http_fields import JobId
from results.domain.errors import not_found
from results.domain.jobs import Job, render_job

_EXAMPLE: dict[str, Any] = {
    "status": "completed",
    "job_id": "job_7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "kind": "process_frame",
    "camera_id": "cam_550e8400-e29b-41d4-a716-446655440000",
    "frame_id": "frame_12345678",
    "created_at": "2025-11-06T12:45:23.123Z",
    "deadline": "2025-11-06T12:45:28.123Z",
    "finished_at": "2025-11-06T12:45:23.395Z",
    "http_status": 200,
    "result": {"status": "success", "detections": []},
    "error": None,
    "callback": {
        "url": "https://app.example.com/detection-callback",
        "state": "delivered",
        "failed_attempts": 0,
        "last_error": None,
    },
}
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": _EXAMPLE}}}
}
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=BEARER)


@router.get("/{job_id}", summary="What became of an asynchronous request", responses=_SHOWN)
def show_job(job_id: JobId, deps: Deps, _: Operator) -> dict[str, Any]:
    """A job: queued, processing, completed or failed; any gateway knows it.

    `result` is what the same request would have been answered with at once, `error` the error of
    its envelope. A job that nobody answers fails shortly after its deadline with `MODEL_TIMEOUT`.
    Enrolments and commands that were answered 202 are jobs too, by their request_id.
    """
    return render_job(*found(deps, job_id, kind="job", field="job_id"))


def found(deps: GatewayDeps, key: str, *, kind: str, field: str) -> tuple[Job, dict[str, Any]]:
    """A job and the names of everybody in it; blocks.

    Raises:
        ApiError: There is no such job.
    """
    job = deps.jobs.job(key, deps.clock.now())
    if job is None:
        raise not_found(kind, key, field=field)
    persons = job.ending.person_ids if job.ending else frozenset()
    return job, dict(deps.names.named(persons)) if persons else {}
