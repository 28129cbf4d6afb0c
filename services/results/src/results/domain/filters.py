"""What a client of the live feed wants to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mesh.events import Sighting

EVERY_CAMERA = "*"
EventType = Literal["detection_event", "sighting_event", "camera_event"]
DETECTIONS: EventType = "detection_event"
SIGHTINGS: EventType = "sighting_event"
CAMERAS: EventType = "camera_event"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events of a camera a client wants, and which of the detections in them."""

    events: frozenset[EventType] | None = None
    """Only events of these types."""
    min_confidence: float | None = None
    """Detections below this are left out, 0 to 1."""
    person_ids: frozenset[str] | None = None
    """Only these persons."""

    def __bool__(self) -> bool:
        """Whether anything is filtered at all."""
        return self.events is not None or self.sifts

    @property
    def sifts(self) -> bool:
        """Whether single detections may be left out of an event."""
        return self.min_confidence is not None or self.person_ids is not None

    def render(self) -> dict[str, Any]:
        """The filters as they were understood."""
        people = sorted(self.person_ids) if self.person_ids is not None else None
        return {"min_confidence": self.min_confidence, "person_ids": people}

    def wants(self, event_type: EventType) -> bool:
        """Whether events of a type are wanted."""
        return self.events is None or event_type in self.events

    def passes(self, detection: Mapping[str, Any]) -> bool:
        """Whether a rendered detection is wanted."""
        if self.min_confidence is not None and detection["confidence"] < self.min_confidence:
            return False
        if self.person_ids is None:
            return True
        person = detection["person"]
        return person is not None and person["person_id"] in self.person_ids

    def passes_sighting(self, sighting: Sighting) -> bool:
        """Whether a sighting is wanted."""
        return self.person_ids is None or sighting.person_id in self.person_ids


NO_FILTERS = Filters()
"""What nearly every client has: one object, so that a thousand of them are told apart at once."""


def filtered(event: Mapping[str, Any], filters: Filters) -> dict[str, Any] | None:
    """A detection event with the wanted detections only; `None` if none is left."""
    if not filters.sifts:
        return dict(event)
    kept = [item for item in event["data"]["detections"] if filters.passes(item)]
    if not kept:
        return None
    return {**event, "data": {**event["data"], "detections": kept}}
