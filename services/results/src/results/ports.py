"""What the roles of this service need from the outside, as Protocols."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any, Protocol

from mesh.events import AuditEntry, CameraStatus, Person, Sighting
from mesh.record import TopicPartition
from mesh.stage import Output
from results.domain.balance import CameraBalance
from results.domain.camera_report import SessionCounts
from results.domain.cameras import CameraEntry
from results.domain.jobs import Job
from results.domain.queries import (
    DetectionQuery,
    FirstFrame,
    LedgerQuery,
    Page,
    Paging,
    PersonQuery,
    SightingQuery,
    StoredDetection,
    StoredEvent,
)
from results.domain.statistics import CameraFigures


class CameraRegistry(Protocol):
    """The cameras of the installation; every change also leaves through the outbox.

    All methods block. They raise `TransientError` when the database cannot be reached.
    """

    def camera(self, camera_id: str) -> CameraEntry | None:
        """One camera, unless it was deleted."""

    def cameras(self, paging: Paging) -> Page[CameraEntry]:
        """Cameras by name."""

    def add(self, entry: CameraEntry) -> bool:
        """Register a camera; false if its identifier was ever used."""

    def change(self, entry: CameraEntry) -> bool:
        """Replace the camera whose revision is one less; false if somebody else was faster."""

    def delete(self, camera_id: str, now: datetime) -> bool:
        """Forget a camera; false if there is none."""


class PersonDirectory(Protocol):
    """Persons as the gallery announced them; read only. All methods block."""

    def person(self, person_id: str) -> Person | None:
        """One person."""

    def named(self, person_ids: Collection[str]) -> Mapping[str, Person]:
        """Those of the persons that are known."""

    def persons(self, query: PersonQuery) -> Page[Person]:
        """Persons by name."""


class ResultQueries(Protocol):
    """What the writer stored. All methods block."""

    def detection(self, detection_id: str) -> StoredDetection | None:
        """One detection."""

    def detections(self, query: DetectionQuery) -> Page[StoredDetection]:
        """Detections, newest first."""

    def sightings(self, query: SightingQuery) -> Page[Sighting]:
        """Sightings, newest first."""

    def events(self, camera_id: str | None, paging: Paging) -> Page[StoredEvent]:
        """What happened, newest first."""

    def ping(self) -> None:
        """Return if the database answers."""


class LedgerQueries(Protocol):
    """What became of captured frames. All methods block."""

    def balances(self, query: LedgerQuery) -> Page[CameraBalance]:
        """The balance of every camera that was heard of in a time, by identifier."""


class Statistics(Protocol):
    """Figures of frames. All methods block."""

    def figures(
        self, span: timedelta, since: datetime, camera_id: str | None
    ) -> Sequence[CameraFigures]:
        """Those of every camera, or of one, from the slots of this length; by identifier."""


class SessionFigures(Protocol):
    """What became of the frames of stream sessions. All methods block."""

    def counts(self, statuses: Sequence[CameraStatus]) -> Mapping[str, SessionCounts]:
        """The counts of these sessions by camera; of one that never had a picture none."""


class LogEnds(Protocol):
    """Where the partitions of some topics begin and end at the moment."""

    def read(self) -> Mapping[TopicPartition, tuple[int, int]]:
        """First offset, and the offset after the last, of every partition; blocks.

        Raises:
            TransientError: The broker did not answer.
        """


class FrameIdentifiers(Protocol):
    """Identifiers of pushed frames of the last seconds, shared by the gateways.

    All methods block.
    """

    def claim(
        self, camera_id: str, frame_id: str, *, request_id: str, until: datetime
    ) -> FirstFrame | None:
        """Claim an identifier until a moment; the first frame if somebody has it already."""

    def answered(
        self, request_id: str, camera_id: str, frame_id: str, body: Any, until: datetime
    ) -> None:
        """Keep what was answered to the first frame until a moment."""

    def release(self, request_id: str, camera_id: str, frame_id: str) -> None:
        """Give a claim back: the frame will have no result, the client may try again."""


class Jobs(Protocol):
    """Requests that are answered later, shared by gateways and writers. All methods block."""

    def open(self, job: Job) -> bool:
        """Write a job down, before its request is published; false if it is known.

        A job of the same request that failed on the server's side begins anew.
        """

    def started(self, job_id: str) -> None:
        """The broker has its request."""

    def drop(self, job_id: str) -> None:
        """Forget a job whose request the broker did not take; one that has ended stays."""

    def job(self, key: str, now: datetime) -> Job | None:
        """A job by its own identifier or its request's; one that is long overdue fails here."""


class AuditLog(Protocol):
    """Takes what was done to personal data."""

    def note(self, entry: AuditEntry) -> "Future[None]":
        """Keep an entry; never blocks.

        Done once it is durable; fails with `TransientError` if nothing takes it.
        """


class Publisher(Protocol):
    """Publishes events to the mesh."""

    def publish(self, outputs: Sequence[Output]) -> None:
        """Return once the broker has all of them; blocks.

        Raises:
            TransientError: It did not take them in time.
            RejectedRecordError: One is larger than the broker allows.
        """


class SnapshotReader(Protocol):
    """Reads stored face pictures."""

    def read(self, sha256: str) -> bytes:
        """The picture with this digest; blocks.

        Raises:
            KeyError: There is none.
            TransientError: The store cannot be reached.
        """


class PictureEditor(Protocol):
    """Changes pictures. All methods block for milliseconds."""

    def shrink(self, data: bytes, limit: int) -> bytes | None:
        """The same picture, same pixels, as a JPEG of at most `limit` bytes; `None` if it cannot.

        Raises:
            ValueError: The picture cannot be decoded.
        """

    def scale(self, data: bytes, width: int) -> bytes:
        """The picture as a JPEG of at most this width; never enlarged.

        Raises:
            ValueError: The picture cannot be decoded.
        """

    def crop(self, data: bytes, box: tuple[int, int, int, int]) -> bytes:
        """The part of the picture within x1, y1, x2, y2, as a JPEG.

        Raises:
            ValueError: The picture cannot be decoded.
        """
