"""Gallery: persons, their samples, and commands about them.

One dataclass per Avro record of `schemas/`; the field names and units are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mesh.events.faces import Embedding
from mesh.events.frames import Consent


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledFace:
    """A sample of a person, without its pixels."""

    face_id: str
    """face_<uuid>."""
    enrolled_at: datetime
    """UTC."""
    quality_score: float
    """0 to 1."""
    model_ids: tuple[str, ...]
    """Models that embedded it."""
    sha256: str
    """SHA-256 of the stored chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Registry entry of a person; a tombstone means erased."""

    person_id: str
    """per_<uuid>."""
    collection: str
    """Gallery collection."""
    name: str
    """Name."""
    employee_id: str | None = None
    """Identifier in the employer's books."""
    department: str | None = None
    """Department."""
    status: str
    """active or inactive."""
    consent: Consent | None = None
    """Consent in force."""
    faces: tuple[EnrolledFace, ...] = ()
    """Samples."""
    created_at: datetime
    """UTC."""
    updated_at: datetime
    """UTC."""
    revision: int
    """Grows with every change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePerson:
    """Create or change a person; null leaves a field as it is."""

    request_id: str
    """Request to answer."""
    person_id: str
    """Person."""
    create: bool = False
    """Create if absent; false rejects an unknown person."""
    collection: str | None = None
    """Gallery collection."""
    name: str | None = None
    """Name."""
    employee_id: str | None = None
    """Identifier in the employer's books."""
    department: str | None = None
    """Department."""
    status: str | None = None
    """active or inactive."""
    consent: Consent | None = None
    """Consent."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasePerson:
    """Erase a person with everything stored of them."""

    request_id: str
    """Request to answer."""
    person_id: str
    """Person."""
    reason: str | None = None
    """Why."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFace:
    """Delete one sample of a person."""

    request_id: str
    """Request to answer."""
    person_id: str
    """Person."""
    face_id: str
    """Sample."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFaces:
    """Find the persons nearest to an embedding."""

    request_id: str
    """Request to answer."""
    collection: str | None = None
    """Only this collection."""
    embedding: Embedding
    """Probe."""
    limit: int
    """At most this many persons, 1 to 100."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRequested:
    """A person is to be erased everywhere."""

    person_id: str
    """Person."""
    request_id: str
    """Request that asked."""
    requested_by: str
    """User who asked."""
    requested_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """What one store erased of a person."""

    person_id: str
    """Person."""
    request_id: str
    """Request that asked."""
    service: str
    """Service that reports."""
    store: str
    """Store that was cleaned."""
    counts: Mapping[str, int]
    """Rows or objects removed, by kind."""
    completed_at: datetime
    """UTC."""
    unreadable_after: datetime | None = None
    """When the last topic that carried the data has forgotten it, UTC."""
