"""Requests that are answered later: what became of them, and how clients are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mesh.events import Answer
from results.domain.answers import PICTURE_FIELD, model_timeout, processed, refusal
from results.domain.errors import ApiError
from results.domain.persons import render_outcome
from results.domain.rendering import Names, persons_of, render_result, vector
from results.domain.times import iso

GRACE = timedelta(seconds=5)
"""A frame that was taken up just before its deadline is waited for so much longer."""
LIMIT = timedelta(seconds=60)
"""So long after its deadline a job fails even if nobody knows whether its answer is on its way."""


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    """Accepted; the broker has not acknowledged the frame yet."""
    PROCESSING = "processing"
    """In the mesh: waiting in a queue, or worked on."""
    COMPLETED = "completed"
    FAILED = "failed"


FINISHED = frozenset({JobState.COMPLETED, JobState.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """Where a job's end is posted to."""

    url: str
    state: str = "pending"
    """pending, delivered or failed."""
    attempts: int = 0
    """How often it was tried in vain."""
    error: str | None = None
    """Why it failed the last time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the same request would have been answered with at once, without names."""

    http_status: int
    body: Mapping[str, Any]
    embeddings: Mapping[str, list[float]] = field(default_factory=dict)
    """By detection_id."""
    person_ids: frozenset[str] = frozenset()
    """Everybody that the body mentions."""

    @property
    def state(self) -> JobState:
        """Completed, or failed with an error in the body."""
        return JobState.COMPLETED if self.http_status < 400 else JobState.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request that is answered later."""

    job_id: str
    request_id: str
    """What the mesh's answer is matched by."""
    kind: str
    """process_frame, enrollment or command."""
    created_at: datetime
    deadline: datetime
    """When the mesh stops to work on it."""
    state: JobState = JobState.QUEUED
    camera_id: str | None = None
    frame_id: str | None = None
    with_snapshots: bool = False
    finished_at: datetime | None = None
    ending: Ending | None = None
    callback: Callback | None = None

    @property
    def timeout_ms(self) -> int:
        """How long the client gave it."""
        return round((self.deadline - self.created_at) / timedelta(milliseconds=1))


def ending_of(answer: Answer, *, with_snapshots: bool) -> Ending:
    """What an answer of the mesh means for the job that waits for it."""
    try:
        if answer.kind != "frame":
            return Ending(http_status=200, body=plain_answer(answer))
        result = processed(answer, field=PICTURE_FIELD)
    except ApiError as error:
        return failure(error)
    return Ending(
        http_status=200,
        body=render_result(result, {}, with_snapshots=with_snapshots),
        embeddings={each.detection_id: vector(each.embedding) for each in answer.embeddings},
        person_ids=frozenset(persons_of(result.detections)),
    )


def plain_answer(answer: Answer) -> dict[str, Any]:
    """The outcome of an enrolment or a command.

    Raises:
        ApiError: It was rejected, or failed.
    """
    if answer.status != "success":
        raise refusal(answer)
    told = {"status": "success", "message": answer.message, "request_id": answer.request_id}
    return told | render_outcome(answer.enrollment) | {"answered_at": iso(answer.answered_at)}


def failure(error: ApiError) -> Ending:
    """A job that ends with an error."""
    return Ending(http_status=error.status, body=error.envelope())


def overdue(job: Job) -> Ending:
    """A job that nobody answered."""
    return failure(model_timeout(job.frame_id, job.timeout_ms))


def body_of(ending: Ending, names: Names) -> dict[str, Any]:
    """The body with the names and embeddings that are kept apart from it."""
    body = dict(ending.body)
    if "detections" in body:
        body["detections"] = [
            _joined(detection, names, ending.embeddings) for detection in body["detections"]
        ]
    return body


def _joined(
    detection: Mapping[str, Any], names: Names, embeddings: Mapping[str, list[float]]
) -> dict[str, Any]:
    joined = dict(detection)
    joined["embedding"] = embeddings.get(detection["detection_id"])
    person = detection["person"]
    if person is not None and (known := names.get(person["person_id"])) is not None:
        joined["person"] = person | {
            "employee_id": known.employee_id,
            "name": known.name,
            "department": known.department,
            "enrollment_status": known.status,
            "face_encoding_count": len(known.faces),
        }
    decision = detection["metadata"]["decision"]
    if decision is not None:
        candidates = [
            near | {"name": names[near["person_id"]].name if near["person_id"] in names else None}
            for near in decision["candidates"]
        ]
        joined["metadata"] = detection["metadata"] | {
            "decision": decision | {"candidates": candidates}
        }
    return joined


def render_job(job: Job, names: Names) -> dict[str, Any]:
    """A job as a client sees it: its result, or its error, as they would have come at once."""
    body = body_of(job.ending, names) if job.ending else None
    failed = job.state is JobState.FAILED
    return {
        "status": str(job.state),
        "job_id": job.job_id,
        "kind": job.kind,
        "camera_id": job.camera_id,
        "frame_id": job.frame_id,
        "created_at": iso(job.created_at),
        "deadline": iso(job.deadline),
        "finished_at": iso(job.finished_at),
        "http_status": job.ending.http_status if job.ending else None,
        "result": None if failed else body,
        "error": body["error"] if failed and body else None,
        "callback": _callback(job.callback),
    }


def _callback(callback: Callback | None) -> dict[str, Any] | None:
    if callback is None:
        return None
    return {
        "url": callback.url,
        "state": callback.state,
        "failed_attempts": callback.attempts,
        "last_error": callback.error,
    }


def callback_body(job: Job, names: Names) -> dict[str, Any]:
    """What is posted to the callback URL, specification 5.3."""
    body = body_of(job.ending, names) if job.ending else {}
    told: dict[str, Any] = {
        "job_id": job.job_id,
        "status": str(job.state),
        "frame_id": job.frame_id,
        "camera_id": job.camera_id,
    }
    if job.state is JobState.FAILED:
        return told | {"error": body.get("error"), "detections": []}
    return told | {name: body[name] for name in ("detections", "summary") if name in body}
