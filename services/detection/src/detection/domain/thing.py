"""An object as a detector reports it."""

from dataclasses import dataclass

from mesh.events import BoundingBox


@dataclass(frozen=True, slots=True, kw_only=True)
class RawObject:
    """Box, confidence and class of one object, in pixels of the picture."""

    box: BoundingBox
    confidence: float
    """0 to 1."""
    class_name: str
    """Of `coco.CLASSES`."""
