"""The gateway's ports in memory: the same contracts as on PostgreSQL and Kafka, for tests."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mesh.clock import Clock
from mesh.events import Answer, AuditEntry, CameraStatus, Person, Sighting
from mesh.stage import Output
from results.adapters.audit_trail import done
from results.domain.balance import CameraBalance
from results.domain.camera_report import SessionCounts
from results.domain.cameras import CameraEntry
from results.domain.jobs import FINISHED, LIMIT, Job, JobState, ending_of, overdue
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
    T,
)
from results.domain.statistics import CameraFigures


class InMemoryCameras:
    """A camera registry; `announced` is what the outbox would send."""

    def __init__(self) -> None:
        self.announced: list[tuple[str, CameraEntry | None]] = []
        self._entries: dict[str, CameraEntry | None] = {}

    def camera(self, camera_id: str) -> CameraEntry | None:
        """One camera, unless it was deleted."""
        return self._entries.get(camera_id)

    def cameras(self, paging: Paging) -> Page[CameraEntry]:
        """Cameras by name."""
        known = [entry for entry in self._entries.values() if entry is not None]
        known.sort(key=lambda entry: (entry.camera.name, entry.camera.camera_id))
        return _page(known, paging)

    def add(self, entry: CameraEntry) -> bool:
        """Register a camera; false if its identifier was ever used."""
        if entry.camera.camera_id in self._entries:
            return False
        self._put(entry.camera.camera_id, entry)
        return True

    def change(self, entry: CameraEntry) -> bool:
        """Replace the camera whose revision is one less; false if somebody else was faster."""
        before = self._entries.get(entry.camera.camera_id)
        if before is None or before.camera.revision != entry.camera.revision - 1:
            return False
        self._put(entry.camera.camera_id, entry)
        return True

    def delete(self, camera_id: str, now: datetime) -> bool:
        """Forget a camera; false if there is none."""
        del now
        if self._entries.get(camera_id) is None:
            return False
        self._put(camera_id, None)
        return True

    def _put(self, camera_id: str, entry: CameraEntry | None) -> None:
        self._entries[camera_id] = entry
        self.announced.append((camera_id, entry))


class InMemoryPersons:
    """A person directory with the persons that it was given."""

    def __init__(self, persons: Iterable[Person] = ()) -> None:
        self.known = {person.person_id: person for person in persons}

    def person(self, person_id: str) -> Person | None:
        """One person."""
        return self.known.get(person_id)

    def named(self, person_ids: Collection[str]) -> Mapping[str, Person]:
        """Those of the persons that are known."""
        return {key: self.known[key] for key in person_ids if key in self.known}

    def persons(self, query: PersonQuery) -> Page[Person]:
        """Persons by name."""
        found = [person for person in self.known.values() if _asked(person, query)]
        found.sort(key=lambda person: (person.name, person.person_id))
        return _page(found, query.paging)


@dataclass(slots=True)
class InMemoryResults:
    """What a writer would have stored."""

    stored: list[StoredDetection] = field(default_factory=list)
    seen: list[Sighting] = field(default_factory=list)
    happened: list[StoredEvent] = field(default_factory=list)
    failure: Exception | None = None
    """What every query raises."""

    def detection(self, detection_id: str) -> StoredDetection | None:
        """One detection."""
        self.ping()
        matching = (item for item in self.stored if item.detection.detection_id == detection_id)
        return next(matching, None)

    def detections(self, query: DetectionQuery) -> Page[StoredDetection]:
        """Detections, newest first."""
        self.ping()
        found = [item for item in self.stored if _matches(item, query)]
        found.sort(key=lambda item: item.detection.detection_id)
        found.sort(key=lambda item: item.frame.received_timestamp, reverse=True)
        return _page(found, query.paging)

    def sightings(self, query: SightingQuery) -> Page[Sighting]:
        """Sightings, newest first."""
        found = [
            item
            for item in self.seen
            if query.camera_id in (None, item.camera_id)
            and query.person_id in (None, item.person_id)
            and (query.start is None or item.ended_at >= query.start)
            and (query.end is None or item.started_at <= query.end)
        ]
        found.sort(key=lambda item: item.ended_at, reverse=True)
        return _page(found, query.paging)

    def events(self, camera_id: str | None, paging: Paging) -> Page[StoredEvent]:
        """What happened, newest first."""
        found = [event for event in self.happened if camera_id in (None, event.camera_id)]
        found.sort(key=lambda event: event.occurred_at, reverse=True)
        return _page(found, paging)

    def ping(self) -> None:
        """Return if the database answers."""
        if self.failure is not None:
            raise self.failure


class InMemorySessions(dict[str, SessionCounts]):
    """Counts of sessions by camera."""

    def counts(self, statuses: Sequence[CameraStatus]) -> Mapping[str, SessionCounts]:
        """Those of the sessions that are known."""
        return {each.camera_id: self[each.camera_id] for each in statuses if each.camera_id in self}


class InMemoryStatistics(list[CameraFigures]):
    """Figures as they were counted."""

    def figures(
        self, span: timedelta, since: datetime, camera_id: str | None
    ) -> list[CameraFigures]:
        """Those of every camera, or of one; the slots are the test's."""
        del span, since
        return [each for each in self if camera_id in (None, each.camera_id)]


class InMemoryLedger(list[CameraBalance]):
    """Balances as they were counted."""

    def balances(self, query: LedgerQuery) -> Page[CameraBalance]:
        """The balance of every camera that was heard of in a time, by identifier."""
        found = [
            each
            for each in sorted(self, key=lambda one: one.camera_id)
            if query.camera_id in (None, each.camera_id)
            and any(e.opened_at < query.until and e.seen_at >= query.since for e in each.epochs)
        ]
        return _page(found, query.paging)


@dataclass(slots=True)
class _Claim:
    request_id: str
    until: datetime
    response: Any = None


class InMemoryFrameIdentifiers:
    """Claims of frame identifiers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims: dict[tuple[str, str], _Claim] = {}

    def claim(
        self, camera_id: str, frame_id: str, *, request_id: str, until: datetime
    ) -> FirstFrame | None:
        """Claim an identifier until a moment; the first frame if somebody has it already."""
        held = self._claims.get((camera_id, frame_id))
        if held is None or held.until <= self._clock.now():
            self._claims[camera_id, frame_id] = _Claim(request_id, until)
            return None
        return FirstFrame(request_id=held.request_id, response=held.response)

    def answered(
        self, request_id: str, camera_id: str, frame_id: str, body: Any, until: datetime
    ) -> None:
        """Keep what was answered to the first frame until a moment."""
        held = self._claims.get((camera_id, frame_id))
        if held is not None and held.request_id == request_id:
            held.response, held.until = body, until

    def release(self, request_id: str, camera_id: str, frame_id: str) -> None:
        """Give a claim back: the frame will have no result, the client may try again."""
        held = self._claims.get((camera_id, frame_id))
        if held is not None and held.request_id == request_id:
            del self._claims[camera_id, frame_id]


class InMemoryJobs:
    """Jobs; `answered` is what a writer would do."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.known: dict[str, Job] = {}
        self.failure: Exception | None = None
        """What every call raises."""

    def open(self, job: Job) -> bool:
        """Write a job down, before its request is published; false if it is known."""
        self._check()
        known = self.known.get(job.job_id)
        if known is not None and not _begins_anew(known, job):
            return False
        self.known[job.job_id] = job
        return True

    def started(self, job_id: str) -> None:
        """The broker has its request."""
        self._check()
        job = self.known[job_id]
        if job.state is JobState.QUEUED:
            self.known[job_id] = replace(job, state=JobState.PROCESSING)

    def drop(self, job_id: str) -> None:
        """Forget a job whose request the broker did not take; one that has ended stays."""
        self._check()
        if self.known[job_id].state not in FINISHED:
            del self.known[job_id]

    def job(self, key: str, now: datetime) -> Job | None:
        """A job by its own identifier or its request's; one that is long overdue fails here."""
        self._check()
        found = (job for job in self.known.values() if key in (job.job_id, job.request_id))
        job = next(found, None)
        if job is None or job.state in FINISHED or now < job.deadline + LIMIT:
            return job
        ending = overdue(job)
        ended = replace(job, state=ending.state, ending=ending, finished_at=now)
        self.known[job.job_id] = ended
        return ended

    def answered(self, answer: Answer) -> None:
        """End the open job that waits for this answer, if there is one."""
        for job in list(self.known.values()):
            if job.request_id == answer.request_id and job.state not in FINISHED:
                ending = ending_of(answer, with_snapshots=job.with_snapshots)
                self.known[job.job_id] = replace(
                    job, state=ending.state, ending=ending, finished_at=self._clock.now()
                )

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure


class InMemoryPublisher:
    """Keeps what is published; `react` may play the rest of the mesh."""

    def __init__(self) -> None:
        self.published: list[Output] = []
        self.react: Callable[[Output], None] = lambda _: None
        self.failure: Exception | None = None

    def publish(self, outputs: Sequence[Output]) -> None:
        """Return once the broker has all of them."""
        if self.failure is not None:
            raise self.failure
        for output in outputs:
            self.published.append(output)
            self.react(output)


class InMemoryAudit(list[AuditEntry]):
    """What was noted."""

    settled: "Future[None]" = done()

    def note(self, entry: AuditEntry) -> "Future[None]":
        """Keep an entry."""
        self.append(entry)
        return self.settled


class InMemorySnapshots(dict[str, bytes]):
    """Stored face pictures."""

    def read(self, sha256: str) -> bytes:
        """The picture with this digest."""
        return self[sha256]


def _begins_anew(known: Job, job: Job) -> bool:
    failed = known.ending is not None and known.ending.http_status >= 500
    return failed and known.request_id == job.request_id


def _page(items: Sequence[T], paging: Paging) -> Page[T]:
    return Page.cut(items[paging.offset : paging.offset + paging.page_size + 1], paging)


def _asked(person: Person, query: PersonQuery) -> bool:
    text = (query.search or "").lower()
    return (
        (text in person.name.lower() or text in (person.employee_id or "").lower())
        and query.status in (None, person.status)
        and query.collection in (None, person.collection)
    )


def _matches(item: StoredDetection, query: DetectionQuery) -> bool:
    decision = item.detection.decision
    person_id = decision.person_id if decision and decision.identified else None
    at = item.frame.received_timestamp
    return (
        query.camera_id in (None, item.frame.camera_id)
        and query.person_id in (None, person_id)
        and (query.start is None or at >= query.start)
        and (query.end is None or at <= query.end)
        and item.detection.confidence >= (query.min_confidence or 0.0)
        and query.detection_type in (None, item.detection.detection_type)
    )
