"""What the mesh answered, in the words of HTTP."""

from typing import Any

from mesh.events import Answer, FrameResult, Outcome
from results.domain.errors import ApiError
from results.domain.persons import render_outcome
from results.domain.times import iso

_STATUS = {
    "FRAME_UNREADABLE": 422,
    "QUALITY_REJECTED": 422,
    "CONSENT_REQUIRED": 422,
    "PERSON_NOT_FOUND": 404,
    "FACE_NOT_FOUND": 404,
    "PERSON_EXISTS": 409,
    "FACE_EXISTS": 409,
    "MODEL_TIMEOUT": 504,
    "DEADLINE_EXCEEDED": 504,
}
_OUTCOMES = {
    "unreadable_image": ("FRAME_UNREADABLE", 422),
    "unreadable": ("FRAME_UNREADABLE", 422),
    "deadline": ("MODEL_TIMEOUT", 504),
}


def model_timeout(frame_id: str | None, timeout_ms: int) -> ApiError:
    """No answer in time, specification 5.2.3."""
    return ApiError(
        504,
        "MODEL_TIMEOUT",
        f"Detection model exceeded timeout ({timeout_ms}ms). Frame dropped.",
        field="detection_options.processing.timeout_ms",
        limit=timeout_ms,
        details={
            "frame_id": frame_id,
            "timeout_ms": timeout_ms,
            "fallback_used": False,
            "fallback_model": None,
        },
    )


def refusal(answer: Answer) -> ApiError:
    """The error that an answer other than success stands for."""
    usual = 422 if answer.status == "rejected" else 500
    details: dict[str, Any] = {"request_id": answer.request_id}
    field: str | None = None
    limit: float | str | None = None
    if answer.enrollment is not None:
        details |= render_outcome(answer.enrollment)
        if answer.enrollment.rejections:
            first = answer.enrollment.rejections[0]
            field, limit = first.field, first.limit
            details |= {"reason": first.reason, "value": first.value}
    code = answer.code or ("REJECTED" if answer.status == "rejected" else "PROCESSING_FAILED")
    status = _STATUS.get(code, usual)
    return ApiError(status, code, answer.message, field=field, limit=limit, details=details)


def processed(answer: Answer, *, field: str) -> FrameResult:
    """The result of a pushed frame.

    Raises:
        ApiError: The frame failed or was shed.
    """
    result = answer.result
    if result is None or result.outcome is not Outcome.PROCESSED:
        raise _failed(answer, result, field)
    if answer.status != "success":
        raise refusal(answer)
    return result


def _failed(answer: Answer, result: FrameResult | None, field: str) -> ApiError:
    reason = (result.reason if result else None) or ""
    if result is not None and result.outcome is Outcome.SHED and reason not in _OUTCOMES:
        message = f"The frame was given up under load ({reason or 'no reason told'})."
        headers = {"Retry-After": "1"}
        details = {"reason": reason, "frame_id": result.frame.frame_id}
        return ApiError(503, "FRAME_SHED", message, details=details, headers=headers)
    code, status = _OUTCOMES.get(reason, (answer.code or "PROCESSING_FAILED", 500))
    status = _STATUS.get(code, status)
    frame_id = result.frame.frame_id if result else None
    details = {"reason": reason or None, "frame_id": frame_id}
    named = field if status < 500 else None
    return ApiError(status, code, answer.message, field=named, details=details)


def render_answer(answer: Answer) -> dict[str, Any]:
    """An answer for a client who asks again later; it carries neither pixels nor embeddings."""
    return {
        "status": answer.status,
        "request_id": answer.request_id,
        "code": answer.code,
        "message": answer.message,
        "answered_at": iso(answer.answered_at),
        "enrollment": render_outcome(answer.enrollment) or None,
    }
