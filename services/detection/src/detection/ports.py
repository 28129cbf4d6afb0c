"""What detection needs from the world."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from detection.domain.chip import ChipWindow
from detection.domain.face import GreyFace, Picture, RawFace
from mesh.events import BoundingBox, FrameHeader, FrameRef


class EngineError(Exception):
    """An engine could not work on a picture."""


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


class FaceDetector(Protocol):
    """Finds faces."""

    @property
    def info(self) -> ModelInfo:
        """The model that runs."""

    def detect(self, images: Sequence[Picture]) -> list[list[RawFace]]:
        """The faces of each picture, in order; blocks while the engine works.

        A picture's faces do not depend on the other pictures of the call. Boxes may reach beyond
        the picture.

        Raises:
            EngineError: the engine failed on at least one of the pictures.
        """

    def warm_up(self) -> None:
        """Run once on an empty picture, so that the first frame is not slow."""


class FaceTracker(Protocol):
    """Follows faces from frame to frame."""

    def follow(self, frame: FrameHeader, faces: Sequence[RawFace]) -> list[str | None]:
        """The short-term track of each face, in order; none where no track can be told.

        Frames of one camera and epoch must come in order; one that comes late gets no tracks, a
        repeated one gets the same again if it was the last.
        """


class ImageDecoder(Protocol):
    """Turns the bytes of a picture into pixels."""

    def decode(self, data: bytes) -> Picture:
        """The picture, turned upright if its metadata says so.

        Raises:
            UnreadableImageError: the bytes are no JPEG or PNG, damaged, or too large.
        """


class FrameStore(Protocol):
    """Where pictures lie that are too large for a record."""

    def load(self, reference: FrameRef) -> bytes:
        """The bytes behind a claim check.

        Raises:
            ImageUnavailableError: it is gone, or no store is configured.
        """


class FaceCutter(Protocol):
    """Cuts faces out of pictures."""

    def grey(self, image: Picture, box: BoundingBox) -> GreyFace:
        """The box scaled to 112 x 112 grey pixels; the box must lie in the picture."""

    def chip(self, image: Picture, window: ChipWindow, *, size: int, quality: int) -> bytes:
        """The window scaled to `size` pixels as JPEG 4:4:4 of `quality` (1 to 100).

        What lies outside the picture is padded with its edge.
        """


class InferenceMeter(Protocol):
    """Is told how the model does."""

    def worked(self, count: int, seconds: float) -> None:
        """The engine took `seconds` for `count` pictures."""

    def failed(self) -> None:
        """The engine failed on a picture."""
