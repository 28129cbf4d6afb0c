"""From the pixels of one picture to those of another one of the same scene."""

from dataclasses import dataclass, replace

from detection.domain.face import Image, RawFace
from detection.domain.thing import RawObject
from mesh.events import BoundingBox, Point


@dataclass(frozen=True, slots=True)
class Scale:
    """How many pixels of the other picture one pixel is; cameras squeeze their second stream."""

    x: float
    y: float

    @classmethod
    def between(cls, searched: Image, shown: Image) -> "Scale":
        """From the pixels of `searched` to those of `shown`."""
        height, width = searched.shape[:2]
        return cls(shown.shape[1] / width, shown.shape[0] / height)

    def face(self, face: RawFace) -> RawFace:
        """The face in the other picture."""
        points = tuple(Point(x=self.x * point.x, y=self.y * point.y) for point in face.landmarks)
        return replace(face, box=self.box(face.box), landmarks=points)

    def thing(self, thing: RawObject) -> RawObject:
        """The object in the other picture."""
        return replace(thing, box=self.box(thing.box))

    def box(self, box: BoundingBox) -> BoundingBox:
        """The box in the other picture."""
        return BoundingBox(
            x1=self.x * box.x1, y1=self.y * box.y1, x2=self.x * box.x2, y2=self.y * box.y2
        )
