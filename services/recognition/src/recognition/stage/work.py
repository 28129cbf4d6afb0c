"""A frame and its faces on their way through the stage."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from mesh.events import (
    CHIP_BUDGET,
    DetectedFace,
    Enrollment,
    FaceChip,
    FrameDetected,
    Outcome,
    Purpose,
    Request,
)
from recognition.domain.embedding import Mean, Vector
from recognition.domain.matching import Probe
from recognition.ports import Matches

_IDENTIFIED = frozenset({Purpose.SURVEILLANCE, Purpose.PROCESS_FRAME, Purpose.ATTENDANCE})
_EMBEDDED = _IDENTIFIED | {Purpose.ENROLLMENT, Purpose.ENCODE, Purpose.SEARCH}
_EXACT = frozenset({Purpose.ENCODE, Purpose.SEARCH})


@dataclass(slots=True)
class FaceWork:
    """A face, and what became known of it."""

    detected: DetectedFace
    vector: Vector | None = None
    """Of this picture; none if the face was unfit or its chip unreadable."""
    fused: Mean | None = None
    """Of its track up to this picture."""
    matches: Matches | None = None

    @property
    def fit(self) -> bool:
        """Whether detection had nothing against it; that it has no chip is not its fault."""
        return all(each.reason == CHIP_BUDGET for each in self.detected.rejections)

    def probe(self, gallery_size: int) -> Probe:
        """The face as it goes into the decision."""
        return Probe(
            fit=self.fit,
            embedded=self.vector is not None,
            quality=self.detected.quality.score,
            hits=self.matches.hits if self.matches else (),
            gallery_size=self.matches.gallery_size if self.matches else gallery_size,
            fused_samples=self.fused.count if self.fused else 1,
            concentration=self.fused.concentration if self.fused else 1.0,
        )


@dataclass(slots=True)
class FrameWork:
    """A frame, how it will end, and its faces."""

    event: FrameDetected
    outcome: Outcome
    reason: str | None
    faces: Sequence[FaceWork] = field(default_factory=list)
    version: int = 0
    """Version of the gallery that was searched."""

    @classmethod
    def of(cls, event: FrameDetected) -> "FrameWork":
        """A frame as detection left it."""
        return cls(event, event.outcome, event.reason, [FaceWork(face) for face in event.faces])

    @property
    def collection(self) -> str | None:
        """The collection to search; the request's wins over the camera's, none means all."""
        request = self.event.request
        return (request.collection if request else None) or self.event.detection.collection

    @property
    def embeds(self) -> bool:
        """Whether embeddings are wanted of its faces."""
        request = self.event.request
        return (
            self.outcome is Outcome.PROCESSED
            and self.event.frame.purpose in _EMBEDDED
            and (request is None or request.model_type == "face-recognition")
        )

    @property
    def identifies(self) -> bool:
        """Whether it is asked who its faces are."""
        return self.embeds and self.event.frame.purpose in _IDENTIFIED

    @property
    def needs_gallery(self) -> bool:
        """Whether it waits while the gallery is away."""
        return self.identifies or self.event.frame.purpose is Purpose.ENROLLMENT

    @property
    def dtype(self) -> str:
        """Of its embeddings: in full where somebody reads them, else half the bytes."""
        request = self.event.request
        asked = request is not None and request.return_embeddings
        return "float32" if asked or self.event.frame.purpose in _EXACT else "float16"

    def chips_wanted(self) -> Iterator[FaceWork]:
        """The faces to embed."""
        if self.embeds:
            yield from (face for face in self.faces if face.fit and face.detected.chip)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to enrol, the person it belongs to, and who asked."""

    frame: FrameWork
    request: Request
    enrollment: Enrollment

    @classmethod
    def of(cls, frame: FrameWork) -> "Photo | None":
        """The photo in a frame of the purpose enrolment; none if it does not say whose it is."""
        request = frame.event.request
        if request is None or request.enrollment is None:
            return None
        return cls(frame, request, request.enrollment)

    @property
    def frame_key(self) -> str:
        """Identity of the photo."""
        return self.frame.event.frame.frame_key

    @property
    def faces(self) -> Sequence[DetectedFace]:
        """Everybody in the photo."""
        return self.frame.event.faces

    @property
    def sole(self) -> "EmbeddedFace | None":
        """The single face of the photo, if there is one and it could be embedded."""
        if len(self.frame.faces) != 1:
            return None
        face = self.frame.faces[0]
        if face.vector is None or face.detected.chip is None:
            return None
        return EmbeddedFace(face.detected, face.detected.chip, face.vector)


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """A face with everything that a sample needs."""

    detected: DetectedFace
    chip: FaceChip
    vector: Vector

    @property
    def sha256(self) -> str:
        """Of the chip: the same picture has the same."""
        return sha256(self.chip.image).hexdigest()
