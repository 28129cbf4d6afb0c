"""What several tests of recognition arrange: a fake embedder, vectors, frames, photos."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mesh.clock import Clock, ManualClock
from mesh.events import (
    DetectedFace,
    Enrollment,
    FaceChip,
    FrameDetected,
    FrameHeader,
    Point,
    Purpose,
)
from mesh.identity import derived_id
from mesh.record import Record
from mesh.stage import Emit, Output
from mesh.testing import (
    NOON,
    a_detected_face,
    a_frame_detected,
    a_frame_header,
    a_record,
    a_request,
    an_enrollment,
)
from mesh.topics import Topics
from recognition.adapters.memory import InMemoryGallery, InMemoryRegistry
from recognition.domain.calibration import Calibration
from recognition.domain.embedding import Vector, Vectors, unit
from recognition.domain.enrollment import EnrollmentPolicy
from recognition.domain.fusion import FusionPolicy, TrackFusion
from recognition.domain.matching import MatchPolicy
from recognition.ports import EmbedderInfo, Gallery, Registry, Surroundings
from recognition.stage import CommandStage, Enroller, RecognitionStage, Reembedder

MODEL_ID = "omz-face-reid-0095"


class FakeEmbedder:
    """Reads the vector that the test wrote into the chip's bytes."""

    def __init__(self, model_id: str = MODEL_ID) -> None:
        self.calls: list[int] = []
        self.info = EmbedderInfo(
            model_id=model_id,
            name="fake",
            version="1",
            licence="none",
            sha256="0" * 64,
            pack="fake",
            aliases=(),
            device="CPU",
            engine="numpy",
            dim=8,
        )

    def warm_up(self) -> None:
        """Nothing to warm."""

    def embed(self, chips: Sequence[FaceChip]) -> Vectors:
        self.calls.append(len(chips))
        rows = [np.frombuffer(chip.image[:32].ljust(32, b"\0"), "<f4") for chip in chips]
        return unit(np.stack(rows)) if rows else np.zeros((0, 8), np.float32)


def vector(*values: float) -> Vector:
    padded = np.zeros(8, np.float32)
    padded[: len(values)] = values
    result: Vector = unit(padded[None, :])[0]
    return result


def chip_of(*values: float, salt: bytes = b"") -> FaceChip:
    """A chip that the fake embedder turns into this vector; the salt makes it another picture."""
    points = tuple(
        Point(x=float(x), y=float(y)) for x, y in ((3, 4), (7, 4), (5, 6), (4, 8), (6, 8))
    )
    image = vector(*values).astype("<f4").tobytes() + salt
    return FaceChip(image=image, width=10, height=10, landmarks=points)


TOPICS = Topics()
CURVE = Calibration(((10, 0.5), (1000, 0.7)), floor=0.5, margin=0.05)
POLICY = MatchPolicy(calibration=CURVE)


def per(number: int) -> str:
    return derived_id("per", number)


def a_face_of(*values: float, salt: bytes = b"", **changes: Any) -> DetectedFace:
    return a_detected_face(**{"chip": chip_of(*values, salt=salt), **changes})


def a_frame(*faces: DetectedFace, sequence: int = 0, **changes: Any) -> Record[FrameDetected]:
    """A record of a surveillance frame with these faces."""
    header: FrameHeader = changes.pop("frame", a_frame_header(sequence_number=sequence))
    event = a_frame_detected(frame=header, faces=faces, **changes)
    return a_record(event, topic=TOPICS("detections"))


def a_photo(
    *faces: DetectedFace, sequence: int = 1000, person: int = 1, **changes: Any
) -> Record[FrameDetected]:
    """A record of an enrolment photo; every sequence number is a sample of its own."""
    enrollment: Enrollment = changes.pop("enrollment", None) or an_enrollment(
        person_id=per(person), face_id=derived_id("face", sequence)
    )
    request = a_request(request_id=derived_id("req", sequence), enrollment=enrollment)
    header = a_frame_header(sequence_number=sequence, purpose=Purpose.ENROLLMENT)
    return a_frame(*faces, frame=header, request=request, **changes)


@dataclass
class Bench:
    """The stages over a registry, with what they need."""

    registry: Registry
    gallery: Gallery
    clock: Clock
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    policy: MatchPolicy = POLICY

    def __post_init__(self) -> None:
        around = Surroundings(self.clock, TOPICS, "recognition-0", self.embedder.info)
        self.stage = RecognitionStage(
            embedder=self.embedder,
            gallery=self.gallery,
            enroller=Enroller(self.registry, EnrollmentPolicy(), self.policy, around),
            fusion=TrackFusion(FusionPolicy(frames=3)),
            policy=self.policy,
            around=around,
        )
        self.commands = CommandStage(self.registry, self.gallery, around)

    def reembedder(self, model_id: str) -> Reembedder:
        """One that embeds with another model."""
        embedder = FakeEmbedder(model_id)
        around = Surroundings(self.clock, TOPICS, "recognition-0", embedder.info)
        return Reembedder(self.registry, embedder, around)

    def outputs(self, *records: Record[FrameDetected]) -> list[Output]:
        """What processing these frames in one batch publishes."""
        return emitted(self.stage.process(records))

    def enroll(self, person: int, *values: float, sequence: int = 1000) -> Output:
        """Enrol a person's face; the answer."""
        salt = str(sequence).encode()
        photo = a_photo(a_face_of(*values, salt=salt), sequence=sequence, person=person)
        return self.outputs(photo)[1]


def in_memory() -> Bench:
    clock = ManualClock(NOON)
    registry = InMemoryRegistry(clock)
    return Bench(registry, InMemoryGallery(registry, MODEL_ID, clock), clock)


def emitted(outcomes: Sequence[object]) -> list[Output]:
    assert all(isinstance(outcome, Emit) for outcome in outcomes)
    return [
        output for outcome in outcomes if isinstance(outcome, Emit) for output in outcome.outputs
    ]
