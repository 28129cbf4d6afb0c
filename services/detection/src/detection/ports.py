"""What detection needs from the world."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from detection.domain.activity import Postures
from detection.domain.chip import ChipWindow
from detection.domain.face import EyeState, GreyFace, Image, RawFace
from detection.domain.face_mesh import FaceMesh
from detection.domain.picture import UnreadableImageError
from detection.domain.thing import RawObject
from detection.domain.wishes import AGES, EYES, FACES, LANDMARKS, LIVENESS, OBJECTS, POSE
from mesh.events import AgeGender, BoundingBox, FrameHeader, FrameRef, Liveness, Pose

Model_co = TypeVar("Model_co", covariant=True)
Reading_co = TypeVar("Reading_co", covariant=True)


class ImageUnavailableError(Exception):
    """The picture behind a claim check cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a loaded model."""

    model_id: str
    name: str
    version: str
    licence: str
    sha256: str
    pack: str
    device: str
    engine: str
    aliases: tuple[str, ...] = ()
    max_batch: int = 1
    path: str | None = None
    """Main file as it was loaded."""
    precision: str | None = None
    """f32, bf16 or f16, where the engine tells."""
    pictures_on: str | None = None
    """Device on which it wants its pictures decoded; none: it takes them from memory."""
    fallback_used: bool = False
    """Whether it stood in for the model that should have run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPolicy:
    """How a cloud is asked, by whoever consented to it."""

    region: str
    endpoint: str | None = None
    """Address of the API; the region's own if absent."""
    timeout: float
    """Seconds that an answer may take."""


class FaceDetector(Protocol):
    """Finds faces."""

    @property
    def info(self) -> ModelInfo:
        """The model that runs; with fallbacks the one that answered the last call."""

    def detect(
        self, images: Sequence[Image], *, long_side: int | None = None
    ) -> list[list[RawFace]]:
        """The faces of each picture, in order; blocks while the engine works.

        A picture's faces do not depend on the other pictures of the call. Boxes may reach beyond
        the picture.

        Args:
            images: any sizes.
            long_side: pictures are scaled down to this, pixels; none leaves it to the detector.

        Raises:
            inference.chain.ChainTimeoutError: no engine answered in time.
            inference.engine.EngineError: the engine failed on at least one of the pictures.
        """

    def warm_up(self) -> None:
        """Run once on an empty picture, so that the first frame is not slow."""


class ObjectDetector(Protocol):
    """Finds persons, vehicles and other objects."""

    @property
    def info(self) -> ModelInfo:
        """The model that runs."""

    def detect(self, images: Sequence[Image]) -> list[list[RawObject]]:
        """The objects of each picture, most confident first; as `FaceDetector.detect`.

        Raises:
            inference.engine.EngineError: the engine failed on at least one of the pictures.
        """

    def warm_up(self) -> None:
        """Run once on an empty picture, so that the first frame is not slow."""


class Boxed(Protocol):
    """Something found in a picture."""

    @property
    def box(self) -> BoundingBox:
        """Where it is."""

    @property
    def confidence(self) -> float:
        """Of the detector, 0 to 1."""


class Tracker(Protocol):
    """Follows faces or persons from frame to frame."""

    def follow(self, frame: FrameHeader, found: Sequence[Boxed]) -> list[str | None]:
        """The short-term track of each face, in order; none where no track can be told.

        Frames of one camera and epoch must come in order; one that comes late gets no tracks, a
        repeated one gets the same again if it was the last.
        """


Decoded: TypeAlias = Image | UnreadableImageError
"""A picture, or why its bytes are none: no JPEG or PNG, damaged, or too large."""


class ImageDecoder(Protocol):
    """Turns the bytes of pictures into pixels."""

    def decode(self, pictures: Sequence[bytes]) -> Sequence[Decoded]:
        """The pictures of a batch in order, turned upright if their metadata says so.

        One that cannot be read takes nothing from the others.
        """


class FrameStore(Protocol):
    """Where pictures lie that are too large for a record."""

    def load(self, reference: FrameRef) -> bytes:
        """The bytes behind a claim check.

        Raises:
            ImageUnavailableError: it is gone, or is not what was stored.
            TransientError: the store is away.
        """


@dataclass(frozen=True, slots=True)
class FaceView:
    """A face in its picture."""

    image: Image
    face: RawFace


@dataclass(frozen=True, slots=True)
class ChipCut:
    """What a chip is to show."""

    image: Image
    window: ChipWindow
    size: int
    """Of the chip, pixels; not larger than the window."""


class FaceCutter(Protocol):
    """Cuts faces out of pictures."""

    def grey(self, faces: Sequence[FaceView]) -> Sequence[GreyFace]:
        """The box of each face at 112 x 112 grey pixels; boxes must lie in their pictures."""

    def chips(self, cuts: Sequence[ChipCut], *, quality: int) -> Sequence[bytes]:
        """Each window as JPEG 4:4:4 of `quality` (1 to 100).

        What lies outside the picture is padded with its edge.
        """


class InferenceMeter(Protocol):
    """Is told how the model does."""

    def worked(self, count: int, seconds: float) -> None:
        """The engine took `seconds` for `count` pictures."""

    def failed(self) -> None:
        """The engine failed on a picture."""


class ChipMeter(Protocol):
    """Is told of faces that nobody will recognise."""

    def left_out(self, count: int) -> None:
        """So many faces of a frame got no chip, because all together take too many bytes."""


@dataclass(frozen=True, slots=True)
class Metered(Generic[Model_co]):
    """A loaded model, and who is told how it does."""

    model: Model_co
    meter: InferenceMeter


class FaceModel(Protocol[Reading_co]):
    """Says one thing of faces: whether they live, how the head is turned, how old they look."""

    @property
    def info(self) -> ModelInfo:
        """The model that runs."""

    def read(self, faces: Sequence[FaceView]) -> Sequence[Reading_co]:
        """What it says of each face, in order; blocks while the engine works.

        Raises:
            inference.engine.EngineError: the engine failed on at least one of the faces.
        """

    def warm_up(self) -> None:
        """Run once on an empty face, so that the first frame is not slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherModels:
    """Models beyond face detection; what is absent is not loaded."""

    objects: Metered[ObjectDetector] | None = None
    liveness: Metered[FaceModel[Liveness]] | None = None
    meshes: Metered[FaceModel[FaceMesh]] | None = None
    eyes: Metered[FaceModel[EyeState]] | None = None
    poses: Metered[FaceModel[Pose]] | None = None
    ages: Metered[FaceModel[AgeGender]] | None = None
    persons: Tracker | None = None
    """Follows persons, apart from faces; none: nobody is followed, and no fall told."""
    postures: Postures = field(default_factory=Postures)

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks of the loaded models, that of the face detector among them."""
        loaded = {
            OBJECTS: self.objects,
            LIVENESS: self.liveness,
            LANDMARKS: self.meshes,
            EYES: self.eyes,
            POSE: self.poses,
            AGES: self.ages,
        }
        return frozenset({FACES, *(task for task, model in loaded.items() if model)})
