"""Queries on what the writer stored."""

from collections.abc import Collection, Mapping
from typing import Any

from mesh.events import ModelUse, Person, Sighting
from results.adapters.postgres_gateway import (
    Database,
    Row,
    detection_of,
    events_of,
    frame_of,
    person_of,
    stage_of,
)
from results.domain.queries import (
    DetectionQuery,
    Page,
    Paging,
    PersonQuery,
    SightingQuery,
    StoredDetection,
    StoredEvent,
)
from results.domain.rendering import SnapshotLink

_DETECTIONS = """
SELECT d.*, s.sha256, s.size_bytes, s.image_format, s.width AS snapshot_width,
       s.height AS snapshot_height
FROM results.detections d LEFT JOIN results.snapshots s USING (detection_id)
"""
_CONDITIONS = {
    "camera_id": "d.camera_id = %(camera_id)s",
    "person_id": "d.person_id = %(person_id)s",
    "start": "d.received_at >= %(start)s",
    "end": "d.received_at <= %(end)s",
    "min_confidence": "d.confidence >= %(min_confidence)s",
    "detection_type": "d.detection_type = %(detection_type)s",
}
_SIGHTING_CONDITIONS = {
    "camera_id": "camera_id = %(camera_id)s",
    "person_id": "person_id = %(person_id)s",
    "start": "ended_at >= %(start)s",
    "end": "started_at <= %(end)s",
}
_PERSON_CONDITIONS = {
    "search": "(name ILIKE %(pattern)s OR employee_id ILIKE %(pattern)s)",
    "status": "status = %(status)s",
    "collection": "collection = %(collection)s",
}
_PAGE = " LIMIT %(limit)s OFFSET %(offset)s"


class PostgresResults:
    """Detections, sightings and events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def detection(self, detection_id: str) -> StoredDetection | None:
        """One detection."""
        row = self._database.row(
            _DETECTIONS + "WHERE d.detection_id = %(id)s ORDER BY d.revision DESC LIMIT 1",
            {"id": detection_id},
        )
        return _stored(row) if row else None

    def detections(self, query: DetectionQuery) -> Page[StoredDetection]:
        """Detections, newest first."""
        asked = {name: getattr(query, name) for name in _CONDITIONS}
        order = " ORDER BY d.received_at DESC, d.detection_id"
        rows = self._page(_DETECTIONS, _CONDITIONS, asked, order, query.paging)
        return Page.cut([_stored(row) for row in rows], query.paging)

    def sightings(self, query: SightingQuery) -> Page[Sighting]:
        """Sightings, newest first."""
        asked = {name: getattr(query, name) for name in _SIGHTING_CONDITIONS}
        order = " ORDER BY ended_at DESC, sighting_id"
        start = "SELECT * FROM results.sightings"
        rows = self._page(start, _SIGHTING_CONDITIONS, asked, order, query.paging)
        return Page.cut([_sighting(row) for row in rows], query.paging)

    def events(self, camera_id: str | None, paging: Paging) -> Page[StoredEvent]:
        """What happened, newest first."""
        names = tuple(StoredEvent.__dataclass_fields__)
        rows = self._page(
            f"SELECT {', '.join(names)} FROM results.events",  # noqa: S608 -- our own field names
            {"camera_id": "camera_id = %(camera_id)s"},
            {"camera_id": camera_id},
            " ORDER BY occurred_at DESC, event_id",
            paging,
        )
        return Page.cut([StoredEvent(**row) for row in rows], paging)

    def ping(self) -> None:
        """Return if the database answers."""
        self._database.ping()

    def _page(
        self,
        start: str,
        conditions: Mapping[str, str],
        asked: Mapping[str, Any],
        order: str,
        paging: Paging,
    ) -> list[dict[str, Any]]:
        return page_of(self._database, start, conditions, asked, order, paging)


class PostgresPersons:
    """The persons that the writer keeps from the topic `persons`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def person(self, person_id: str) -> Person | None:
        """One person."""
        return self.named([person_id]).get(person_id)

    def named(self, person_ids: Collection[str]) -> Mapping[str, Person]:
        """Those of the persons that are known."""
        rows = self._database.rows(
            "SELECT * FROM results.persons WHERE person_id = ANY(%(ids)s)",
            {"ids": list(person_ids)},
        )
        return {row["person_id"]: person_of(row) for row in rows}

    def persons(self, query: PersonQuery) -> Page[Person]:
        """Persons by name."""
        asked = {name: getattr(query, name) for name in _PERSON_CONDITIONS}
        if query.search is not None:
            escaped = query.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            asked["pattern"] = f"%{escaped}%"
        start, order = "SELECT * FROM results.persons", " ORDER BY name, person_id"
        rows = page_of(self._database, start, _PERSON_CONDITIONS, asked, order, query.paging)
        return Page.cut([person_of(row) for row in rows], query.paging)


def page_of(
    database: Database,
    start: str,
    conditions: Mapping[str, str],
    asked: Mapping[str, Any],
    order: str,
    paging: Paging,
) -> list[dict[str, Any]]:
    """The rows of a page and one more, with the conditions that were asked for."""
    wanted = [text for name, text in conditions.items() if asked[name] is not None]
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    values = {**asked, "limit": paging.page_size + 1, "offset": paging.offset}
    return database.rows(start + where + order + _PAGE, values)


def _stored(row: Row) -> StoredDetection:
    link = SnapshotLink(
        detection_id=row["detection_id"],
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        image_format=row["image_format"] or "jpeg",
        width=row["snapshot_width"],
        height=row["snapshot_height"],
    )
    return StoredDetection(
        detection=detection_of(row),
        frame=frame_of(row),
        models=events_of(ModelUse, row["models"]),
        stages=[stage_of(stage) for stage in row["stages"]],
        created_at=row["created_at"],
        snapshot=link if row["sha256"] else None,
    )


def _sighting(row: Row) -> Sighting:
    return Sighting(
        **{
            **row,
            "track_ids": tuple(row["track_ids"]),
            "first_frame_key": str(row["first_frame_key"]),
            "last_frame_key": str(row["last_frame_key"]),
        }
    )
