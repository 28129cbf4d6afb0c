"""Frames: what is captured, why, and how it travels.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mesh.events.cameras import DetectionConfig, Location, Priority, StreamType, TimestampSource

INLINE_BYTES = 1024 * 1024
"""A picture travels inside its record up to this size; a larger one as a `FrameRef`."""


class Lane(StrEnum):
    """The queue a frame travels in: each has its own topic and guaranteed share."""

    URGENT = "urgent"
    """Never refused, served first."""
    REQUEST = "request"
    """Pushed by a client who waits for the answer."""
    LIVE = "live"
    """Newest wins, old frames are shed."""
    EVIDENCE = "evidence"
    """Nothing is shed, lag may grow."""


class Outcome(StrEnum):
    """How a captured frame ended; every frame has exactly one."""

    PROCESSED = "processed"
    """Went through every stage."""
    FAILED = "failed"
    """Could not be processed; the reason says why."""
    SHED = "shed"
    """Given up on purpose under load or by policy."""
    LOST = "lost"
    """Vanished; found by the ledger."""


class Purpose(StrEnum):
    """Why a frame is in the mesh."""

    SURVEILLANCE = "surveillance"
    """Captured from a camera."""
    PROCESS_FRAME = "process_frame"
    """Pushed to be detected and recognised."""
    ENROLLMENT = "enrollment"
    """Photo of a person to enrol."""
    ENCODE = "encode"
    """Embed the single face and answer with the embedding."""
    SEARCH = "search"
    """Find the persons nearest to the face."""
    ATTENDANCE = "attendance"
    """Photo to mark attendance."""
    DROWSINESS = "drowsiness"
    """Image to judge drowsiness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundingBox:
    """A box in pixels of the frame, corners inclusive of x1, y1 and exclusive of x2, y2."""

    x1: float
    """Left edge, pixels from the left of the frame."""
    y1: float
    """Top edge, pixels from the top of the frame."""
    x2: float
    """Right edge, pixels; greater than x1."""
    y2: float
    """Bottom edge, pixels; greater than y1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point in pixels."""

    x: float
    """Pixels from the left."""
    y: float
    """Pixels from the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """When one stage worked on a frame."""

    stage: str
    """Name of the stage: camera, gateway, detection, recognition or aggregator."""
    instance_id: str
    """The process that did the work."""
    started_at: datetime
    """When the stage took the frame up, UTC."""
    ended_at: datetime
    """When the stage was done with the frame, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """A model that worked on a frame."""

    task: str
    """What it was used for: face-detection, face-recognition, object-detection, face-landmarks,
    eye-state, head-pose, liveness or age-gender.
    """
    model_id: str
    """Identifier in the model registry."""
    name: str
    """Name for people."""
    version: str
    """Version of the weights."""
    device: str
    """Device it ran on, for example CPU or GPU-0."""
    engine: str
    """Runtime that executed it, for example onnxruntime."""
    latency_ms: float
    """Time it took for this frame, milliseconds; a batch's time is divided by its frames."""
    embedding_size: int | None = None
    """Length of the embedding for a recognition model."""
    fallback_used: bool = False
    """True if it stood in for the model that should have run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRef:
    """Claim check for an image kept in object storage."""

    uri: str
    """Where the image lies."""
    size_bytes: int
    """Size of the image, bytes."""
    sha256: str
    """SHA-256 of the image, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """What every record about one frame carries."""

    frame_key: str
    """Internal identity: uuid5 of camera_id, epoch and sequence_number."""
    camera_id: str
    """Camera, cam_<uuid>."""
    camera_name: str
    """Name of the camera for people."""
    epoch: int
    """Connection session of the source: start time in µs shifted left by 12 bits, plus 12 random
    bits; later sessions are greater.
    """
    sequence_number: int
    """Number of the frame within its epoch, from 0, after sampling."""
    frame_id: str | None = None
    """Identifier that the client gave or will read."""
    lane: Lane
    """Queue the frame travels in."""
    priority: Priority
    """Weight within the lane."""
    purpose: Purpose
    """Why the frame is in the mesh."""
    stream_type: StreamType
    """How the camera is reached."""
    camera_timestamp: datetime
    """When the picture was taken, UTC."""
    timestamp_source: TimestampSource
    """Where camera_timestamp comes from."""
    received_timestamp: datetime
    """When the server received the picture, UTC; the source of truth."""
    deadline: datetime | None = None
    """When the answer is no longer wanted, UTC; computed from received_timestamp."""
    width: int
    """Width of the picture, pixels."""
    height: int
    """Height of the picture, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A person's consent to the processing of biometric data."""

    consent_type: str
    """What is consented to, for example face_recognition."""
    status: str
    """granted or withdrawn."""
    granted_at: datetime
    """When it was given, UTC."""
    expires_at: datetime | None = None
    """When it ends, UTC."""
    document_version: str | None = None
    """Version of the text that was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """Person that an enrolment photo belongs to; photo and command need no order."""

    person_id: str
    """Person, per_<uuid>."""
    face_id: str
    """Identity of this sample, face_<uuid>."""
    collection: str = "default"
    """Gallery collection the person belongs to."""
    name: str
    """Name of the person."""
    employee_id: str | None = None
    """Identifier in the employer's books."""
    department: str | None = None
    """Department of the person."""
    consent: Consent
    """Consent that covers this sample."""
    requested_by: str
    """User who asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the client who pushed a frame asked for."""

    request_id: str
    """Identifier of the request; the answer carries it."""
    client_id: str | None = None
    """Client that asked."""
    timeout_ms: int
    """How long the client waits, milliseconds."""
    callback_url: str | None = None
    """Where the result is to be posted."""
    model_type: str = "face-recognition"
    """face-recognition, face-detection, person-detection, vehicle-detection, object-detection or
    activity-detection.
    """
    detection_model: str | None = None
    """Model asked for, by id or alias."""
    recognition_model: str | None = None
    """Model asked for, by id or alias."""
    min_confidence: float | None = None
    """Detections below this are left out, 0 to 1."""
    min_face_size: int | None = None
    """Faces with a shorter side below this are left out, pixels."""
    max_faces: int | None = None
    """At most this many faces, largest first."""
    return_snapshots: bool = False
    """Keep a picture of each face."""
    return_embeddings: bool = False
    """Answer with the embeddings."""
    collection: str | None = None
    """Search only this collection of the gallery."""
    enrollment: Enrollment | None = None
    """Person to enrol, for the purpose enrollment."""
    tasks: tuple[str, ...] = ()
    """What to look for beside what model_type says; names as in DetectionConfig."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCaptured:
    """A sampled picture of a camera, or one pushed by a client."""

    frame: FrameHeader
    """Identity and times of the frame."""
    image: bytes | None = None
    """JPEG or PNG, at most 1 MiB; null if image_ref is set."""
    image_ref: FrameRef | None = None
    """Where a larger image lies."""
    image_format: str = "jpeg"
    """jpeg or png."""
    detection_image: bytes | None = None
    """A smaller JPEG of the same moment, of the camera's second stream: detection looks at it,
    faces are cut from the image; null if there is none.
    """
    location: Location | None = None
    """Where the camera hangs."""
    detection: DetectionConfig
    """How to process the picture; travels along, so that no later stage joins."""
    request: Request | None = None
    """What the client asked for; null for frames from cameras."""
    stages: tuple[StageTime, ...] = ()
    """Times of the stages so far."""
