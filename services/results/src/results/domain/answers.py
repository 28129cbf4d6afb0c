"""What the mesh answered, in the words of HTTP."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from mesh.events import Answer, FrameResult, ModelUse, Outcome
from results.domain.errors import ApiError
from results.domain.persons import CONSENT_LIMIT, render_outcome

PICTURE_FIELD = "frame_data"
"""Where process-frame has its picture."""
_STATUS = {
    "FRAME_UNREADABLE": 422,
    "QUALITY_REJECTED": 422,
    "CONSENT_REQUIRED": 422,
    "PERSON_NOT_FOUND": 404,
    "FACE_NOT_FOUND": 404,
    "PERSON_EXISTS": 409,
    "OVERLOADED": 503,
    "MODEL_TIMEOUT": 504,
    "DEADLINE_EXCEEDED": 504,
}
_TIMEOUT = 504
_ENGINES = "Detection model exceeded its timeout within the request's ({}ms). Frame dropped."
"""Every engine has a time-out of its own."""
KEPT_ERRORS = (413, 422)
"""The same picture would fail again: its repetition is answered alike."""
_EXPECTED: Mapping[str, tuple[str, str]] = {
    "CONSENT_REQUIRED": ("consent", CONSENT_LIMIT),
    "PERSON_EXISTS": ("image", "a face that nobody else is enrolled with"),
    "PERSON_NOT_FOUND": ("person_id", "an existing person"),
    "FACE_NOT_FOUND": ("face_id", "an existing face"),
    "FRAME_UNREADABLE": ("image", "a whole JPEG or PNG"),
}
"""The field at fault and what it may be, for rejections without a measured value."""


def model_timeout(frame_id: str | None, timeout_ms: int) -> ApiError:
    """No answer in time, specification 5.2.3."""
    return ApiError(
        504,
        "MODEL_TIMEOUT",
        f"Detection model exceeded timeout ({timeout_ms}ms). Frame dropped.",
        field="detection_options.processing.timeout_ms",
        limit=timeout_ms,
        details={"frame_id": frame_id, "timeout_ms": timeout_ms, **_fallback(())},
    )


def _fallback(models: Sequence[ModelUse]) -> dict[str, Any]:
    """Whether a model stood in for another; null where no model told, as without an answer."""
    stood = [model.name for model in models if model.fallback_used]
    return {
        "fallback_used": bool(stood) if models else None,
        "fallback_model": stood[0] if stood else None,
    }


def _given_ms(result: FrameResult | None) -> int | None:
    """How long the client of a frame waits."""
    if result is None or result.frame.deadline is None:
        return None
    given = result.frame.deadline - result.frame.received_timestamp
    return round(given / timedelta(milliseconds=1))


def _timed_out(result: FrameResult | None, timeout_ms: int | None) -> dict[str, Any]:
    return {"timeout_ms": timeout_ms, **_fallback(result.models if result else ())}


def refusal(answer: Answer) -> ApiError:
    """The error that an answer other than success stands for."""
    code = answer.code or "PROCESSING_FAILED"
    field: str | None
    limit: float | str | None
    field, limit = _EXPECTED.get(code, (None, None))
    details: dict[str, Any] = {"request_id": answer.request_id, "reason": code.lower()}
    outcome = answer.enrollment
    if outcome is not None:
        details |= render_outcome(outcome) | {"value": outcome.other_person_id}
        if outcome.rejections:
            first = outcome.rejections[0]
            field, limit = first.field, first.limit
            details |= {"reason": first.reason, "value": first.value}
    status = _STATUS.get(code, 422 if answer.status == "rejected" else 500)
    return ApiError(status, code, answer.message, field=field, limit=limit, details=details)


def stands(answer: Answer) -> bool:
    """Whether a repetition is told the same: a result, or a picture that would fail again."""
    return answer.status == "success" or _STATUS.get(answer.code or "") in KEPT_ERRORS


def processed(answer: Answer, *, field: str) -> FrameResult:
    """The result of a pushed frame.

    Raises:
        ApiError: The frame failed or was shed.
    """
    result = answer.result
    if answer.status == "success" and result is not None and result.outcome is Outcome.PROCESSED:
        return result
    code = answer.code or "PROCESSING_FAILED"
    status = _STATUS.get(code, 500)
    unreadable, timeout_ms = status < 500, _given_ms(result)
    raise ApiError(
        status,
        code,
        _ENGINES.format(timeout_ms) if code == "MODEL_TIMEOUT" else answer.message,
        field=field if unreadable else None,
        limit="a whole JPEG or PNG" if unreadable else None,
        details={
            "frame_id": result.frame.frame_id if result else None,
            "reason": result.reason if result else None,
            **(_timed_out(result, timeout_ms) if status == _TIMEOUT else {}),
        },
        headers={"Retry-After": "1"} if status == 503 else None,
    )
