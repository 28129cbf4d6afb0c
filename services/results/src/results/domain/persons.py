"""Persons as clients see them, and the consent without which nobody is enrolled."""

from datetime import datetime
from typing import Any

from mesh.events import Consent, EnrollmentOutcome, Person
from results.domain.errors import ApiError, invalid
from results.domain.rendering import render_rejection
from results.domain.times import iso

CONSENT_LIMIT = "a consent of type face_recognition, granted and not expired"


def check_consent(consent: Consent | None, now: datetime, *, field: str = "consent") -> Consent:
    """The consent that covers an enrolment.

    Raises:
        ApiError: There is none, or it is not in force.
    """
    if consent is None:
        raise _consent_required("nobody is enrolled without consent", field)
    if consent.status != "granted":
        raise _consent_required(f"the consent is {consent.status}", f"{field}.status")
    if consent.expires_at is not None and consent.expires_at <= now:
        when = iso(consent.expires_at)
        raise _consent_required(f"the consent ended on {when}", f"{field}.expires_at")
    return consent


def _consent_required(message: str, field: str) -> ApiError:
    return invalid("CONSENT_REQUIRED", message, field=field, limit=CONSENT_LIMIT)


def render_person(person: Person) -> dict[str, Any]:
    """A person of the registry, with consent and samples."""
    return {
        "person_id": person.person_id,
        "name": person.name,
        "employee_id": person.employee_id,
        "department": person.department,
        "collection": person.collection,
        "status": person.status,
        "consent": render_consent(person.consent),
        "face_count": len(person.faces),
        "faces": render_faces(person),
        "created_at": iso(person.created_at),
        "updated_at": iso(person.updated_at),
        "revision": person.revision,
    }


def render_faces(person: Person) -> list[dict[str, Any]]:
    """The samples of a person, without pixels."""
    return [
        {
            "face_id": face.face_id,
            "enrolled_at": iso(face.enrolled_at),
            "quality_score": round(face.quality_score, 3),
            "model_ids": list(face.model_ids),
            "sha256": face.sha256,
        }
        for face in person.faces
    ]


def render_consent(consent: Consent | None) -> dict[str, Any] | None:
    """A consent, specification 8.4."""
    if consent is None:
        return None
    return {
        "consent_type": consent.consent_type,
        "status": consent.status,
        "granted_at": iso(consent.granted_at),
        "expires_at": iso(consent.expires_at),
        "document_version": consent.document_version,
    }


def render_outcome(outcome: EnrollmentOutcome | None) -> dict[str, Any]:
    """What became of an enrolment photo."""
    if outcome is None:
        return {}
    quality = outcome.quality
    return {
        "person_id": outcome.person_id,
        "face_id": outcome.face_id,
        "accepted": outcome.accepted,
        "face_count": outcome.face_count,
        "quality_score": round(quality.score, 3) if quality else None,
        "rejections": [render_rejection(rejection) for rejection in outcome.rejections],
        "other_person_id": outcome.other_person_id,
    }
