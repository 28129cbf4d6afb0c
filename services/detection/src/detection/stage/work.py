"""What the stage works with, and a frame on its way through it."""

from dataclasses import dataclass, field

from detection.domain.face import Image, RawFace
from detection.domain.quality import QualityPolicy
from detection.domain.report import PROCESSED, Ending
from detection.domain.scale import Scale
from detection.domain.thing import RawObject
from detection.ports import (
    FaceCutter,
    FaceDetector,
    FrameStore,
    FurtherModels,
    ImageDecoder,
    InferenceMeter,
    Tracker,
)
from mesh.clock import Clock
from mesh.events import FaceAttributes, FrameCaptured, ModelUse, Pose


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPolicy:
    """What the operator decides about detection, beyond what travels with each frame."""

    quality: QualityPolicy = field(default_factory=QualityPolicy)
    """Floor below which a face is reported as unfit for recognition."""
    chip_budget: int = 512 * 1024
    """Bytes that the chips of one frame should take together: above, they are cut more coarsely."""
    chip_limit: int = 1024 * 1024
    """Bytes that they may take at their coarsest; a record holds them with all embeddings."""
    max_pixels: int = 64_000_000
    """Pixels that are decoded at once, 3 bytes each."""
    max_objects: int = 200
    """Objects of one frame that are reported, the most confident ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The adapters that the stage works with."""

    detector: FaceDetector
    tracker: Tracker
    decoder: ImageDecoder
    cutter: FaceCutter
    frames: FrameStore
    meter: InferenceMeter
    clock: Clock
    further: FurtherModels = field(default_factory=FurtherModels)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceNotes:
    """What further models say of a face."""

    attributes: FaceAttributes | None = None
    pose: Pose | None = None
    """Better than what five landmarks tell."""


@dataclass(slots=True)
class FrameWork:
    """One frame on its way through a batch."""

    event: FrameCaptured
    tasks: frozenset[str] = frozenset()
    """What is looked for and can be."""
    undone: frozenset[str] = frozenset()
    """What a camera wants that no loaded model can do."""
    ending: Ending = PROCESSED
    image: Image | None = None
    """Decoded; none if the frame ended, or nothing is to be looked for."""
    small: Image | None = None
    """The same moment from the camera's second stream, which the engines look at instead."""
    faces: list[RawFace] = field(default_factory=list)
    """As the detector found them, then those to report."""
    notes: list[FaceNotes] = field(default_factory=list)
    """What further models say of the faces to report; empty, or one of each."""
    objects: list[RawObject] = field(default_factory=list)
    models: list[ModelUse] = field(default_factory=list)

    @property
    def searched(self) -> Image | None:
        """What the engines look at; none if there is no picture."""
        return self.image if self.small is None else self.small

    @property
    def scale(self) -> Scale | None:
        """From what the engines look at to the picture; none if it is the same."""
        if self.small is None or self.image is None:
            return None
        return Scale.between(self.small, self.image)

    def end(self, ending: Ending) -> None:
        """The frame ends here, and nothing that was found counts."""
        self.ending = ending
        self.image = self.small = None
        self.faces, self.notes, self.objects, self.models = [], [], [], []
