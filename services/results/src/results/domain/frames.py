"""Pushed pictures as frames: a request is a frame, and the gateway is its source."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mesh.events import (
    Camera,
    DetectionConfig,
    FrameCaptured,
    FrameHeader,
    Lane,
    LedgerEntry,
    Location,
    Priority,
    Purpose,
    Request,
    StageTime,
    StreamType,
    TimestampSource,
)
from mesh.identity import derived_id, frame_key
from mesh.sequences import as_ranges
from results.domain.picture import PictureHeader

STAGE = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a pushed picture belongs: a camera of the registry, or the gateway itself."""

    camera_id: str
    camera_name: str
    detection: DetectionConfig
    location: Location | None = None
    stream_type: StreamType = StreamType.SOCKET

    @classmethod
    def of_camera(cls, camera: Camera) -> "Origin":
        """The camera that the client names."""
        return cls(
            camera_id=camera.camera_id,
            camera_name=camera.name,
            detection=camera.detection,
            location=camera.location,
            stream_type=camera.stream.stream_type,
        )

    @classmethod
    def of_gateway(cls, instance_id: str) -> "Origin":
        """The reserved camera of this process, for pictures that belong to no camera."""
        return cls(
            camera_id=derived_id("cam", "gateway", instance_id),
            camera_name=f"gateway {instance_id}",
            detection=DetectionConfig(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that was checked, as it will travel."""

    data: bytes
    header: PictureHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a client pushed, and why."""

    origin: Origin
    picture: Picture
    purpose: Purpose
    request: Request
    priority: Priority
    received_at: datetime
    frame_id: str | None = None
    taken_at: datetime | None = None
    """When the client says that the picture was taken."""
    stream_type: StreamType | None = None
    """What the client says of its source."""

    @property
    def deadline(self) -> datetime:
        """When nobody waits for it any more."""
        return self.received_at + timedelta(milliseconds=self.request.timeout_ms)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A number of a source: epoch and sequence."""

    camera_id: str
    epoch: int
    sequence_number: int

    @property
    def frame_key(self) -> str:
        """The identity of the frame with this number."""
        return frame_key(self.camera_id, self.epoch, self.sequence_number)


def lane_of(priority: Priority) -> Lane:
    """Urgent pictures have a lane of their own; the others share one by weight."""
    return Lane.URGENT if priority is Priority.URGENT else Lane.REQUEST


def frame_captured(
    push: Push, number: Numbered, *, instance_id: str, now: datetime
) -> FrameCaptured:
    """The record that carries a pushed picture."""
    origin, picture = push.origin, push.picture
    header = FrameHeader(
        frame_key=number.frame_key,
        camera_id=origin.camera_id,
        camera_name=origin.camera_name,
        epoch=number.epoch,
        sequence_number=number.sequence_number,
        frame_id=push.frame_id,
        lane=lane_of(push.priority),
        priority=push.priority,
        purpose=push.purpose,
        stream_type=push.stream_type or origin.stream_type,
        camera_timestamp=push.taken_at or push.received_at,
        timestamp_source=TimestampSource.CLIENT if push.taken_at else TimestampSource.ARRIVAL,
        received_timestamp=push.received_at,
        deadline=push.deadline,
        width=picture.header.width,
        height=picture.header.height,
    )
    stage = StageTime(
        stage=STAGE, instance_id=instance_id, started_at=push.received_at, ended_at=now
    )
    return FrameCaptured(
        frame=header,
        image=picture.data,
        image_format=picture.header.format,
        location=origin.location,
        detection=origin.detection,
        request=push.request,
        stages=(stage,),
    )


@dataclass(slots=True)
class _Source:
    """One camera's numbers in this process."""

    epoch: int
    lane: Lane
    next: int = 0
    captured: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)


class SourceNumbers:
    """Numbers the frames that this process pushes, and reports them for the frame ledger.

    A gateway process is a source of its own: it has an epoch per camera and lane. Not safe for
    threads by itself.
    """

    def __init__(self) -> None:
        self._sources: dict[tuple[str, Lane], _Source] = {}

    def take(self, camera_id: str, lane: Lane, new_epoch: int) -> Numbered:
        """The next number of the camera; `new_epoch` is used for its first frame."""
        key = (camera_id, lane)
        source = self._sources.setdefault(key, _Source(epoch=new_epoch, lane=lane))
        number = Numbered(camera_id, source.epoch, source.next)
        source.next += 1
        return number

    def settle(self, number: Numbered, *, lane: Lane, acknowledged: bool) -> None:
        """Note whether the broker has the frame."""
        source = self._sources[number.camera_id, lane]
        numbers = source.captured if acknowledged else source.lost
        numbers.add(number.sequence_number)

    def report(
        self, *, instance_id: str, now: datetime, closing: bool = False
    ) -> list[LedgerEntry]:
        """What happened since the last report; `unreported` takes back what was not told."""
        entries: list[LedgerEntry] = []
        for (camera_id, lane), source in self._sources.items():
            booked = (("captured", None, source.captured), ("lost", "unacknowledged", source.lost))
            for outcome, reason, numbers in booked:
                if not numbers and not (closing and outcome == "captured"):
                    continue
                entries.append(
                    LedgerEntry(
                        camera_id=camera_id,
                        epoch=source.epoch,
                        lane=lane,
                        outcome=outcome,
                        reason=reason,
                        ranges=as_ranges(numbers),
                        closes_epoch=closing and outcome == "captured",
                        service="results",
                        instance_id=instance_id,
                        reported_at=now,
                    )
                )
            source.captured, source.lost = set(), set()
        return entries

    def unreported(self, entries: Iterable[LedgerEntry]) -> None:
        """The broker did not take these entries; they will be part of the next report."""
        for entry in entries:
            source = self._sources[entry.camera_id, entry.lane]
            numbers = source.captured if entry.outcome == "captured" else source.lost
            for each in entry.ranges:
                numbers.update(range(each.first, each.last + 1))
