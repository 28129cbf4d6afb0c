"""The catalogue of topics: names, keys, records and how long they are kept (design, section 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from mesh import events

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic of the mesh, without its prefix."""

    name: str
    key: str
    records: tuple[type, ...]
    """Event classes that its value schema is a union of; empty for opaque bytes."""
    retention: timedelta | None
    """How long records are kept; `None` for compacted topics."""
    public: bool = False
    """Public topics are checked FULL_TRANSITIVE, the others BACKWARD_TRANSITIVE."""
    pixels: bool = False
    """Carries faces or frames: its retention times must be kept to the letter."""


def _topic(
    name: str,
    key: str,
    *records: type,
    keep: timedelta | None = None,
    public: bool = False,
    pixels: bool = False,
) -> TopicSpec:
    return TopicSpec(
        name=name, key=key, records=records, retention=keep, public=public, pixels=pixels
    )


CATALOGUE: Sequence[TopicSpec] = (
    _topic("cameras", "camera_id", events.Camera),
    _topic("camera-status", "camera_id", events.CameraStatus),
    _topic("camera.commands", "request_id", events.DiscoverCameras, keep=10 * MINUTE),
    _topic("frames.urgent", "camera_id", events.FrameCaptured, keep=10 * MINUTE, pixels=True),
    _topic("frames.request", "camera_id", events.FrameCaptured, keep=10 * MINUTE, pixels=True),
    _topic("frames.live", "camera_id", events.FrameCaptured, keep=10 * MINUTE, pixels=True),
    _topic("frames.evidence", "camera_id", events.FrameCaptured, keep=3 * DAY, pixels=True),
    _topic("detections", "camera_id", events.FrameDetected, keep=HOUR, pixels=True),
    _topic("recognitions", "camera_id", events.FrameRecognized, keep=HOUR, pixels=True),
    _topic("results", "camera_id", events.FrameResult, keep=7 * DAY, public=True),
    _topic("sightings", "camera_id", events.Sighting, keep=30 * DAY, public=True),
    _topic("sightings-by-person", "person_id", events.Sighting, keep=DAY),
    _topic("alerts", "camera_id", events.Alert, keep=30 * DAY, public=True),
    _topic("attendance", "person_id", events.AttendanceMark, keep=30 * DAY, public=True),
    _topic("snapshots", "camera_id", events.Snapshot, keep=DAY, pixels=True),
    _topic("answers", "request_id", events.Answer, keep=10 * MINUTE, pixels=True),
    _topic(
        "gallery.commands",
        "person_id",
        events.UpdatePerson,
        events.ErasePerson,
        events.DeleteFace,
        events.SearchFaces,
        keep=7 * DAY,
    ),
    _topic("persons", "person_id", events.Person, public=True),
    _topic("erasures", "person_id", events.ErasureRequested, events.ErasureReport, keep=90 * DAY),
    _topic("model.commands", "model_id", events.SwitchModel),
    _topic("model-status", "model_id", events.ModelStatus),
    _topic("ledger", "camera_id", events.LedgerEntry, keep=7 * DAY),
    _topic("events", "camera_id", events.LogEvent, keep=DAY),
    _topic("audit", "subject", events.AuditEntry, keep=30 * DAY),
    _topic("dead-letters", "original key", keep=3 * DAY, pixels=True),
)

BY_NAME = MappingProxyType({spec.name: spec for spec in CATALOGUE})

LANE_TOPICS = MappingProxyType(
    {lane: f"frames.{lane}" for lane in events.Lane},
)
"""The topic of each lane, without prefix."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Full topic names under one prefix."""

    prefix: str = "sightline."

    def __call__(self, name: str) -> str:
        """The full name of a catalogued topic.

        Raises:
            KeyError: the catalogue has no such topic.
        """
        return self.prefix + BY_NAME[name].name

    def lane(self, lane: events.Lane) -> str:
        """The full name of the frame topic of a lane."""
        return self(LANE_TOPICS[lane])

    def spec(self, topic: str) -> TopicSpec:
        """The catalogue entry of a full topic name.

        Raises:
            KeyError: the name lacks the prefix or is not catalogued.
        """
        if not topic.startswith(self.prefix):
            raise KeyError(topic)
        return BY_NAME[topic.removeprefix(self.prefix)]
