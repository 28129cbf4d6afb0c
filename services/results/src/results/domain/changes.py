"""What a batch of records changes in the tables, sorted by kind."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from mesh.events import (
    Answer,
    ErasureReport,
    ErasureRequested,
    FrameResult,
    LedgerEntry,
    Outcome,
    Person,
    Snapshot,
)
from mesh.record import Record
from results.domain.ledger import Entry, entry_of, entry_of_result
from results.domain.rows import Row, event_row, newest, person_row, snapshot_row

RESULTS = "results"
SNAPSHOTS = "snapshots"
PERSONS = "persons"
ERASURES = "erasures"
LEDGER = "ledger"
DEAD_LETTERS = "dead-letters"
EVENTS = "events"
CLAIMING = (RESULTS, LEDGER, DEAD_LETTERS, EVENTS)
"""Topics that say what became of frames; a gap in others is told by an event."""
ANSWERS = "answers"
UPSERTS: Mapping[str, tuple[str, str | None]] = {
    "sightings": ("sighting_id", "revision"),
    "alerts": ("alert_id", "revision"),
    "attendance": ("mark_id", "revision"),
    "events": ("event_id", None),
    "audit": ("audit_id", None),
}
"""Topics, named like their tables, whose rows are stored as they are: key, and what outranks."""
TOPICS = (RESULTS, SNAPSHOTS, PERSONS, ERASURES, LEDGER, DEAD_LETTERS, ANSWERS, *UPSERTS)
"""Catalogue names of everything that the writer reads."""


@dataclass(frozen=True, slots=True)
class PersonChange:
    """A registry entry of a person with its place in the topic, or what erases the person."""

    person_id: str
    offset: int | None
    """`None` for a request to erase, which is in another topic."""
    row: Row | None
    """`None` erases the person."""
    request_id: str | None = None
    """The request to erase."""


@dataclass(frozen=True, slots=True)
class DeadFrame:
    """What a dead letter says of its frame; nothing if it names none."""

    entry: Entry | None


@dataclass(slots=True)
class Changes:
    """Everything that one transaction writes."""

    entries: list[Entry] = field(default_factory=list)
    results: list[FrameResult] = field(default_factory=list)
    """Processed frames and corrections, in the order of their offsets."""
    snapshots: list[Row] = field(default_factory=list)
    persons: list[PersonChange] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    """Rows to upsert, by table."""
    answers: list[Answer] = field(default_factory=list)
    """What the mesh answered; some of them end a job."""


def changes_of(records: Iterable[tuple[str, Record[Any]]]) -> Changes:
    """What these records change.

    Args:
        records: Decoded records in the order of their offsets, with catalogue names of topics.

    Raises:
        ValueError: A record is out of bounds; the message names the field.
    """
    changes = Changes()
    for topic, record in records:
        if record.event is None and topic != PERSONS:
            raise ValueError(f"a tombstone means nothing on {topic}")
        _APPLY.get(topic, _upsert)(changes, topic, record)
    for table, (key, revision) in UPSERTS.items():
        if table in changes.rows:
            changes.rows[table] = newest(changes.rows[table], key, revision)
    changes.snapshots = newest(changes.snapshots, "detection_id", None)
    return changes


def _result(changes: Changes, _topic: str, record: Record[FrameResult]) -> None:
    result = record.event
    if result.frame.sequence_number < 0:
        raise ValueError(f"frame.sequence_number must be >= 0: {result.frame.sequence_number}")
    changes.entries.append(entry_of_result(result))
    if result.outcome is Outcome.PROCESSED or result.revision > 0:
        changes.results.append(result)


def _snapshot(changes: Changes, _topic: str, record: Record[Snapshot]) -> None:
    if sha256(record.event.image).hexdigest() != record.event.sha256:
        raise ValueError("sha256 is not the digest of the image")
    changes.snapshots.append(snapshot_row(record.event))


def _person(changes: Changes, _topic: str, record: Record[Person | None]) -> None:
    person_id = record.key or ""
    row = person_row(record.event) if record.event else None
    if row is not None and row["person_id"] != person_id:
        raise ValueError(f"person_id {row['person_id']} differs from the record's key {person_id}")
    changes.persons.append(PersonChange(person_id, record.offset, row))


def _erasure(
    changes: Changes, _topic: str, record: Record[ErasureRequested | ErasureReport]
) -> None:
    event = record.event
    if isinstance(event, ErasureRequested):
        changes.persons.append(PersonChange(event.person_id, None, None, event.request_id))


def _ledger(changes: Changes, _topic: str, record: Record[LedgerEntry]) -> None:
    changes.entries.append(entry_of(record.event))


def _answer(changes: Changes, _topic: str, record: Record[Answer]) -> None:
    changes.answers.append(record.event)


def _dead_letter(changes: Changes, _topic: str, record: Record[DeadFrame]) -> None:
    entry = record.event.entry
    if entry is not None:
        changes.entries.append(entry)


def _upsert(changes: Changes, topic: str, record: Record[Any]) -> None:
    changes.rows.setdefault(topic, []).append(event_row(record.event))


_APPLY: Mapping[str, Callable[[Changes, str, Record[Any]], None]] = {
    RESULTS: _result,
    SNAPSHOTS: _snapshot,
    PERSONS: _person,
    ERASURES: _erasure,
    LEDGER: _ledger,
    DEAD_LETTERS: _dead_letter,
    ANSWERS: _answer,
}
