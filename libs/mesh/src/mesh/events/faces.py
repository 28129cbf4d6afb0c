"""Faces: what detection finds and what recognition decides.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from dataclasses import dataclass

from mesh.events.attributes import Activity, FaceAttributes
from mesh.events.cameras import DetectionConfig
from mesh.events.frames import (
    BoundingBox,
    FrameHeader,
    ModelUse,
    Outcome,
    Point,
    Request,
    StageTime,
)

CHIP_BUDGET = "chip_budget"
"""Reason of a rejection: not the face is unfit, but its frame holds too many for their chips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why a face was not used, with the measured value and the limit it missed."""

    reason: str
    """Machine-readable reason: too_small, blurry, too_dark, too_bright, low_confidence, no_face,
    several_faces, extreme_pose, chip_budget.
    """
    field: str
    """What was measured."""
    value: float | None = None
    """Measured value."""
    limit: float | None = None
    """Limit it missed."""
    message: str
    """Sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceQuality:
    """How fit a face is for recognition."""

    score: float
    """Probability that recognition knows the face again, 0 to 1."""
    sharpness: float
    """Variance of the Laplacian of the face scaled to 112 x 112 grey pixels; 0 and up."""
    brightness: float
    """Mean grey level, 0 to 255."""
    is_blurry: bool
    """Sharpness below the limit."""
    face_size_pixels: int
    """Area of the box, square pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Head pose in degrees."""

    yaw: float
    """Positive turns to the person's left."""
    pitch: float
    """Positive looks up."""
    roll: float
    """Positive tilts clockwise in the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceChip:
    """A square crop around a face with 40 % margin, at most 224 px, never enlarged."""

    image: bytes
    """JPEG, 4:4:4."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    landmarks: tuple[Point, ...]
    """Left eye, right eye, nose, left and right corner of the mouth (as seen in the picture), in
    chip pixels.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedFace:
    """A face found in a frame."""

    index: int
    """Position within the frame, from 0, largest first."""
    detection_id: str
    """det_<uuid5(frame_key, index)>."""
    box: BoundingBox
    """Where the face is."""
    confidence: float
    """Of the detector, 0 to 1."""
    landmarks: tuple[Point, ...]
    """Left eye, right eye, nose, left and right corner of the mouth (as seen in the picture), in
    frame pixels.
    """
    track_id: str | None = None
    """Short-term track within the epoch; soft state."""
    quality: FaceQuality
    """How fit the face is for recognition."""
    pose: Pose | None = None
    """Head pose, if known."""
    chip: FaceChip | None = None
    """Crop for the embedder; null if cutting it was pointless."""
    rejections: tuple[Rejection, ...] = ()
    """Why the face is unfit for recognition; empty if it is fit."""
    attributes: FaceAttributes | None = None
    """What further models say of it; null unless a task asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedObject:
    """A person, vehicle or other object found in a frame."""

    index: int
    """Position within the frame's objects, from 0."""
    detection_id: str
    """det_<uuid5>."""
    class_name: str
    """COCO class name."""
    box: BoundingBox
    """Where it is."""
    confidence: float
    """Of the detector, 0 to 1."""
    track_id: str | None = None
    """Short-term track within the epoch."""
    activity: Activity | None = None
    """Of a person, if the task activity asked and a rule is met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDetected:
    """What detection found in a frame."""

    frame: FrameHeader
    """Identity and times of the frame."""
    outcome: Outcome
    """processed, failed or shed."""
    reason: str | None = None
    """Why it failed or was shed."""
    faces: tuple[DetectedFace, ...] = ()
    """Faces, largest first."""
    objects: tuple[DetectedObject, ...] = ()
    """Objects of other classes."""
    detection: DetectionConfig
    """How to process the picture."""
    request: Request | None = None
    """What the client asked for."""
    models: tuple[ModelUse, ...] = ()
    """Models that ran."""
    stages: tuple[StageTime, ...] = ()
    """Times of the stages so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A face as a unit vector of one model."""

    model_id: str
    """Model that made it; vectors of different models never compare."""
    dtype: str
    """float32 or float16, little-endian."""
    dim: int
    """Number of elements."""
    vector: bytes
    """The elements, dim times the size of dtype."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A person near to a face."""

    person_id: str
    """Person."""
    similarity: float
    """Cosine similarity to the person's mean template, -1 to 1."""
    distance: float
    """1 - similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who a face is, and why."""

    identified: bool
    """True if a person was recognised."""
    person_id: str | None = None
    """The person, if identified."""
    reason: str
    """matched, below_threshold, ambiguous, taken, low_quality, empty_gallery or no_embedding."""
    similarity: float | None = None
    """Of the best candidate, -1 to 1."""
    distance: float | None = None
    """1 - similarity."""
    threshold: float
    """Similarity that had to be reached, for FPIR at the gallery's size."""
    margin: float | None = None
    """Similarity of the best minus the runner-up."""
    margin_limit: float
    """Margin that had to be reached."""
    candidates: tuple[Candidate, ...]
    """Best first."""
    model_id: str
    """Model of the comparison."""
    gallery_version: int
    """Version of the gallery that was searched."""
    gallery_size: int
    """Persons with templates of the model in the searched collection."""
    fused_samples: int = 1
    """How many pictures of the track were averaged; 1 for a single picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizedFace:
    """A detected face with its embedding and decision."""

    face: DetectedFace
    """The face as detected."""
    embedding: Embedding | None = None
    """Of this picture; null if the face was unfit."""
    decision: Decision | None = None
    """Who it is; null if recognition was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecognized:
    """What recognition says of a frame."""

    frame: FrameHeader
    """Identity and times of the frame."""
    outcome: Outcome
    """processed, failed or shed."""
    reason: str | None = None
    """Why it failed or was shed."""
    faces: tuple[RecognizedFace, ...] = ()
    """Faces, largest first."""
    objects: tuple[DetectedObject, ...] = ()
    """Objects of other classes."""
    detection: DetectionConfig
    """How to process the picture."""
    request: Request | None = None
    """What the client asked for."""
    models: tuple[ModelUse, ...] = ()
    """Models that ran."""
    stages: tuple[StageTime, ...] = ()
    """Times of the stages so far."""
