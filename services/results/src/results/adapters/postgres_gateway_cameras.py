"""The camera registry in PostgreSQL: each change and its outbox row are one transaction."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from mesh.events import Camera
from results.adapters.outbox_sql import LEAVE, outbox_row
from results.adapters.postgres_gateway import Connection, Database, camera_of
from results.domain.cameras import CameraEntry
from results.domain.queries import Page, Paging

_ADD = """
INSERT INTO results.cameras (camera_id, name, location, node, stream, password_encrypted,
                             detection, created_at, updated_at, revision)
VALUES (%(camera_id)s, %(name)s, %(location)s, %(node)s, %(stream)s, %(password)s,
        %(detection)s, %(created_at)s, %(updated_at)s, %(revision)s)
ON CONFLICT (camera_id) DO NOTHING
"""
_CHANGE = """
UPDATE results.cameras
SET name = %(name)s, location = %(location)s, node = %(node)s, stream = %(stream)s,
    password_encrypted = %(password)s, detection = %(detection)s, updated_at = %(updated_at)s,
    revision = %(revision)s
WHERE camera_id = %(camera_id)s AND revision = %(revision)s - 1 AND deleted_at IS NULL
"""
_DELETE = """
UPDATE results.cameras
SET deleted_at = %(now)s, updated_at = %(now)s, revision = revision + 1, password_encrypted = NULL
WHERE camera_id = %(camera_id)s AND deleted_at IS NULL
"""


class PostgresCameras:
    """The camera registry; `encode` turns a camera into a record value."""

    def __init__(self, database: Database, encode: Callable[[Camera], bytes]) -> None:
        self._database = database
        self._encode = encode

    def camera(self, camera_id: str) -> CameraEntry | None:
        """One camera, unless it was deleted."""
        row = self._database.row(
            "SELECT * FROM results.cameras WHERE camera_id = %(id)s AND deleted_at IS NULL",
            {"id": camera_id},
        )
        return camera_of(row) if row else None

    def cameras(self, paging: Paging) -> Page[CameraEntry]:
        """Cameras by name."""
        rows = self._database.rows(
            "SELECT * FROM results.cameras WHERE deleted_at IS NULL"
            " ORDER BY name, camera_id LIMIT %(limit)s OFFSET %(offset)s",
            {"limit": paging.page_size + 1, "offset": paging.offset},
        )
        return Page.cut([camera_of(row) for row in rows], paging)

    def add(self, entry: CameraEntry) -> bool:
        """Register a camera; false if its identifier was ever used."""
        return self._write(_ADD, entry)

    def change(self, entry: CameraEntry) -> bool:
        """Replace the camera whose revision is one less; false if somebody else was faster."""
        return self._write(_CHANGE, entry)

    def delete(self, camera_id: str, now: datetime) -> bool:
        """Forget a camera; false if there is none."""
        with self._database.transaction() as connection:
            done = connection.execute(_DELETE, {"camera_id": camera_id, "now": now}).rowcount == 1
            if done:
                self._announce(connection, camera_id, None)
        return done

    def _write(self, statement: str, entry: CameraEntry) -> bool:
        payload = self._encode(entry.camera)
        with self._database.transaction() as connection:
            done = connection.execute(statement.encode(), _values(entry)).rowcount == 1
            if done:
                self._announce(connection, entry.camera.camera_id, payload)
        return done

    def _announce(self, connection: Connection, camera_id: str, payload: bytes | None) -> None:
        connection.execute(LEAVE, outbox_row("cameras", camera_id, payload, event_type="Camera"))


def _values(entry: CameraEntry) -> dict[str, Any]:
    camera = entry.camera
    stream = {**asdict(camera.stream), **entry.extras}
    password = stream.pop("password_encrypted")
    delimiter = camera.stream.frame_delimiter
    stream["frame_delimiter"] = delimiter.hex() if delimiter else None
    return {
        "camera_id": camera.camera_id,
        "name": camera.name,
        "location": Jsonb(asdict(camera.location)) if camera.location else None,
        "node": camera.node,
        "stream": Jsonb(stream),
        "password": password,
        "detection": Jsonb(asdict(camera.detection)),
        "created_at": camera.created_at,
        "updated_at": camera.updated_at,
        "revision": camera.revision,
    }
