"""What clients ask of the stored results, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from mesh.events import FrameHeader, ModelUse, ResultDetection, StageTime
from results.domain.rendering import SnapshotLink

MAX_PAGE_SIZE = 100
MAX_PAGE = 10_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which part of a list."""

    page: int = 1
    """From 1."""
    page_size: int = 20
    """1 to 100."""

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.page_size


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list."""

    items: Sequence[T]
    has_more: bool

    @classmethod
    def cut(cls, rows: Sequence[T], paging: Paging) -> "Page[T]":
        """The page in rows of which one more than a page was asked for."""
        return cls(rows[: paging.page_size], len(rows) > paging.page_size)

    def render(self, name: str, items: Sequence[dict[str, Any]], paging: Paging) -> dict[str, Any]:
        """The answer to a list query."""
        return {
            "status": "success",
            name: list(items),
            "pagination": {
                "page": paging.page,
                "page_size": paging.page_size,
                "has_more": self.has_more,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionQuery:
    """Which stored detections; bounds are inclusive, newest first."""

    camera_id: str | None = None
    person_id: str | None = None
    start: datetime | None = None
    """Received at this moment or later."""
    end: datetime | None = None
    """Received at this moment or earlier."""
    min_confidence: float | None = None
    detection_type: str | None = None
    """face, person, vehicle or object."""
    paging: Paging = Paging()


@dataclass(frozen=True, slots=True, kw_only=True)
class SightingQuery:
    """Which sightings: those that overlap the time; newest first."""

    camera_id: str | None = None
    person_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    paging: Paging = Paging()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonQuery:
    """Which persons, by name."""

    search: str | None = None
    """Part of the name or of the employee's number, in any case."""
    status: str | None = None
    collection: str | None = None
    paging: Paging = Paging()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerQuery:
    """Whose frames to account for, reported from `since` until before `until`."""

    since: datetime
    until: datetime
    camera_id: str | None = None
    """All cameras unless set."""
    paging: Paging = Paging()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDetection:
    """A detection with what is known of its frame."""

    detection: ResultDetection
    frame: FrameHeader
    models: Sequence[ModelUse]
    stages: Sequence[StageTime]
    created_at: datetime
    snapshot: SnapshotLink | None = None
    """`None` until the picture is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFrame:
    """The first frame that came with an identifier, and what was answered to it."""

    request_id: str
    response: dict[str, Any] | None = None
    """`None` while it is still being processed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """Something that happened, for people."""

    event_id: str
    event_type: str
    occurred_at: datetime
    severity: str
    service: str
    camera_id: str | None
    camera_name: str | None
    message: str
    attributes: dict[str, str]
