"""The private reply to a client that pushed a frame."""

from mesh.events import (
    Answer,
    FaceEmbedding,
    FrameRecognized,
    FrameResult,
    Outcome,
    Purpose,
    StageTime,
)

_CODES = (
    ("unreadable", "FRAME_UNREADABLE"),
    ("model_timeout", "MODEL_TIMEOUT"),
    ("poison", "PROCESSING_FAILED"),
    ("deadline", "DEADLINE_EXCEEDED"),
    ("max_age", "DEADLINE_EXCEEDED"),
)
"""Error codes by the beginning of a reason."""
_CODE_OF_OUTCOME = {Outcome.SHED: "OVERLOADED"}


def frame_answer(event: FrameRecognized, result: FrameResult, stage: StageTime) -> Answer | None:
    """The answer to a pushed frame; nothing for other purposes and for frames of cameras.

    Args:
        event: What recognition said, with the request.
        result: The frame's result.
        stage: When this stage worked on it; the answer is stamped with its end.
    """
    request = event.request
    if request is None or event.frame.purpose is not Purpose.PROCESS_FRAME:
        return None
    code = _code(result)
    return Answer(
        request_id=request.request_id,
        frame_key=event.frame.frame_key,
        kind="frame",
        status="error" if code else "success",
        code=code,
        message=_message(result),
        result=result,
        embeddings=_embeddings(event) if request.return_embeddings and not code else (),
        answered_at=stage.ended_at,
    )


def _code(result: FrameResult) -> str | None:
    if result.outcome is Outcome.PROCESSED:
        return None
    reason = result.reason or ""
    for beginning, code in _CODES:
        if reason.startswith(beginning):
            return code
    return _CODE_OF_OUTCOME.get(result.outcome, "PROCESSING_FAILED")


def _message(result: FrameResult) -> str:
    if result.outcome is not Outcome.PROCESSED:
        return f"Frame {result.outcome.value}: {result.reason or 'no reason given'}"
    if any(found.detection_type == "face" for found in result.detections):
        return "Frame processed successfully"
    return "No faces detected in frame"


def _embeddings(event: FrameRecognized) -> tuple[FaceEmbedding, ...]:
    return tuple(
        FaceEmbedding(detection_id=found.face.detection_id, embedding=found.embedding)
        for found in event.faces
        if found.embedding is not None
    )
