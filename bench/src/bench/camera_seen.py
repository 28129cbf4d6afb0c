"""What a consumer sees of cameras, and what became of their frames."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.camera_books import Books
from mesh.events import CameraStatus, FrameCaptured, LedgerEntry, StreamState, TimestampSource
from mesh.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What became of the frames of all streams."""

    decoded: int
    skipped: int
    """Of these, those that sampling left out."""
    published: int
    dropped: Counter[str]
    """By reason; those left out to catch up were not even decoded."""

    def since(self, before: "Frames") -> "Frames":
        """What became of those between two moments."""
        return Frames(
            decoded=self.decoded - before.decoded,
            skipped=self.skipped - before.skipped,
            published=self.published - before.published,
            dropped=self.dropped - before.dropped,
        )


class Seen:
    """What a consumer sees of cameras; filled by one thread, read by others."""

    def __init__(self) -> None:
        self.books = Books()
        self.statuses: dict[str, CameraStatus] = {}
        """The newest of each camera."""
        self.published = 0
        """Frames that arrived."""
        self.camera_ms: list[float] = []
        """Ages of frames that arrived, by the camera's clock, milliseconds."""
        self.service_ms: list[float] = []
        """The same, since the service had decoded them."""

    def forget_ages(self) -> None:
        """Begin to note ages anew."""
        self.camera_ms.clear()
        self.service_ms.clear()

    def take(self, record: Record[Any]) -> None:
        """A record arrived."""
        event = record.event
        if isinstance(event, FrameCaptured):
            self.published += 1
            self._age(event, datetime.now(UTC))
            self.books.frame(event)
        elif isinstance(event, LedgerEntry):
            self.books.entry(event)
        elif isinstance(event, CameraStatus):
            self.statuses[event.camera_id] = event

    def states(self) -> list[StreamState]:
        """Of every camera that was heard of."""
        return [status.state for status in list(self.statuses.values())]

    def _age(self, event: FrameCaptured, now: datetime) -> None:
        header = event.frame
        self.service_ms.append(1000 * (now - header.received_timestamp).total_seconds())
        if header.timestamp_source is not TimestampSource.ARRIVAL:
            self.camera_ms.append(1000 * (now - header.camera_timestamp).total_seconds())
