"""A sampled picture as the record that the other stages read."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mesh.events import (
    Camera,
    DetectionConfig,
    FrameCaptured,
    FrameHeader,
    FrameRef,
    Lane,
    Overload,
    Priority,
    Purpose,
    StageTime,
    TimestampSource,
)
from mesh.identity import frame_key
from mesh.source.timestamps import camera_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A decoded frame, before anybody looked at its pixels."""

    received: datetime
    """When it was decoded, UTC."""
    monotonic: float
    """The same moment on the monotonic clock, seconds."""
    media_time: float
    """Its place in the stream, seconds."""
    claimed: datetime | None
    """When the camera says it was taken, UTC."""
    source: TimestampSource
    """How the camera said it."""
    width: int
    height: int
    size: int
    """Bytes received since the frame before."""
    skew: float | None = None
    """Seconds by which the camera's clock is ahead of ours, as it tells."""
    cpu: float | None = None
    """Processor seconds that the stream has cost since the frame before."""


LARGEST_BYTES = 8 * 1024 * 1024
"""A larger picture is made coarser, wherever it could lie."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is published of one moment, as JPEG."""

    image: bytes | None
    small: bytes | None = None
    """Of the camera's second stream."""
    reference: FrameRef | None = None
    """Where the image lies, if it is too large for a record."""


def lane_of(detection: DetectionConfig) -> Lane:
    """The lane of a camera's frames: evidence where nothing may be shed, else by its priority."""
    if detection.overload is Overload.ALL:
        return Lane.EVIDENCE
    return Lane.URGENT if detection.priority is Priority.URGENT else Lane.LIVE


def frame_captured(
    camera: Camera,
    arrival: Arrival,
    pictures: Pictures,
    *,
    epoch: int,
    lane: Lane,
    sequence: int,
    instance_id: str,
    ended_at: datetime,
) -> FrameCaptured:
    """The record of one sampled frame; what nobody may shed has no deadline."""
    taken = camera_time(arrival.received, arrival.claimed, arrival.source)
    max_age = timedelta(milliseconds=camera.detection.max_age_ms)
    header = FrameHeader(
        frame_key=frame_key(camera.camera_id, epoch, sequence),
        camera_id=camera.camera_id,
        camera_name=camera.name,
        epoch=epoch,
        sequence_number=sequence,
        frame_id=f"frame_{sequence}",
        lane=lane,
        priority=camera.detection.priority,
        purpose=Purpose.SURVEILLANCE,
        stream_type=camera.stream.stream_type,
        camera_timestamp=taken.moment,
        timestamp_source=taken.source,
        received_timestamp=arrival.received,
        deadline=None if lane is Lane.EVIDENCE else arrival.received + max_age,
        width=arrival.width,
        height=arrival.height,
    )
    return FrameCaptured(
        frame=header,
        image=pictures.image,
        image_ref=pictures.reference,
        image_format="jpeg",
        detection_image=pictures.small,
        location=camera.location,
        detection=camera.detection,
        stages=(
            StageTime(
                stage="camera",
                instance_id=instance_id,
                started_at=arrival.received,
                ended_at=ended_at,
            ),
        ),
    )
