"""Rows of persons, consents and samples as events, and back."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from mesh.events import Consent, EnrolledFace, FaceChip, Person, Point

_PERSON = """
    SELECT person_id, collection, name, employee_id, department, status, created_at, updated_at,
           revision
    FROM gallery.persons WHERE person_id = %s
"""
_CONSENT = """
    SELECT consent_type, status, granted_at, expires_at, document_version
    FROM gallery.consents WHERE person_id = %s ORDER BY consent_id DESC LIMIT 1
"""
_FACES = """
    SELECT face_id, enrolled_at, quality AS quality_score, sha256,
           array(SELECT model_id FROM gallery.embeddings e
                 WHERE e.face_id = s.face_id ORDER BY model_id) AS model_ids
    FROM gallery.samples s WHERE person_id = %s ORDER BY enrolled_at, face_id
"""
_SAVE = """
    INSERT INTO gallery.persons (person_id, collection, name, employee_id, department, status,
                                 created_at, updated_at, revision)
    VALUES (%(person_id)s, %(collection)s, %(name)s, %(employee_id)s, %(department)s, %(status)s,
            %(created_at)s, %(updated_at)s, %(revision)s)
    ON CONFLICT (person_id) DO UPDATE SET
        collection = excluded.collection, name = excluded.name,
        employee_id = excluded.employee_id, department = excluded.department,
        status = excluded.status, updated_at = excluded.updated_at, revision = excluded.revision
"""
_SAVE_CONSENT = """
    INSERT INTO gallery.consents (person_id, consent_type, status, granted_at, expires_at,
                                  document_version)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


def load(connection: Connection, person_id: str) -> Person | None:
    """The person with consent in force and samples."""
    with connection.cursor(row_factory=dict_row) as cursor:
        person = cursor.execute(_PERSON, [person_id]).fetchone()
        if person is None:
            return None
        consent = _consent(cursor.execute(_CONSENT, [person_id]).fetchone())
        faces = tuple(
            EnrolledFace(**{**row, "model_ids": tuple(row["model_ids"])})
            for row in cursor.execute(_FACES, [person_id])
        )
    return Person(**person, consent=consent, faces=faces)


def save(connection: Connection, person: Person) -> None:
    """Insert or overwrite the entry; a consent other than the one in force is added."""
    row = {name: getattr(person, name) for name in _COLUMNS}
    connection.execute(_SAVE, row)
    consent = person.consent
    with connection.cursor(row_factory=dict_row) as cursor:
        recorded = _consent(cursor.execute(_CONSENT, [person.person_id]).fetchone())
    if consent is not None and consent != recorded:
        values = [consent.consent_type, consent.status, consent.granted_at, consent.expires_at]
        connection.execute(_SAVE_CONSENT, [person.person_id, *values, consent.document_version])


def flat(points: Sequence[Point]) -> list[float]:
    """Landmarks as they are stored: x1, y1, x2, y2, …."""
    return [value for point in points for value in (point.x, point.y)]


def chip_of(image: bytes, width: int, height: int, landmarks: Sequence[float]) -> FaceChip:
    """The chip of a stored sample."""
    pairs = zip(landmarks[::2], landmarks[1::2], strict=True)
    points = tuple(Point(x=x, y=y) for x, y in pairs)
    return FaceChip(image=bytes(image), width=width, height=height, landmarks=points)


def _consent(row: dict[str, Any] | None) -> Consent | None:
    return None if row is None else Consent(**row)


_COLUMNS = (
    "person_id", "collection", "name", "employee_id", "department", "status", "created_at",
    "updated_at", "revision",
)  # fmt: skip
