"""A request that is sent again under its key: it is answered as before, and makes nothing twice."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mesh.identity import derived_id, new_id
from results.domain.errors import ApiError
from results.domain.jobs import FINISHED, Job

HEADER = "Idempotency-Key"
_SERVER = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The identifiers of a request and of the person that it makes."""

    job_id: str
    """Of the client's key; whatever is in the body."""
    request_id: str
    person_id: str
    face_id: str

    @classmethod
    def new(cls) -> "Made":
        """Of a request without a key: no other has them."""
        request_id = new_id("req")
        return cls(
            job_id=request_id,
            request_id=request_id,
            person_id=new_id("per"),
            face_id=new_id("face"),
        )

    @classmethod
    def under(cls, key: str, client: str, content: bytes) -> "Made":
        """Of a request with a key: at any gateway the same for the same client and content."""
        job_id = derived_id("job", HEADER, client, key)
        request_id = derived_id("req", job_id, sha256(content).hexdigest())
        return cls(
            job_id=job_id,
            request_id=request_id,
            person_id=derived_id("per", request_id),
            face_id=derived_id("face", request_id),
        )


def repeated(job: Job, made: Made, about: dict[str, Any]) -> dict[str, Any] | None:
    """What the first request with this key was answered; nothing if this one is to be worked on.

    A failure of the server is none: the request is worked on again, under the same identifiers.

    Raises:
        ApiError: 422; the key came with another body. 409; the first request is worked on. Else
            the error of the first request.
    """
    if job.request_id != made.request_id:
        raise ApiError(
            422,
            "IDEMPOTENCY_KEY_REUSED",
            "the key came with another body before",
            field=HEADER,
            limit="a new key for a new request",
        )
    if job.ending is None or job.state not in FINISHED:
        raise in_progress(job)
    if job.ending.http_status >= _SERVER:
        return None
    body = dict(job.ending.body)
    if "error" not in body:
        return about | body
    error = dict(body["error"])
    raise ApiError(
        job.ending.http_status,
        error.pop("code"),
        error.pop("message"),
        field=error.pop("field"),
        limit=error.pop("limit"),
        details=about | error,
    )


def in_progress(job: Job) -> ApiError:
    """The request that came first has no outcome yet."""
    url = f"/api/v1/requests/{job.request_id}"
    return ApiError(
        409,
        "IDEMPOTENCY_KEY_IN_PROGRESS",
        "the request that came with this key first is still worked on",
        field=HEADER,
        limit="one request at a time",
        details={"request_id": job.request_id, "url": url},
        headers={"Retry-After": "1"},
    )
