"""Bodies of the camera registry, specification 3.2: where a camera hangs, how it is processed."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mesh.events import DetectionConfig, Location
from results.adapters.http_fields import TASKS, Body, CameraId, Name, Share, Task
from results.adapters.http_stream_models import Stream, Text


class Coordinates(Body):
    """A place on earth, WGS 84."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class LocationBody(Body):
    """Where a camera hangs."""

    site: Text | None = None
    floor: Annotated[int, Field(ge=-100, le=1000)] | None = None
    zone: Text | None = None
    coordinates: Coordinates | None = None

    def event(self) -> Location:
        """As it travels."""
        at = self.coordinates
        return Location(
            site=self.site,
            floor=self.floor,
            zone=self.zone,
            latitude=at.latitude if at else None,
            longitude=at.longitude if at else None,
        )


class DetectionConfigBody(Body):
    """How a camera's pictures are processed; what is left out keeps its value."""

    enabled: bool = True
    fps_limit: Annotated[float, Field(ge=0.1, le=30)] = 5.0
    min_face_size: Annotated[int, Field(ge=16, le=1000)] = 40
    confidence_threshold: Share = 0.65
    max_faces_per_frame: Annotated[int, Field(ge=1, le=200)] = 10
    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=len(TASKS))] = ("face",)
    overload: Literal["latest", "all"] = "latest"
    priority: Literal["urgent", "high", "normal", "low"] = "normal"
    max_age_ms: Annotated[int, Field(ge=200, le=60_000)] = 2000
    collection: Text | None = None
    long_side: (
        Annotated[
            int,
            Field(
                ge=320,
                le=1920,
                description="Pictures are scaled down to this for detection, pixels; null leaves it"
                " to the service, 1280 finds the faces of far crowds.",
            ),
        ]
        | None
    ) = None
    motion_threshold: (
        Annotated[
            float,
            Field(
                ge=0.0005,
                le=0.5,
                description="Frames that differ from the last one sent in less than this share of"
                " the picture are shed; null sends all.",
            ),
        ]
        | None
    ) = None

    def changes(self) -> dict[str, Any]:
        """The fields that the client named."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class CameraBody(Body):
    """A camera to register; `camera_id` is assigned unless the client brings its own."""

    camera_id: CameraId | None = None
    name: Name
    location: LocationBody | None = None
    node: Text | None = None
    stream_config: Stream
    detection_config: DetectionConfigBody = DetectionConfigBody()


class CameraPatch(Body):
    """Changes of a camera; what is left out stays. `stream_config` is replaced as a whole."""

    name: Name = ""
    location: LocationBody | None = None
    node: Text | None = None
    stream_config: Stream | None = None
    detection_config: DetectionConfigBody = DetectionConfigBody()


def detection_event(changes: dict[str, Any], before: DetectionConfig) -> DetectionConfig:
    """A camera's processing with the changes applied."""
    plain = {name: getattr(before, name) for name in DetectionConfig.__dataclass_fields__}
    merged = plain | changes
    return DetectionConfig(
        **{
            **merged,
            "tasks": tuple(dict.fromkeys(merged["tasks"])),
            "overload": type(before.overload)(merged["overload"]),
            "priority": type(before.priority)(merged["priority"]),
        }
    )
