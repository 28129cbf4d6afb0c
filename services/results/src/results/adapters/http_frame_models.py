"""The body of `process-frame`, specification 4.1.1."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from results.adapters.http_fields import TASKS, Body, CameraId, Moment, Share, Task

PushedStreamType = Literal["RTSP", "USB", "HTTP_MJPEG", "WEBSOCKET", "SOCKET"]
Priority = Literal["urgent", "high", "normal", "low"]
PictureFormat = Literal["jpeg", "png"]
Dimension = Annotated[int, Field(ge=1, le=65_535)]


class Resolution(Body):
    """Size that the client believes the picture to have; the picture's own header rules."""

    width: Dimension
    height: Dimension


class FrameMetadata(Body):
    """What the client says of the picture; only `format` is held against it."""

    format: PictureFormat | None = None
    resolution: Resolution | None = None
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    codec: Annotated[str, Field(max_length=32)] | None = None


class Models(Body):
    """Models to use, by identifier or alias, of those that `GET /api/v1/models` lists."""

    detection: Annotated[str, Field(max_length=100)] | None = None
    recognition: Annotated[str, Field(max_length=100)] | None = None


class Parameters(Body):
    """Limits of this request; what is left out follows the camera's configuration."""

    min_confidence: Share | None = None
    min_face_size: Annotated[int, Field(ge=16, le=1000)] | None = None
    max_faces: Annotated[int, Field(ge=1, le=200)] | None = None
    return_snapshots: bool = False
    return_embeddings: bool = False


class Processing(Body):
    """How the request is queued, and how long it may take."""

    priority: Priority = "normal"
    timeout_ms: Annotated[
        int,
        Field(
            ge=100,
            le=60_000,
            description="The answer comes within this time, or the frame is given up.",
        ),
    ] = 5000
    asynchronous: Annotated[
        bool, Field(alias="async", description="Answer 202 with a job at once.")
    ] = False


class DetectionOptions(Body):
    """What to do with the picture."""

    model_type: Annotated[str, Field(max_length=50)] = "face-recognition"
    tasks: Annotated[
        tuple[Task, ...],
        Field(
            max_length=len(TASKS),
            description="What to look for beside what model_type says; each needs a loaded model.",
        ),
    ] = ()
    models: Models = Models()
    parameters: Parameters = Parameters()
    processing: Processing = Processing()


class ClientContext(Body):
    """Who asks; `callback_url` belongs to asynchronous requests and is not called for others.

    It is posted the job's end, signed: `Sightline-Signature` is `sha256=` and the HMAC-SHA256, with
    the shared secret, over `Sightline-Timestamp`, a full stop and the body. `Idempotency-Key` is
    the job_id; the same callback may come more than once.
    """

    client_id: Annotated[str, Field(max_length=128)] | None = None
    request_id: Annotated[str, Field(max_length=128)] | None = None
    callback_url: (
        Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/]+[^\s]*$")] | None
    ) = None


EXAMPLE: dict[str, Any] = {
    "camera_id": "cam_550e8400-e29b-41d4-a716-446655440000",
    "stream_type": "RTSP",
    "frame_id": "frame_12345678",
    "timestamp": "2025-11-06T12:45:23.123Z",
    "frame_data": "base64_encoded_jpeg_or_png",
    "frame_metadata": {
        "format": "jpeg",
        "resolution": {"width": 1920, "height": 1080},
        "size_bytes": 245678,
        "codec": "h264",
    },
    "detection_options": {
        "model_type": "face-recognition",
        "models": {"detection": "retinaface-gpu", "recognition": "arcface-512d"},
        "parameters": {
            "min_confidence": 0.65,
            "min_face_size": 80,
            "max_faces": 10,
            "return_snapshots": True,
            "return_embeddings": False,
        },
        "processing": {"priority": "normal", "timeout_ms": 5000, "async": False},
    },
    "client_context": {
        "client_id": "gui-frontend-12345",
        "request_id": "req_abc123",
        "callback_url": "https://app.example.com/detection-callback",
    },
}
"""The specification's example request."""


class FrameBody(Body):
    """A picture to be detected and recognised."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    camera_id: CameraId
    stream_type: PushedStreamType
    frame_id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
    timestamp: Moment
    frame_data: Annotated[str, Field(description="JPEG or PNG in base64, at most 5 MiB.")]
    frame_metadata: FrameMetadata = FrameMetadata()
    detection_options: DetectionOptions = DetectionOptions()
    client_context: ClientContext = ClientContext()


ACCEPTED = "accepted"
_ERROR: dict[str, Any] = {
    "status": "error",
    "error": {
        "code": "MODEL_TIMEOUT",
        "message": "Detection model exceeded timeout (5000ms). Frame dropped.",
        "field": "detection_options.processing.timeout_ms",
        "limit": 5000,
        "frame_id": "frame_12345678",
        "timeout_ms": 5000,
        "fallback_used": None,
        "fallback_model": None,
    },
}
_OVERLOADED: dict[str, Any] = {
    "status": "error",
    "error": {
        "code": "OVERLOADED",
        "message": "1200 pictures are waiting; only urgent ones are let in",
        "field": "detection_options.processing.priority",
        "limit": 1000,
        "value": 1200,
        "resource": "queue",
    },
}
_AWAY: dict[str, Any] = {
    "status": "error",
    "error": {
        "code": "MESH_UNAVAILABLE",
        "message": "the broker cannot be reached at the moment",
        "field": None,
        "limit": None,
        "dependency": "broker",
        "reason": "publishing: timed out",
    },
}
_JOB: dict[str, Any] = {
    "status": ACCEPTED,
    "message": "Frame queued for processing",
    "job_id": "job_7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "frame_id": "frame_12345678",
    "estimated_completion_ms": 2000,
    "queue_position": 15,
    "callback_url": "https://app.example.com/detection-callback",
}


def _shown(description: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


ANSWERS: dict[int | str, dict[str, Any]] = {
    202: _shown("Asynchronous: ask `GET /api/v1/jobs/{job_id}`", _JOB),
    429: _shown("Refused for now; `Retry-After` tells when to try again", _OVERLOADED),
    503: _shown("Something is away or overloaded; `Retry-After` tells when to try again", _AWAY),
    504: _shown("Not answered within `timeout_ms`", _ERROR),
}
"""Answers of process-frame beside 200, for the interface's description."""
