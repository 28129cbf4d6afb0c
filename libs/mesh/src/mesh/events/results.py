"""Results: what leaves the mesh.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mesh.events.attributes import Activity, FaceAttributes
from mesh.events.discovery import FoundDevice
from mesh.events.faces import Candidate, Decision, Embedding, FaceQuality, Pose, Rejection
from mesh.events.frames import BoundingBox, FrameHeader, ModelUse, Outcome, Point, StageTime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultDetection:
    """A detection without names and pixels."""

    detection_id: str
    """det_<uuid5(frame_key, index)>."""
    index: int
    """Position within the frame, from 0."""
    detection_type: str
    """face, person, vehicle or object."""
    class_name: str | None = None
    """COCO class of an object."""
    box: BoundingBox
    """Where it is."""
    confidence: float
    """Of the detector, 0 to 1."""
    track_id: str | None = None
    """Short-term track within the epoch."""
    quality: FaceQuality | None = None
    """Of a face."""
    pose: Pose | None = None
    """Of a face, if known."""
    landmarks: tuple[Point, ...] = ()
    """Five points of a face, in frame pixels."""
    rejections: tuple[Rejection, ...] = ()
    """Why the face was unfit for recognition."""
    decision: Decision | None = None
    """Who it is, and why."""
    sighting_id: str | None = None
    """Sighting that the face belongs to."""
    attributes: FaceAttributes | None = None
    """Of a face, if a task asked."""
    activity: Activity | None = None
    """Of a person, if a rule is met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """The result of one frame; every frame that the aggregator receives yields one."""

    frame: FrameHeader
    """Identity and times of the frame."""
    outcome: Outcome
    """processed, failed or shed."""
    reason: str | None = None
    """Why it failed or was shed."""
    detections: tuple[ResultDetection, ...] = ()
    """Faces and objects; empty for purposes that are private."""
    models: tuple[ModelUse, ...] = ()
    """Models that ran."""
    stages: tuple[StageTime, ...] = ()
    """Times of the stages."""
    revision: int = 0
    """0 for the first result; deliberate corrections are higher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One face at one camera, from … to …: its tracks joined by identity."""

    sighting_id: str
    """sgt_<uuid5(frame_key of the first frame, index)>."""
    camera_id: str
    """Camera."""
    camera_name: str
    """Name of the camera."""
    epoch: int
    """Epoch of the first frame."""
    person_id: str | None = None
    """The person; null while unknown."""
    track_ids: tuple[str, ...]
    """Tracks that were joined."""
    started_at: datetime
    """Event time of the first frame, UTC."""
    ended_at: datetime
    """Event time of the newest frame, UTC."""
    first_frame_key: str
    """Frame that opened it."""
    last_frame_key: str
    """Newest frame."""
    frame_count: int
    """Frames with the face."""
    best_detection_id: str
    """Detection with the best quality."""
    best_quality: float
    """Quality of that detection, 0 to 1."""
    best_similarity: float | None = None
    """Highest similarity to the person."""
    closed: bool
    """True once the face was gone for the gap."""
    revision: int
    """Grows with every change; the highest wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something a person should look at."""

    alert_id: str
    """alt_<uuid5>."""
    alert_type: str
    """Kind of alert."""
    severity: str
    """info, warning or critical."""
    camera_id: str
    """Camera."""
    person_id: str | None = None
    """Person concerned."""
    frame_key: str | None = None
    """Frame that caused it."""
    sighting_id: str | None = None
    """Sighting that caused it."""
    raised_at: datetime
    """Event time, UTC."""
    message: str
    """Sentence for people, without names."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Figures of the alert."""
    revision: int
    """Grows with every change; the highest wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendanceMark:
    """A person's presence, marked once per natural key."""

    mark_id: str
    """mrk_<uuid5>."""
    person_id: str
    """Person."""
    camera_id: str
    """Camera."""
    kind: str
    """check_in, check_out or presence."""
    marked_at: datetime
    """Event time, UTC."""
    sighting_id: str | None = None
    """Sighting that caused it."""
    frame_key: str | None = None
    """Frame that caused it."""
    similarity: float | None = None
    """Of the match."""
    revision: int
    """Grows with every change; the highest wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A face picture that policy keeps."""

    detection_id: str
    """Detection it shows."""
    camera_id: str
    """Camera."""
    frame_key: str
    """Frame it is cut from."""
    sighting_id: str | None = None
    """Sighting it stands for."""
    reason: str
    """best_of_sighting or requested."""
    sha256: str
    """SHA-256 of the image, 64 hexadecimal digits; its name in storage."""
    image: bytes
    """JPEG."""
    image_format: str
    """jpeg."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    taken_at: datetime
    """Event time of the frame, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceEmbedding:
    """The embedding of one detection, for the caller who asked."""

    detection_id: str
    """Detection it belongs to."""
    embedding: Embedding
    """The vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentOutcome:
    """What became of an enrolment photo."""

    person_id: str
    """Person."""
    face_id: str
    """Sample."""
    accepted: bool
    """True if the sample is now in the gallery."""
    rejections: tuple[Rejection, ...] = ()
    """Why not."""
    quality: FaceQuality | None = None
    """Of the face that was found."""
    face_count: int
    """Samples of the person after this outcome."""
    other_person_id: str | None = None
    """Person who already has this face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Private reply to one request."""

    request_id: str
    """Request it answers."""
    frame_key: str | None = None
    """Frame that carried the request."""
    kind: str
    """frame, enrollment, command, search, discovery, or callback: post it once more."""
    status: str
    """success, rejected or error."""
    code: str | None = None
    """Error code for machines."""
    message: str
    """Sentence for people."""
    result: FrameResult | None = None
    """Result of the frame."""
    embeddings: tuple[FaceEmbedding, ...] = ()
    """If asked for."""
    enrollment: EnrollmentOutcome | None = None
    """Outcome of an enrolment."""
    candidates: tuple[Candidate, ...] = ()
    """Hits of a search, best first."""
    answered_at: datetime
    """UTC."""
    devices: tuple[FoundDevice, ...] = ()
    """Cameras that one replica found."""
