"""Persons: how a registry entry comes to be, changes, and when it may be recognised."""

from dataclasses import replace
from datetime import datetime

from mesh.events import Consent, EnrolledFace, Enrollment, Person, UpdatePerson
from recognition.domain.enrollment import consent_lapse

ACTIVE = "active"
STATUSES = (ACTIVE, "inactive")
DEFAULT_COLLECTION = "default"


def recognisable(person: Person, now: datetime) -> bool:
    """Whether the person may be named: active, and consent is in force."""
    return person.status == ACTIVE and consent_lapse(person.consent, now) is None


def enrolled(
    person: Person | None, enrollment: Enrollment, face: EnrolledFace, now: datetime
) -> Person:
    """The person with one more sample; created by the enrolment if absent.

    What the registry already knows of a person wins over what the photo carries, except for a
    newer consent.
    """
    if person is None:
        return Person(
            person_id=enrollment.person_id,
            collection=enrollment.collection,
            name=enrollment.name,
            employee_id=enrollment.employee_id,
            department=enrollment.department,
            status=ACTIVE,
            consent=enrollment.consent,
            faces=(face,),
            created_at=now,
            updated_at=now,
            revision=1,
        )
    return replace(
        person,
        consent=newer_consent(person.consent, enrollment.consent),
        faces=(*person.faces, face),
        updated_at=now,
        revision=person.revision + 1,
    )


def consenting(person: Person, offered: Consent, now: datetime) -> Person:
    """The person with this consent, if it is newer than the one in force; else the same."""
    consent = newer_consent(person.consent, offered)
    if consent == person.consent:
        return person
    return replace(person, consent=consent, updated_at=now, revision=person.revision + 1)


def newer_consent(recorded: Consent | None, offered: Consent) -> Consent:
    """The consent given last; the recorded one wins a tie."""
    if recorded is None or offered.granted_at > recorded.granted_at:
        return offered
    return recorded


def update_problem(person: Person | None, command: UpdatePerson) -> tuple[str, str] | None:
    """Why the command cannot be carried out: code and sentence; nothing if it can."""
    if command.status is not None and command.status not in STATUSES:
        return "INVALID_REQUEST", f"status must be one of {', '.join(STATUSES)}."
    if command.name is not None and not command.name.strip():
        return "INVALID_REQUEST", "name must not be empty."
    if person is None and not command.create:
        return "PERSON_NOT_FOUND", f"There is no person {command.person_id}."
    if person is None and command.name is None:
        return "INVALID_REQUEST", "name is required for a new person."
    return None


def updated(person: Person | None, command: UpdatePerson, now: datetime) -> Person:
    """The person after the command; created if absent. Null leaves a field as it is."""
    if person is None:
        person = Person(
            person_id=command.person_id,
            collection=DEFAULT_COLLECTION,
            name="",
            status=ACTIVE,
            created_at=now,
            updated_at=now,
            revision=0,
        )
    named = ("collection", "name", "employee_id", "department", "status", "consent")
    changes = {field: value for field in named if (value := getattr(command, field)) is not None}
    return replace(person, **changes, updated_at=now, revision=person.revision + 1)


def without_face(person: Person, face_id: str, now: datetime) -> Person:
    """The person after a sample was deleted."""
    return replace(
        person,
        faces=tuple(face for face in person.faces if face.face_id != face_id),
        updated_at=now,
        revision=person.revision + 1,
    )
